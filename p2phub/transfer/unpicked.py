"""What of one tier is free, while one choice is made.

A choice takes up to REQUEST_RANGES_MAX runs, one after the other, and looks for each from the same place on. Where a
provider holds crumbs, whatever was taken lies before the next: so it is noted where nothing is, and nobody walks there
again. Nothing is put back while a choice is made. Source: proto/transfer.md §5.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from p2phub.content import RangeSet, Run
from p2phub.transfer.runs import Runs


class Unpicked:
    """What is in `free`, which only shrinks meanwhile, and in `tier`."""

    __slots__ = ("_barren", "_end", "_free", "_longest", "_tier")

    def __init__(self, free: Runs, tier: RangeSet) -> None:
        self._free, self._tier = free, tier
        self._end = tier.runs[-1][1] if tier else 0
        self._barren = Runs()  # Where it has nothing, or not any more.
        self._longest: list[tuple[int, int, int]] | None = None  # Less its length, then where it is.

    def next(self, at: int) -> Run | None:
        """Return the first run at or after `at`, cut so that it begins there."""
        start = self._barren.gap_after(at)
        run = self._free.next_common(start, self._tier) if start < self._end else None
        stop = max(start, self._end) if run is None else run[0]
        if at < stop:
            self._barren.add(at, stop)
        return run

    def longest(self) -> Run:
        """Return the longest run, of several the first. There must be one."""
        if self._longest is None:
            self._longest = [(start - stop, start, stop) for start, stop in self._free.common(self._tier)]
            heapify(self._longest)
        while True:
            _, start, stop = self._longest[0]
            left = self._free.within(start, stop)
            if left == [(start, stop)]:
                return start, stop
            heappop(self._longest)
            for low, high in left:  # Something of it was taken.
                heappush(self._longest, (low - high, low, high))
