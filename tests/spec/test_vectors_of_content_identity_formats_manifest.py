"""Run every vector of proto/vectors/{identifiers,manifest,release}, and check that no rule is without one."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from p2phub.errors import Malformed, NotTrusted, UsageError
from tests.support.vectors.build import VECTORS
from tests.support.vectors.run import OPERATIONS, Given
from tests.support.vectors.write import texts

ROOT = Path(__file__).parents[2]
ROOMS = ("content", "formats", "identity", "manifest")


def cases() -> list[Any]:
    found = []
    for path in texts():
        for group in json.loads((VECTORS / path).read_text("utf-8"))["groups"]:
            for case in group["cases"]:
                found.append(pytest.param(group["operation"], case, id=f"{group['operation']}: {case['says']}"))
    return found


@pytest.mark.parametrize(("operation", "case"), cases())
def test_vector(operation: str, case: Given) -> None:
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


def rules_raised_by(source: str) -> set[str]:
    """Return the rule names in calls of Malformed("…") and NotTrusted(rule="…")."""
    rules: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        if node.func.id == "Malformed":
            rules.add(ast.literal_eval(node.args[0]))
        if node.func.id == "NotTrusted":
            rules.add(next(ast.literal_eval(word.value) for word in node.keywords if word.arg == "rule"))
    return rules


def test_every_rule_that_the_code_knows_is_broken_by_a_vector_and_no_vector_names_another() -> None:
    in_code = {
        rule
        for room in ROOMS
        for file in (ROOT / "p2phub" / room).glob("*.py")
        for rule in rules_raised_by(file.read_text("utf-8"))
    }
    in_vectors = {case.values[1]["breaks"] for case in cases() if "breaks" in case.values[1]}
    assert in_code == in_vectors
