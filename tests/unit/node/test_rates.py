"""How a user writes a rate, and which caps are refused."""

from __future__ import annotations

import pytest

from p2phub import limits
from p2phub.errors import UsageError
from p2phub.node.rates import parse_cap, parse_rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("1", 1),
        (250_000, 250_000),
        ("20MB", 20_000_000),
        ("20MiB", 20 << 20),
        ("1.5 GB/s", 1_500_000_000),
        ("2KB", 2000),
    ],
)
def test_rates_count_in_tens_or_in_twos(text: str | int, rate: int) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "0", "-1", "fast", "1XB", "1e9", "inf", "nan", "1 2", "9" * 50, "\u0663MB", True])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_rate(text)


def test_a_cap_is_a_rate_or_none() -> None:
    assert parse_cap("2MB") == 2_000_000
    assert parse_cap(" None ") is None


def test_a_cap_that_would_look_like_a_stall_to_peers_is_refused_with_the_least_that_goes() -> None:
    assert parse_cap(limits.CAP_MIN) == limits.CAP_MIN
    with pytest.raises(UsageError) as caught:
        parse_cap(limits.CAP_MIN - 1)
    assert "64KiB" in str(caught.value.hint)
    assert parse_cap("64KiB") == limits.CAP_MIN
