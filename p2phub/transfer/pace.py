"""How fast a link is, and so how much to grant it at once.

A lease is what a link moves in about `LEASE_S`, at least two batches: long enough that a link never waits for the
coordinator, short enough that little has to be taken back from one that slows down. A link that ran dry before its
top-up came gets longer leases from then on, since its reports come later than the rule assumes.
Source: proto/transfer.md §5. Rates are bytes a second, times seconds.
"""

from __future__ import annotations

from math import exp

from p2phub import limits

LEASE_S = 0.25
LEASE_BYTES_MIN = 2 * limits.BATCH_BYTES_MAX
LEASE_BYTES_START = 4 * limits.BATCH_BYTES_MAX  # Before the first measurement; what is too much can be taken back.
LEASE_BYTES_MAX = 256 * limits.MIB
SMOOTHING_S = 1.0  # A sample as long as this counts for 63 %.
SAMPLE_S = 0.02  # Shorter spans measure the clock rather than the link.
STRETCH_MAX = 8.0


class Pace:
    """The measured rate of one link: an average that forgets, over the time in which the link had work."""

    __slots__ = ("_bytes", "_since", "_stretch", "progress_at", "rate")

    def __init__(self, *, now: float) -> None:
        self.rate = 0.0  # 0 until measured.
        self.progress_at = now  # When it last did anything, or got work after having none.
        self._since = now
        self._bytes = 0
        self._stretch = 1.0

    @property
    def lease_bytes(self) -> int:
        """How much this link should have in its lease."""
        if not self.rate:
            return int(LEASE_BYTES_START * self._stretch)
        return int(min(max(self.rate * LEASE_S * self._stretch, LEASE_BYTES_MIN), LEASE_BYTES_MAX))

    def started(self, *, now: float) -> None:
        """The link has work again after having none: the time without does not count."""
        self.progress_at = now
        self._since = now
        self._bytes = 0

    def moved(self, count: int, *, now: float) -> None:
        """`count` verified bytes came."""
        self.progress_at = now
        self._bytes += count
        span = now - self._since
        if span < SAMPLE_S:
            return
        sample = self._bytes / span
        weight = 1 - exp(-span / SMOOTHING_S) if self.rate else 1.0
        # The first samples are all there is to go by: half of what is new at least, while the average is young.
        self.rate += (sample - self.rate) * max(weight, 0.3)
        self._since = now
        self._bytes = 0

    def ran_dry(self) -> None:
        """The lease was used up before a top-up came, with work left."""
        self._stretch = min(self._stretch * 2, STRETCH_MAX)

    def rate_by_now(self, *, now: float) -> float:
        """Return the rate, lowered by silence: a link that has said nothing for long is no longer as fast as it was."""
        silence = now - self.progress_at
        if silence <= 2 * LEASE_S:
            return self.rate
        return min(self.rate, limits.CHUNK_BYTES_MAX / silence)
