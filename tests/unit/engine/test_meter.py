"""The rate that a user is shown: steady where whole chunks are seconds apart, and soon less where less comes."""

from __future__ import annotations

import random

import pytest

from p2phub import limits
from p2phub.engine.meter import LOOK_S, RATE_S, RATE_S_MAX, Meter, Rate
from tests.support.hosts import key_of

CHUNK = limits.MIB
ANN = key_of("ann").peer_id


def looks(seconds: float, rate: float, *, step: int = CHUNK) -> list[tuple[float, float]]:
    """Return what is shown at each look, while `rate` bytes a second come and count by `step` whole ones."""
    meter = Meter(now=0.0)
    shown, come = [], 0
    for number in range(1, int(seconds / LOOK_S) + 1):
        now = number * LOOK_S
        if (count := int(now * rate) // step * step) > come:
            come = count
            meter.received(ANN, step, now=count / rate)
            meter.verified(count)
        told = meter.progress(now=now)
        assert told is not None
        shown.append((now, told.bytes_per_s))
    return shown


@pytest.mark.parametrize("seed", range(8))
def test_under_a_cap_the_rate_that_is_shown_is_hardly_more_however_much_comes_at_a_time(seed: int) -> None:
    """Two links tell of two chunks at a time, and the loop looks when one tells: what was shown was a fifth more."""
    cap, lump, chance = 5_000_000, 2 * CHUNK, random.Random(seed)
    meter = Meter(now=0.0)
    meter.here_already(0, now=0.0)
    shown = []
    for number in range(1, 120):
        now = number * lump / cap + chance.uniform(0, 0.4)
        meter.received(ANN, lump, now=now)
        meter.verified(number * lump)
        if (told := meter.progress(now=now)) is not None:
            shown.append(told.bytes_per_s)
    assert max(shown[10:]) < 1.08 * cap


def test_what_came_at_once_in_the_beginning_is_no_rate() -> None:
    """A cap lets a tenth of a second's bytes pass at once where none passed before."""
    meter = Meter(now=0.0)
    meter.here_already(0, now=0.0)
    for now, count in ((0.1, 4 * CHUNK), (0.4, 7 * CHUNK), (0.7, 10 * CHUNK)):
        meter.received(ANN, count, now=now)
        meter.verified(count)
    told = meter.progress(now=0.7)
    assert told is not None
    assert told.bytes_per_s == pytest.approx(10 * CHUNK)


def test_two_chunks_of_one_moment_are_no_thousandfold_rate() -> None:
    meter = Meter(now=0.0)
    meter.here_already(0, now=0.0)
    for now, count in ((10.099, CHUNK), (10.101, 2 * CHUNK)):
        meter.received(ANN, CHUNK, now=now)
        meter.verified(count)
    told = meter.progress(now=10.101)
    assert told is not None
    assert told.bytes_per_s == 2 * CHUNK


@pytest.mark.parametrize("rate", [100_000, 200_000, 700_000, 5_000_000, 90_000_000])
def test_the_rate_that_is_shown_stays_near_what_comes_however_far_apart_whole_chunks_are(rate: int) -> None:
    settled_s = 2 * CHUNK / rate + RATE_S
    shown = [each for at, each in looks(settled_s + 60, rate) if at > settled_s]
    assert all(0.8 * rate < each < 1.25 * rate for each in shown), shown


def test_before_the_first_chunk_is_whole_there_is_no_rate() -> None:
    assert [each for at, each in looks(5, 200_000)] == [0.0] * 10


@pytest.mark.parametrize("gap_s", [LOOK_S, 5.0])
def test_a_pause_shows_once_it_is_longer_than_usual_and_ends_in_no_rate(gap_s: float) -> None:
    rate = Rate(0, now=0.0)
    for number in range(1, 9):
        before = rate.look(number * CHUNK, grown_at=number * gap_s, now=number * gap_s)
    last = 8 * gap_s
    assert rate.look(8 * CHUNK, grown_at=last, now=last + gap_s) == before == CHUNK / gap_s
    assert rate.look(8 * CHUNK, grown_at=last, now=last + 2 * gap_s) < before
    assert rate.look(8 * CHUNK, grown_at=last, now=last + max(RATE_S, RATE_S_MAX) + gap_s) == 0.0


def test_bytes_that_were_here_before_are_no_rate() -> None:
    meter = Meter(now=0.0)
    meter.here_already(10 * CHUNK, now=1.0)
    meter.verified(10 * CHUNK)
    told = meter.progress(now=1.0 + LOOK_S)
    assert told is not None
    assert (told.bytes_verified, told.bytes_per_s) == (10 * CHUNK, 0.0)


def test_no_look_is_told_before_its_time() -> None:
    meter = Meter(now=0.0)
    assert meter.progress(now=LOOK_S / 2) is None
    assert meter.progress(now=LOOK_S) is not None
