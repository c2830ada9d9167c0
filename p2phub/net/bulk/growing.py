"""What a manifest that is still arriving holds now: asked of the parent for all connections of a child together.

Anybody may want a chunk that is not here yet, as often as they like, and each such want means to look again: of a large
manifest that is megabytes to pack. So it is asked every AGAIN_S at most, and whoever waits meanwhile shares the answer.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from p2phub.content import RangeSet

AGAIN_S = 0.05  # Well below NEWS_SOON_S, after which a requester may ask for what is new.


class Growing:
    """Of one manifest. From any thread."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._asked_at = -math.inf
        self._held = RangeSet()

    def now(self, ask: Callable[[], RangeSet]) -> RangeSet:
        """Return what was held at this moment, or later. Raises what `ask` raises."""
        came = self._clock()
        with self._lock:
            if self._asked_at < came:
                pause_s = self._asked_at + AGAIN_S - self._clock()
                if pause_s > 0:
                    self._sleep(pause_s)
                asked_at = self._clock()
                self._held = ask()
                self._asked_at = asked_at  # After it, so that a question that failed answers nobody.
            return self._held
