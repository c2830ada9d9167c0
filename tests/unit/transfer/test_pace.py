"""What the measured rate of a link tells: how much to lease to it, and from when on it is late."""

from __future__ import annotations

from math import inf

import pytest

from p2phub import limits
from p2phub.transfer.pace import LATE_RATIO, LATE_S, LEASE_BYTES_MIN, LEASE_S, Pace

MIB = limits.MIB


def moving(rate: float, *, delay_s: float = 0.0, seconds: float = 5.0) -> tuple[Pace, float]:
    """A pace after `seconds` at `rate`, reported every 100 ms; the first report came `delay_s` late."""
    pace = Pace(now=0.0)
    now = delay_s
    while now < seconds:
        now += 0.1
        pace.moved(int(rate * 0.1), now=now)
    return pace, now


def test_a_lease_is_a_quarter_second_and_more_on_a_far_link() -> None:
    near, _ = moving(50e6)
    far, _ = moving(50e6, delay_s=0.16)
    assert near.lease_bytes == pytest.approx(50e6 * LEASE_S, rel=0.05)
    assert far.delay_s == pytest.approx(0.16, abs=0.01)
    assert far.lease_bytes >= 50e6 * (LEASE_S + 2 * 0.16)


def test_a_slow_link_has_no_more_than_two_batches_whatever_its_distance() -> None:
    assert moving(100e3, delay_s=0.16)[0].lease_bytes == LEASE_BYTES_MIN


def test_a_fast_link_is_late_after_half_a_second_and_a_slow_one_after_four_times_its_next_chunk() -> None:
    fast, now = moving(100e6)
    assert fast.late_at(MIB, usual=0.0) == pytest.approx(now + LATE_S, abs=0.1)
    slow, now = moving(1e6)
    assert slow.late_at(MIB, usual=0.0) == pytest.approx(now + LATE_RATIO * MIB / 1e6, rel=0.05)
    assert slow.late_at(1000, usual=0.0) == pytest.approx(now + LATE_S, abs=0.1)


def test_a_link_that_was_never_measured_is_expected_to_be_as_fast_as_others() -> None:
    pace = Pace(now=3.0)
    assert pace.late_at(MIB, usual=1e6) == pytest.approx(3.0 + LATE_RATIO * MIB / 1e6)
    assert pace.late_at(MIB, usual=0.0) == inf


def test_bytes_that_make_no_whole_chunk_are_a_sign_of_life_and_no_progress() -> None:
    pace, now = moving(1e6)
    late_at = pace.late_at(MIB, usual=0.0)
    pace.moved(0, now=now + 2)
    assert pace.progress_at == now + 2
    assert pace.late_at(MIB, usual=0.0) == late_at
    assert pace.rate_by_now(now=now + 30) < 50e3


def test_a_link_is_called_slow_when_it_gives_a_quarter_of_what_it_gave() -> None:
    pace, now = moving(20e6)
    assert pace.slowed_from(now=now) is None
    assert pace.slowed_from(now=now + 2) == pytest.approx(20e6, rel=0.05)
