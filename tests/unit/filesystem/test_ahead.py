"""An open file reads ahead as far as it was read on, and no further."""

from __future__ import annotations

from random import Random

import pytest

from p2phub.filesystem.ahead import AHEAD_BYTES_MAX, Ahead

KIB = 1 << 10
BLOCK = 128 * KIB
DATA = Random(1).randbytes(32 << 20)


class Source:
    """What is read, and which ranges were. Behind `until` nobody has anything."""

    def __init__(self, until: int = len(DATA)) -> None:
        self.asked: list[tuple[int, int]] = []
        self.until = until
        self.ahead = Ahead(BLOCK, self._fetch, len(DATA))

    def _fetch(self, start: int, stop: int) -> bytes:
        self.asked.append((start, stop))
        if stop > self.until:
            raise ConnectionError("nobody")
        return DATA[start:stop]

    def read(self, start: int, stop: int) -> None:
        assert self.ahead._fetch(start, stop) == DATA[start:stop]

    @property
    def bytes_asked(self) -> int:
        return sum(stop - start for start, stop in self.asked)


def test_many_short_reads_of_one_place_are_one_request() -> None:
    source = Source()
    for at in range(1000, 1000 + 8 * 1000, 8):
        source.read(at, at + 8)
    assert source.asked == [(1000, 1000 + BLOCK)]


def test_a_long_read_takes_what_it_asks_for() -> None:
    source = Source()
    source.read(5, 9 << 20)
    assert source.asked == [(5, 9 << 20)]


def test_who_reads_on_gets_longer_steps_but_never_more_ahead_than_a_quarter_of_what_was_read() -> None:
    source = Source()
    at = 0
    while at < 24 << 20:
        source.read(at, at + 64 * KIB)
        at += 64 * KIB
        assert source.bytes_asked - at <= max(BLOCK, min(at // 4, AHEAD_BYTES_MAX))
    assert len(source.asked) < 30
    assert max(stop - start for start, stop in source.asked) == AHEAD_BYTES_MAX


def test_who_jumps_begins_anew() -> None:
    source = Source()
    for at in range(0, 4 << 20, 64 * KIB):
        source.read(at, at + 64 * KIB)
    source.asked.clear()
    source.read(20 << 20, (20 << 20) + 8)
    assert source.asked == [(20 << 20, (20 << 20) + BLOCK)]


def test_what_is_kept_of_the_beginning_is_not_asked_for_again() -> None:
    source = Source()
    source.read(0, 10)
    source.read(BLOCK - 10, BLOCK + 10)
    assert source.asked[1][0] == BLOCK


def test_where_nobody_has_what_is_ahead_what_was_asked_for_is_read_all_the_same() -> None:
    source = Source(until=BLOCK // 2)
    source.read(0, 100)
    source.read(100, 200)
    assert source.asked == [(0, BLOCK), (0, 100), (100, 200)]
    with pytest.raises(ConnectionError):
        source.read(BLOCK // 2, BLOCK // 2 + 1)


def test_the_end_of_the_file_is_the_end() -> None:
    source = Source()
    source.read(len(DATA) - 8, len(DATA))
    assert source.asked == [(len(DATA) - 8, len(DATA))]
    assert source.ahead._fetch(len(DATA), len(DATA) + 10) == b""
    assert source.ahead._fetch(None, 3) == DATA[:3]
