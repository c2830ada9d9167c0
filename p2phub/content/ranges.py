"""Sets of chunk numbers as runs: the algebra of what is had, wanted and leased.

A `RangeSet` is an immutable, sorted, disjoint sequence of half-open runs (start, stop). A million chunks in a few runs
cost a few tuples. Pure arithmetic; chunk numbers count from 0 through the whole manifest.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator

import msgspec

Run = tuple[int, int]
"""Half-open: first chunk, and the one after the last."""


class RangeSet(msgspec.Struct, frozen=True):
    """Sorted, disjoint, non-adjacent half-open runs. Build with `RangeSet.of` or the operators."""

    runs: tuple[Run, ...] = ()

    @classmethod
    def of(cls, runs: Iterable[Run]) -> RangeSet:
        """Return the union of `runs`, in any order, overlapping or empty."""
        merged: list[Run] = []
        for start, stop in sorted(runs):
            if start >= stop:
                continue
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
            else:
                merged.append((start, stop))
        return cls(tuple(merged))

    @classmethod
    def whole(cls, count: int) -> RangeSet:
        """Return 0 ..< count."""
        return cls(((0, count),) if count else ())

    @classmethod
    def ascending(cls, indices: Iterable[int]) -> RangeSet:
        """Return the set of `indices`, which ascend; a million neighbours make one run on the way, not a million."""
        runs: list[Run] = []
        start = stop = 0
        for index in indices:
            if index != stop or start == stop:
                assert index >= stop, "indices that do not ascend"
                if start < stop:
                    runs.append((start, stop))
                start = index
            stop = index + 1
        if start < stop:
            runs.append((start, stop))
        return cls(tuple(runs))

    @classmethod
    def from_indices(cls, indices: Iterable[int]) -> RangeSet:
        return cls.of((index, index + 1) for index in indices)

    def __len__(self) -> int:
        count = 0
        for start, stop in self.runs:
            count += stop - start
        return count

    def __bool__(self) -> bool:
        return bool(self.runs)

    def __iter__(self) -> Iterator[int]:
        for start, stop in self.runs:
            yield from range(start, stop)

    def __contains__(self, index: int) -> bool:
        at = bisect_right(self.runs, (index, math.inf)) - 1
        return at >= 0 and index < self.runs[at][1]

    def __or__(self, other: RangeSet) -> RangeSet:
        return RangeSet.of((*self.runs, *other.runs))

    def __and__(self, other: RangeSet) -> RangeSet:
        if self._spanned_by(other):
            return self
        found: list[Run] = []
        cuts = iter(other.runs)
        cut = next(cuts, None)
        for start, stop in self.runs:
            while cut is not None and cut[1] <= start:
                cut = next(cuts, None)
            while cut is not None and cut[0] < stop:
                low, high = cut
                found.append((low if low > start else start, high if high < stop else stop))
                if high > stop:
                    break
                cut = next(cuts, None)
            if cut is None:
                break
        return RangeSet(tuple(found))

    def __sub__(self, other: RangeSet) -> RangeSet:
        if not other.runs:
            return self
        if self._spanned_by(other):
            return RangeSet()
        left: list[Run] = []
        cuts = iter(other.runs)
        cut = next(cuts, None)
        for start, stop in self.runs:
            while cut is not None and cut[1] <= start:
                cut = next(cuts, None)
            while cut is not None and cut[0] < stop:
                if start < cut[0]:
                    left.append((start, cut[0]))
                start = cut[1]
                if start >= stop:
                    break
                cut = next(cuts, None)
            if start < stop:
                left.append((start, stop))
        return RangeSet(tuple(left))

    def covers(self, run: Run) -> bool:
        """Whether every member of a run is in the set."""
        start, stop = run
        at = bisect_right(self.runs, (start, math.inf)) - 1
        return start >= stop or (at >= 0 and stop <= self.runs[at][1])

    def _spanned_by(self, other: RangeSet) -> bool:
        """Whether one run of `other`, its only one, holds all of this: most often it is everything there is."""
        if not self.runs:
            return True
        return len(other.runs) == 1 and other.runs[0][0] <= self.runs[0][0] and self.runs[-1][1] <= other.runs[0][1]

    def first(self, count: int) -> RangeSet:
        """Return the `count` lowest members."""
        taken: list[Run] = []
        for start, stop in self.runs:
            if count <= 0:
                break
            taken.append((start, min(stop, start + count)))
            count -= stop - start
        return RangeSet(tuple(taken))

    def after(self, count: int) -> RangeSet:
        """Return all but the `count` lowest members."""
        for number, (start, stop) in enumerate(self.runs):
            if count < stop - start:
                return RangeSet(((start + count, stop), *self.runs[number + 1 :]))
            count -= stop - start
        return RangeSet()
