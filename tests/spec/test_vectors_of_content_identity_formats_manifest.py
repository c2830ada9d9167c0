"""Run every vector of proto/vectors/{identifiers,manifest,release}, and check that no rule is without one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from p2phub.errors import Malformed, NotTrusted, UsageError
from tests.support.covers import covers
from tests.support.vectors.build import VECTORS
from tests.support.vectors.rules import rules_of_rooms
from tests.support.vectors.run import OPERATIONS, Given
from tests.support.vectors.write import texts


def cases() -> list[Any]:
    found = []
    for path in texts():
        for group in json.loads((VECTORS / path).read_text("utf-8"))["groups"]:
            for case in group["cases"]:
                found.append(pytest.param(group["operation"], case, id=f"{group['operation']}: {case['says']}"))
    return found


@covers("F32", "T16", "T19", "T20", "T21", "T23", "T24", "T25", "T55")
@pytest.mark.parametrize(("operation", "case"), cases())
def test_what_a_vector_gives_or_breaks_is_so(operation: str, case: Given) -> None:
    run = OPERATIONS[operation]
    if "breaks" in case:
        with pytest.raises((Malformed, NotTrusted)) as caught:
            run(case)
        assert caught.value.rule == case["breaks"]
    elif "fails" in case:
        assert case["fails"] == "usage"
        with pytest.raises(UsageError) as refused:
            run(case)
        assert refused.value.hint is not None
    else:
        gives = case["gives"]
        found = run(case)
        assert {name: found[name] for name in gives} == gives


@pytest.mark.parametrize("path", texts())
def test_vectors_on_disk_are_those_that_their_maker_makes(path: str) -> None:
    assert (VECTORS / path).read_text("utf-8") == texts()[path], "run: python -m tests.support.vectors"


def test_every_rule_that_the_code_knows_is_broken_by_a_vector_and_no_vector_names_another() -> None:
    in_vectors = {case.values[1]["breaks"] for case in cases() if "breaks" in case.values[1]}
    assert in_vectors == rules_of_rooms()
