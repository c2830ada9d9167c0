"""What is going to happen, in order of time: the loop of an event model. Equal times in the order they came."""

from __future__ import annotations

import math
from collections.abc import Callable
from heapq import heappop, heappush


class Agenda:
    """Times are seconds; `now` is that of what happens at the moment, `count` how many things have happened."""

    def __init__(self) -> None:
        self.now = 0.0
        self.count = 0
        self._entries: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Do `act` so much later."""
        self._number += 1
        heappush(self._entries, (self.now + seconds, self._number, act))

    def run(self, until: float = math.inf) -> None:
        """Let things happen until nothing is left, or until that time."""
        while self._entries and self._entries[0][0] <= until:
            self.now, _, act = heappop(self._entries)
            self.count += 1
            act()
        if until < math.inf:
            self.now = until
