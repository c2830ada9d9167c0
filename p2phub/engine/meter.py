"""What a fetch has received, how fast, and how long it has been quiet: the numbers a user is shown.

Progress counts verified bytes and never runs backwards. Bytes count by whole chunks, which on a slow line are seconds
apart: so the rate is taken over several arrivals, from when the first came to when the last did, and a pause that is
longer than usual shows. Times are of one monotonic clock.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable

from p2phub import limits
from p2phub.identity import SourceId
from p2phub.observe import Progress, SourceBytes, Waiting

LOOK_S = 0.5
RATE_S = 5.0  # Over how long a rate is taken where bytes arrive all the time,
RATE_S_MAX = 30.0  # and where they seldom do:
RATE_GAPS = 12  # over so many times as long as the longest of the last waits between two arrivals: that the last of
LAST_GAPS = 4  # what is on its way is counted now and not a moment later is then a twelfth at most.


class Rate:
    """Bytes a second of late, of a count that grows from time to time. It began at `count`, at `now`."""

    def __init__(self, count: int, *, now: float) -> None:
        self._grown = deque([(now, count)])  # When the last came of what a look found, and how much it was then.
        self._gaps: deque[float] = deque(maxlen=LAST_GAPS)

    def look(self, count: int, *, grown_at: float, now: float) -> float:
        """Return the rate, now that it is `count`, and has been since `grown_at`."""
        last_at, last = self._grown[-1]
        if count > last:
            self._gaps.append(grown_at - last_at)
            self._grown.append((grown_at, count))
            last_at, last = grown_at, count
        gap_s = max(self._gaps, default=now - last_at)
        since = now - min(RATE_S_MAX, max(RATE_S, RATE_GAPS * gap_s))
        while len(self._grown) > 1 and self._grown[0][0] < since:
            self._grown.popleft()
        first_at, first = self._grown[0]
        # Until the next arrival is later than they usually are, nothing has become slower.
        over_s = last_at - first_at + max(0.0, now - last_at - gap_s)
        return (last - first) / max(LOOK_S, over_s)  # What comes at one moment is not a thousand times as fast.


class Meter:
    """The numbers of one fetch that began at `now`."""

    def __init__(self, *, now: float) -> None:
        self.began = now
        self.first_byte_s: float | None = None
        self._received: Counter[SourceId] = Counter()
        self._described: Counter[SourceId] = Counter()
        self._last_byte_at = now
        self._verified = 0
        self._looked_at = now
        self._rate: Rate | None = None  # Until the first bytes are there.
        self._grown_at = now
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

    def brought_by(self, peer: SourceId) -> int:
        """Return the same and the bytes that describe the manifest."""
        return self._received[peer] + self._described[peer]

    def described(self, peer: SourceId, count: int) -> None:
        """Note `count` bytes from `peer` of what describes the manifest; they are none of the content."""
        self._described[peer] += count

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
        self._verified = verified
        self._looked_at = now
        self._rate = None

    def verified(self, verified: int) -> None:
        """Note that `verified` bytes are now verified in all; the last of them have just been `received`."""
        if verified <= self._verified:
            return
        self._verified, self._grown_at = verified, self._last_byte_at
        if self._rate is None:  # It begins here: what came at once, because nothing had come before, is no rate.
            self._rate = Rate(verified, now=self._grown_at)

    def progress(self, *, now: float) -> Progress | None:
        """Return the progress to tell, or None if the last one is younger than LOOK_S."""
        if now - self._looked_at < LOOK_S:
            return None
        self._looked_at = now
        rate = 0.0 if self._rate is None else self._rate.look(self._verified, grown_at=self._grown_at, now=now)
        return Progress(bytes_verified=self._verified, bytes_per_s=round(rate, 1))

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
