"""A set of chunk numbers that changes all the time: what is free, had or leased.

`content.RangeSet` is the value that crosses doors; `Runs` is the working copy inside a session. It is one flat, sorted
list of edges (start, stop, start, stop, …): whether a number lies in the set is the parity of how many edges are not
above it, and each change replaces one slice. So a report costs a bisection, however many chunks the manifest has.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from p2phub.content import RangeSet, Run


class Runs:
    """A mutable set of chunk numbers."""

    __slots__ = ("_edges", "_snapshot")

    def __init__(self, ranges: RangeSet | None = None) -> None:
        self._edges = [edge for run in ranges.runs for edge in run] if ranges is not None else []
        self._snapshot = ranges

    def __bool__(self) -> bool:
        return bool(self._edges)

    def __contains__(self, index: int) -> bool:
        return bisect_right(self._edges, index) % 2 == 1

    def __iter__(self) -> Iterator[Run]:
        """Yield the runs, ascending, as of now."""
        return iter([*zip(self._edges[::2], self._edges[1::2], strict=True)])

    def snapshot(self) -> RangeSet:
        """Return the set as a value; the same one until the set changes."""
        if self._snapshot is None:
            self._snapshot = RangeSet(tuple(self))
        return self._snapshot

    def meets(self, ranges: RangeSet) -> bool:
        """Whether any number is in both."""
        edges, runs = self._edges, ranges.runs
        if not edges or not runs or runs[-1][1] <= edges[0] or edges[-1] <= runs[0][0]:
            return False
        at = 0  # Both ascend: nobody looks again at what lies below.
        if len(edges) < 2 * len(runs):
            for i in range(0, len(edges), 2):
                at = bisect_right(runs, (edges[i], math.inf), at)
                if (at and edges[i] < runs[at - 1][1]) or (at < len(runs) and runs[at][0] < edges[i + 1]):
                    return True
            return False
        for start, stop in runs:
            at = bisect_right(edges, start, at)
            if at % 2 == 1 or (at < len(edges) and edges[at] < stop):
                return True
        return False

    def add(self, start: int, stop: int) -> None:
        """Put start ..< stop in (start < stop)."""
        low, high = bisect_left(self._edges, start), bisect_right(self._edges, stop)
        edges = [start] if low % 2 == 0 else []
        if high % 2 == 0:
            edges.append(stop)
        self._edges[low:high] = edges
        self._snapshot = None

    def remove(self, start: int, stop: int) -> None:
        """Take start ..< stop out (start < stop)."""
        low, high = bisect_left(self._edges, start), bisect_right(self._edges, stop)
        edges = [start] if low % 2 == 1 else []
        if high % 2 == 1:
            edges.append(stop)
        self._edges[low:high] = edges
        self._snapshot = None

    def within(self, start: int, stop: int) -> list[Run]:
        """Return the runs of what lies in start ..< stop, ascending."""
        edges = self._edges
        at = bisect_right(edges, start)
        if at % 2 == 0:
            if at == len(edges) or edges[at] >= stop:
                return []
        else:
            at -= 1
        found = []
        for i in range(at, len(edges), 2):
            if edges[i] >= stop:
                break
            found.append((max(edges[i], start), min(edges[i + 1], stop)))
        return found

    def next_run(self, start: int) -> Run | None:
        """Return the first run at or after `start`, cut so that it begins there; None if nothing follows."""
        edges = self._edges
        at = bisect_right(edges, start)
        if at == len(edges):
            return None
        return (start, edges[at]) if at % 2 else (edges[at], edges[at + 1])

    def gap_after(self, at: int) -> int:
        """Return the first number at or after `at` that is not in the set."""
        i = bisect_right(self._edges, at)
        return self._edges[i] if i % 2 else at

    def next_common(self, start: int, *others: RangeSet) -> Run | None:
        """Return the first run at or after `start` of what is in this set and in all `others`, cut so that it begins
        there; None if nothing follows."""
        at = start
        while (run := self.next_run(at)) is not None:
            at, stop = run
            for other in others:
                found = next_run(other, at)
                if found is None:
                    return None
                at, end = found
                if at >= stop:
                    break  # It has a hole there: on behind that.
                if end < stop:
                    stop = end
            else:
                return at, stop
        return None

    def common(self, *others: RangeSet, start: int = 0) -> Iterator[Run]:
        """Yield the runs, ascending, of what is in this set and in all `others`, from `start` on."""
        at = start
        while (run := self.next_common(at, *others)) is not None:
            yield run
            at = run[1]


def next_run(ranges: RangeSet, at: int) -> Run | None:
    """Return the first run of `ranges` at or after `at`, cut so that it begins there."""
    runs = ranges.runs
    i = bisect_right(runs, (at, math.inf))  # The first that begins after `at`.
    if i and at < runs[i - 1][1]:
        return at, runs[i - 1][1]
    return runs[i] if i < len(runs) else None
