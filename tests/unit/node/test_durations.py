"""How a user writes a duration."""

from __future__ import annotations

import math

import pytest

from p2phub.errors import UsageError
from p2phub.node.durations import parse_duration


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30s", 30.0),
        ("10m", 600.0),
        ("10 min", 600.0),
        ("24h", 86_400.0),
        ("1.5H", 5400.0),
        ("7d", 604_800.0),
        ("45", 45.0),
        (0, 0.0),
        (2.5, 2.5),
        ("forever", math.inf),
        (math.inf, math.inf),
    ],
)
def test_a_duration_is_a_number_with_a_unit_or_for_ever(value: str | float, seconds: float) -> None:
    assert parse_duration(value) == seconds


@pytest.mark.parametrize("value", ["", "soon", "-1", "1e9", "nan", "1 2", "1h30", "9" * 50, "\u0663s", "5w", True])
def test_what_is_no_duration_is_refused_with_what_would_be_one(value: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_duration(value)
    assert "24h" in str(caught.value.hint)
