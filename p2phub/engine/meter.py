"""What a fetch has received, how fast, and how long it has been quiet: the numbers a user is shown.

Progress counts verified bytes and never runs backwards. The rate is a moving average of what was verified between two
looks, so that a pause shows within seconds and one late batch does not. Times are of one monotonic clock.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

from p2phub import limits
from p2phub.identity import SourceId
from p2phub.observe import Progress, SourceBytes, Waiting

LOOK_S = 0.5
_WEIGHT = 0.4  # Of the newest look in the average.


class Meter:
    """The numbers of one fetch that began at `now`."""

    def __init__(self, *, now: float) -> None:
        self.began = now
        self.first_byte_s: float | None = None
        self._received: Counter[SourceId] = Counter()
        self._last_byte_at = now
        self._verified = 0
        self._seen = 0
        self._looked_at = now
        self._rate = 0.0
        self._told_quiet_at = -math.inf

    @property
    def bytes_received(self) -> int:
        return sum(self._received.values())

    @property
    def sources(self) -> list[SourceBytes]:
        """Bytes by provider, the most first."""
        return [SourceBytes(str(peer), count) for peer, count in self._received.most_common()]

    def received_from(self, peer: SourceId) -> int:
        """Return how many verified bytes came from `peer`."""
        return self._received[peer]

    def silent_s(self, *, now: float) -> float:
        """Return since when nothing came from anybody."""
        return now - self._last_byte_at

    def received(self, peer: SourceId, count: int, *, now: float) -> None:
        """Note `count` verified bytes from `peer`; 0 for an answer without payload."""
        self._last_byte_at = now
        if count:
            self._received[peer] += count
            self.first_byte_s = now - self.began if self.first_byte_s is None else self.first_byte_s

    def here_already(self, verified: int, *, now: float) -> None:
        """Note that the transfer begins with `verified` bytes on this disk."""
        self._verified = self._seen = verified
        self._looked_at = now

    def verified(self, verified: int) -> None:
        """Note that `verified` bytes are now verified in all."""
        self._verified = max(self._verified, verified)

    def progress(self, *, now: float) -> Progress | None:
        """Return the progress to tell, or None if the last one is younger than LOOK_S."""
        passed = now - self._looked_at
        if passed < LOOK_S:
            return None
        recent = (self._verified - self._seen) / passed
        self._rate = recent if self._rate == 0.0 else (1 - _WEIGHT) * self._rate + _WEIGHT * recent
        self._looked_at, self._seen = now, self._verified
        return Progress(bytes_verified=self._verified, bytes_per_s=round(self._rate, 1))

    def final(self, *, now: float) -> Progress:
        """Return the last progress: all is verified. The rate is that of the whole fetch."""
        return Progress(
            bytes_verified=self._verified, bytes_per_s=round(self.bytes_received / max(now - self.began, 1e-3), 1)
        )

    def quiet(self, who_lives: Callable[[], list[str]], *, now: float) -> Waiting | None:
        """Return what to tell if no byte came from anyone for STALL_S, once in each such time."""
        quiet_s = self.silent_s(now=now)
        if quiet_s < limits.STALL_S or now - self._told_quiet_at < limits.STALL_S:
            return None
        self._told_quiet_at = now
        live = who_lives()
        whom = f" from {', '.join(live)}" if live else "; no provider is connected"
        return Waiting(
            reason=f"no byte for {quiet_s:.0f} s{whom}",
            next="asking other providers" if live else "looking for providers again",
        )
