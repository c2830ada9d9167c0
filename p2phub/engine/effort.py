"""What the bulk threads of a fetch spent their last seconds on: waiting for bytes, checking or writing them."""

from __future__ import annotations

from collections import deque

from p2phub.net import Spent

RECENT_S = 5.0


class Effort:
    """Sums of the reports of the last RECENT_S."""

    def __init__(self) -> None:
        self._reports: deque[tuple[float, Spent]] = deque()

    def note(self, spent: Spent, *, now: float) -> None:
        """A report came that tells of `spent`."""
        self._reports.append((now, spent))
        self._forget(now)

    def recent(self, *, now: float) -> Spent:
        """Return what was spent lately, over all links."""
        self._forget(now)
        total = Spent()
        for _, spent in self._reports:
            total += spent
        return total

    def _forget(self, now: float) -> None:
        while self._reports and self._reports[0][0] < now - RECENT_S:
            self._reports.popleft()
