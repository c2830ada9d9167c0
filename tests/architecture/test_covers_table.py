"""The threat model tells the truth: each threat and fault has a row, a test or an accepted risk, in real rooms."""

from __future__ import annotations

import ast
import re

import pytest

from tests.support.covers_table import PAGE, SPELLINGS, Row, marks, marks_of, rows, written
from tests.support.house import PACKAGE, ROOT, tree_of

IDS = [f"T{number:02}" for number in range(1, 61)] + [f"F{number:02}" for number in range(1, 37)]
REASON_WORDS = 8


@pytest.fixture(scope="module")
def table() -> list[Row]:
    return list(rows(PAGE.read_text(encoding="utf-8")))


def test_the_column_of_tests_is_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == written(page), "run: python -m tests.support.covers_table"


def test_each_threat_and_fault_has_one_row(table: list[Row]) -> None:
    """By subject, so not in the order of their numbers."""
    assert sorted(row.id for row in table) == sorted(IDS)


def test_every_mark_names_a_threat_or_fault_of_the_table() -> None:
    assert set(marks()) <= set(IDS)


def test_what_has_no_test_is_an_accepted_risk_with_its_reason(table: list[Row]) -> None:
    covered = marks()
    claimed = [row.id for row in table if row.id not in covered and not row.accepted]
    assert not claimed, f"nothing shows these to be handled, and no risk is accepted: {claimed}"
    for row in table:
        if row.accepted:
            assert len(row.answer.split()) >= REASON_WORDS, f"{row.id}: why is it accepted?"


def test_the_rooms_that_the_page_names_exist() -> None:
    """`manifest/paths` and `limits.CLOCK_SKEW_S` are there, so that a reader who follows the page arrives."""
    from p2phub import limits

    page = PAGE.read_text(encoding="utf-8")
    rooms = re.findall(r"`([a-z_]+/[a-z0-9_]+)`", page)
    assert len(rooms) > 40
    for room in rooms:
        path = ROOT / PACKAGE / room
        assert path.with_suffix(".py").exists() or path.is_dir(), f"there is no {PACKAGE}/{room}"
    for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", page):
        assert hasattr(limits, name), f"limits.py has no {name}"


def test_marks_are_found_in_both_spellings_and_on_tests_alone() -> None:
    tree = ast.parse(
        '@covers("T01", "F02")\ndef test_a(): ...\n@pytest.mark.covers("T03")\nasync def test_b(): ...\n'
        '@covers("T04")\ndef helper(): ...\n@other("T05")\ndef test_c(): ...\n'
    )
    assert dict(marks_of(tree)) == {"test_a": ("T01", "F02"), "test_b": ("T03",)}


def test_a_mark_of_one_set_of_parameters_is_found_beside_it_and_in_a_constant() -> None:
    tree = ast.parse(
        'RUNS = (pytest.param("bad", 1, marks=covers("F01", "F02")), pytest.param("good", 2))\n'
        '@pytest.mark.parametrize(("name", "seed"), RUNS)\ndef test_a(): ...\n'
        '@covers("T01")\n@pytest.mark.parametrize("name", ["x", pytest.param("y", marks=[covers("F03")])])\n'
        "def test_b(): ...\n"
    )
    assert list(marks_of(tree)) == [
        ("test_a[bad]", ("F01", "F02")),
        ("test_b", ("T01",)),
        ("test_b[y]", ("F03",)),
    ]


def test_no_mark_stands_where_the_table_does_not_look() -> None:
    """On a class or a helper, or in parameters that are worked out, it would be shown by nobody."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        tree = tree_of(path)
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        assert sum(ast.unparse(call.func) in SPELLINGS for call in calls) <= len(list(marks_of(tree))), path
