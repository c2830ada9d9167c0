"""Bugs that break a bound, or tell others too much, are found by the sentence that the judge has for it."""

from __future__ import annotations

import pytest

from simnet.batch import run_one
from simnet.bugs import EXCESSES
from simnet.bugs.excess import FEW_PLACES, few_places
from simnet.report import complaint
from simnet.run import run_scenario
from tests.support.covers import covers

TOLD = {
    "announce-before-verified": ("flash_crowd", 1, "tells others that it holds chunk"),
    "answer-whoever-asks": (
        "flash_crowd",
        1,
        f"serves {FEW_PLACES + 1} control connections, and has {FEW_PLACES} places",
    ),
    "ask-for-news-twice": ("far_provider", 2, "has 2 control connections to"),
    "have-links-without-end": ("four_providers", 1, "has 9 links, and may have 8"),
    "leave-tasks-behind": ("mixed_faults", 1, "tasks with"),
    "read-on-before-it-is-written": ("slow_disk", 1, "bytes in memory that came and are not written"),
    "run-ahead-of-the-disk": ("slow_sync", 1, "bytes ahead of its disk"),
    "serve-one-peer-without-end": ("one_provider", 1, f"serves {FEW_PLACES + 1} connections of"),
    "serve-whoever-comes": ("flash_crowd", 1, f"serves {FEW_PLACES + 1} bulk connections, and has {FEW_PLACES} places"),
}
"""The scenario and seed that finds each, and what is said of it first."""


@covers("F28", "F29")
@pytest.mark.parametrize("bug", sorted(EXCESSES))
def test_what_breaks_a_bound_is_told_of_first(bug: str) -> None:
    scenario, seed, sentence = TOLD[bug]
    outcome = run_one((scenario, seed, None), bugs=(bug,), until_failure=True)
    assert not isinstance(outcome, str), outcome
    assert outcome.failures, f"nobody noticed {bug}"
    assert sentence in outcome.failures[0]


@covers("F29")
def test_with_a_slow_processor_too_nothing_piles_up_unseen() -> None:
    outcome = run_one(("slow_processor", 1, None), bugs=("read-on-before-it-is-written",), until_failure=True)
    assert not isinstance(outcome, str), outcome
    assert "bytes in memory that came and are not written" in outcome.failures[0]


def test_of_who_keeps_to_its_few_places_nothing_is_said() -> None:
    with few_places():
        result = run_scenario("flash_crowd", seed=1, nodes=FEW_PLACES + 2)
    assert not [each for each in result.failures if "places" in each], complaint(result)
