"""How strict the judge is about rates: who free riders cost too much, and which part of the best speed is promised."""

from __future__ import annotations

import pytest

from simnet.det import Chance
from simnet.run import Ended, Result, judge_riders
from simnet.scene import Member, Scene, of_best, scenarios
from tests.support.runs import run_of

HONEST, RIDERS = ("r0", "r1"), ("r2", "r3")
SCENE = Scene(
    members=(
        *(Member(name, fetches=True) for name in HONEST),
        *(Member(name, "rider", fetches=True) for name in RIDERS),
    ),
    riders_cost_max=1.25,
)


def ended_at(**seconds: float) -> Result:
    return Result("scene", 0, None, 0, 0.0, [], [Ended(name, "done", "", 0.0, at) for name, at in seconds.items()])


def test_riders_may_cost_a_quarter_and_have_to_be_later() -> None:
    result = ended_at(r0=9.0, r1=12.5, r2=12.0, r3=14.0)
    assert judge_riders(SCENE, result, ended_at(r0=8.0, r1=10.0)) == []
    assert (result.riders_cost, result.riders_later_s) == (1.25, 2.25)


def test_an_honest_one_who_takes_longer_than_that_is_named() -> None:
    (said,) = judge_riders(SCENE, ended_at(r0=9.0, r1=12.6, r2=13.0, r3=13.0), ended_at(r0=8.0, r1=10.0))
    assert said.startswith("r1 was done after 12.60 s")


def test_riders_who_are_done_no_later_than_the_others_have_paid_nothing() -> None:
    (said,) = judge_riders(SCENE, ended_at(r0=9.0, r1=11.0, r2=9.0, r3=11.0), ended_at(r0=8.0, r1=10.0))
    assert "free riders were done after 10.00 s, the others 10.00" in said


def test_a_promise_counts_the_beginning_for_more_the_less_there_is_to_come() -> None:
    assert of_best(100.0, part=0.95, begins_s=0.0) == pytest.approx(0.95)
    assert of_best(1.0, part=0.95, begins_s=1.0) == pytest.approx(1 / (1 / 0.95 + 1))


@pytest.mark.parametrize(
    ("name", "seed", "nodes"),
    [
        ("bad_lines", 9, None), ("cold_megabyte", 1, None), ("far_provider", 1, None), ("flash_crowd", 1, 4),
        ("four_providers", 1, None), ("one_provider", 1, None), ("poisoners_30", 1, 7), ("tarpits_50", 1, 5),
    ],
)  # fmt: skip
def test_what_is_said_to_be_about_the_rate_promises_one(name: str, seed: int, nodes: int | None) -> None:
    promised = scenarios()[name](Chance(seed).of(name), nodes).of_best_min
    assert 0.5 <= promised <= run_of((name, seed, nodes)).of_best <= 1
