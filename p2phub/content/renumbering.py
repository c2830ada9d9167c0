"""Which chunks of one manifest are the same as which of another: a fine-tune has most of its base's, in other places.

Whoever has the other manifest can so be asked for them by its own numbers, and where they go is still what our plan
says. Found by comparing digests and lengths; nothing here is believed of a peer.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

import msgspec

from p2phub import limits
from p2phub.content.digest import DIGEST_BYTES
from p2phub.content.plans import ChunkTable
from p2phub.content.ranges import RangeSet

Same = tuple[int, int, int]
"""(ours, theirs, count): so many chunks from our number on are those from their number on."""


class Renumbering(msgspec.Struct, frozen=True):
    """Runs of chunks that are the same, ascending and apart in our numbers; `ours` are all of those. Several of ours
    may be one of theirs: a tensor that we have twice. Build with `Renumbering.of`."""

    runs: tuple[Same, ...]
    ours: RangeSet

    @classmethod
    def of(cls, runs: Iterable[Same]) -> Renumbering:
        """Return that of `runs`, in any order, apart in our numbers."""
        ascending = tuple(sorted(runs))
        return cls(ascending, RangeSet.of((ours, ours + count) for ours, _, count in ascending))

    def theirs(self, chunk: int) -> int:
        """Return their number of our `chunk`, which is in `ours`."""
        ours, theirs, _ = self.runs[bisect_right(self.runs, (chunk, math.inf)) - 1]
        return chunk - ours + theirs

    def held_by_who_has(self, theirs: RangeSet) -> RangeSet:
        """Return which of ours somebody has who has `theirs`; of the pieces no more than a peer could say it holds,
        however often ours has each of theirs."""
        found: list[tuple[int, int]] = []
        for ours, first, count in self.runs:
            shift, end = ours - first, first + count
            at = max(bisect_right(theirs.runs, (first, math.inf)) - 1, 0)
            for low, high in _from(theirs, at):
                if low >= end:
                    break
                if len(found) == limits.HAVE_RANGES_MAX:
                    return RangeSet.of(found)
                found.append((max(low, first) + shift, min(high, end) + shift))
        return RangeSet.of(found)


def _from(ranges: RangeSet, at: int) -> Iterator[tuple[int, int]]:
    for number in range(at, len(ranges.runs)):
        yield ranges.runs[number]


def same_chunks(table: ChunkTable, wanted: RangeSet, other: ChunkTable) -> Renumbering:
    """Return which chunks of `table` in `wanted` are also in `other`, as runs that are as long as they come.

    Each of ours once, whichever of several equal ones of theirs it is; the longest HAVE_RANGES_MAX runs of all.
    """
    theirs = other.digests(0, len(other))
    places = _Places(theirs)
    found: list[Same] = []
    for start, stop in wanted.runs:
        ours = table.digests(start, stop)
        at = 0
        while at < len(ours):
            place = places.first(ours[at : at + DIGEST_BYTES])
            count = 0 if place is None else _alike(ours, at, theirs, place)
            if place is not None and count:
                found.append((start + at // DIGEST_BYTES, place // DIGEST_BYTES, count))
            at += max(count, 1) * DIGEST_BYTES
    found = [run for run in found if _are_as_long(table, other, run)]
    found.sort(key=lambda run: run[2], reverse=True)
    return Renumbering.of(found[: limits.HAVE_RANGES_MAX])


class _Places:
    """Where in packed digests each may stand first: by its first eight bytes, as in the index of chunks, sorted. A
    dictionary of a million of them would take three times the memory."""

    def __init__(self, digests: bytes) -> None:
        keys = array("Q", digests)[:: DIGEST_BYTES // 8]
        self._chunks = array("I", sorted(range(len(keys)), key=keys.__getitem__))
        self._keys = array("Q", map(keys.__getitem__, self._chunks))

    def first(self, digest: bytes) -> int | None:
        """Return the byte at which to look for `digest`, None if it is nowhere."""
        key = array("Q", digest)[0]
        at = bisect_left(self._keys, key)
        return self._chunks[at] * DIGEST_BYTES if at < len(self._keys) and self._keys[at] == key else None


def _alike(ours: bytes, at: int, theirs: bytes, place: int) -> int:
    """Return how many digests from byte `at` of `ours` on are those from byte `place` of `theirs` on."""
    most = min(len(ours) - at, len(theirs) - place)
    for gone in range(0, most, DIGEST_BYTES):
        if ours[at + gone : at + gone + DIGEST_BYTES] != theirs[place + gone : place + gone + DIGEST_BYTES]:
            return gone // DIGEST_BYTES
    return most // DIGEST_BYTES


def _are_as_long(table: ChunkTable, other: ChunkTable, run: Same) -> bool:
    """Whether chunks with the same digests have the same lengths: of bytes that anybody has they do, but lists can say
    what they want, and who sends what its own list says would look like a liar."""
    ours, theirs, count = run
    return table.lengths(ours, ours + count) == other.lengths(theirs, theirs + count)
