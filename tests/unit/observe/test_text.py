"""What a message says of many."""

from __future__ import annotations

import pytest

from p2phub.observe import some_of


@pytest.mark.parametrize(
    ("names", "said"),
    [("a", "a"), ("abc", "a, b, c"), ("abcd", "a, b, c and 1 more"), ("abcdefghijklm", "a, b, c and 10 more")],
)
def test_a_few_names_are_said_and_how_many_more_there_are(names: str, said: str) -> None:
    assert some_of(list(names)) == said


def test_how_many_are_said_is_the_callers() -> None:
    assert some_of(["a", "b", "c"], most=1) == "a and 2 more"
