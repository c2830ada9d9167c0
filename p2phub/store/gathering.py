"""The union of many runs of chunks in memory that is bounded by what they come to, not by how many they are.

A journal from a stranger may name one chunk a million times. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from p2phub.content import RangeSet

BATCH_RUNS = 1 << 14


class Gathering:
    """Runs, added one after the other and merged every now and then: seldom enough to stay linear."""

    def __init__(self) -> None:
        self._merged = RangeSet()
        self._waiting: list[tuple[int, int]] = []

    def add(self, runs: Iterable[tuple[int, int]]) -> None:
        for run in runs:
            self._waiting.append(run)
            if len(self._waiting) >= max(BATCH_RUNS, len(self._merged.runs)):
                self.union()

    def union(self) -> RangeSet:
        """Return what was added so far."""
        if self._waiting:
            self._merged |= RangeSet.of(self._waiting)
            self._waiting.clear()
        return self._merged
