"""How fast a link is, and so how much to grant it at once.

A lease is what a link moves in about `LEASE_S`, and more on a far link, at least two batches: long enough that a link
never waits for the coordinator, short enough that little has to be taken back from one that slows down. A link that ran
dry before its top-up came gets longer leases from then on, since its reports come later than the rule assumes.

A link is *late* when nothing verified came for several times as long as its next answer should take at its own rate:
then what it was asked for may be asked of another, too (`endgame`).
Source: proto/transfer.md §5. Rates are bytes a second, times seconds.
"""

from __future__ import annotations

from math import exp, inf

from p2phub import limits

LEASE_S = 0.25
LEASE_BYTES_MIN = 2 * limits.BATCH_BYTES_MAX
LEASE_BYTES_START = 4 * limits.BATCH_BYTES_MAX  # Before the first measurement; what is too much can be taken back.
LEASE_BYTES_MAX = 256 * limits.MIB
SOON_BYTES_START = 256 * limits.KIB  # Of what somebody waits for, before the first measurement: a chunk, in effect.
DELAYS = 6  # So many times as long as a grant takes to show are in a lease, too: half of it is what fills a far link.
DELAY_S_MAX = 0.25
FAR_PARTS = 40  # On a link whose delay is a noticeable part of a batch's time one more is asked for beside the next.
SMOOTHING_S = 1.0  # A sample as long as this counts for 63 %.
SAMPLE_S = 0.02  # Shorter spans measure the clock rather than the link.
STRETCH_MAX = 8.0
REQUEST_S = 0.125  # What is asked for at once is what comes within about this time, or a chunk.
LATE_RATIO = 4.0  # So many times as long as its next answer should take,
LATE_S = 0.5  # and at least this long: reports are up to REPORT_S old, and threads start late on a busy machine.
STEADY_S = 1.0  # A rate that is kept for less may be a burst.
SLOWED_RATIO = 4.0  # A link that has become so much slower is called slow.


class Pace:
    """The measured rate of one link: an average that forgets, over the time in which the link had work."""

    __slots__ = (
        "_best", "_bytes", "_fastest", "_first", "_least_delay_s", "_long_bytes", "_long_since", "_since",
        "_started_at", "_stretch", "delay_s", "moved_at", "progress_at", "rate",
    )  # fmt: skip

    def __init__(self, *, now: float) -> None:
        self.rate = 0.0  # 0 until measured.
        self.progress_at = now  # When it last did anything, or got work after having none.
        self.moved_at = now  # When bytes were verified last, or it got work after having none.
        self._since = now
        self._started_at: float | None = now
        self._bytes = 0
        self._stretch = 1.0
        self._first: tuple[float, int] | None = None  # How long the first of a lease took, and its bytes.
        self._fastest = 0.0  # Of what came after that: what the link can do once it is filled.
        self.delay_s = 0.0  # From a grant to the first of it, without the time that its bytes take; the least seen.
        self._least_delay_s = DELAY_S_MAX  # Before this lease.
        self._best = 0.0  # The highest rate that it kept for STEADY_S.
        self._long_since, self._long_bytes = now, 0

    @property
    def lease_bytes(self) -> int:
        """How much this link should have in its lease."""
        if not self.rate:
            return int(LEASE_BYTES_START * self._stretch)
        far = self.rate * self.delay_s * FAR_PARTS > limits.BATCH_BYTES_MAX
        return self._moves_soon(least=LEASE_BYTES_MIN + (2 * limits.BATCH_BYTES_MAX if far else 0))

    @property
    def soon_bytes(self) -> int:
        """How much this link should have of what somebody waits for: of a slow one less is lost in it."""
        return self._moves_soon(least=limits.BATCH_BYTES_MAX) if self.rate else SOON_BYTES_START

    def _moves_soon(self, *, least: int) -> int:
        lease_s = LEASE_S * self._stretch + DELAYS * self.delay_s
        return int(min(max(self.rate * lease_s, least), LEASE_BYTES_MAX))

    def started(self, *, now: float) -> None:
        """The link has work again after having none: the time without does not count."""
        self.progress_at = self.moved_at = self._started_at = self._since = self._long_since = now
        self._bytes = self._long_bytes = 0
        if self._first is not None and self._fastest:
            self._least_delay_s = self.delay_s
        self._first, self._fastest = None, 0.0

    def moved(self, count: int, *, now: float) -> None:
        """`count` verified bytes came; 0: none is whole yet, but they are coming."""
        self.progress_at = now
        if not count:
            return
        self.moved_at = now
        self._bytes += count
        self._long_bytes += count
        if now - self._long_since >= STEADY_S:
            self._best = max(self._best, self._long_bytes / (now - self._long_since))
            self._long_since, self._long_bytes = now, 0
        span = now - self._since
        if span < SAMPLE_S:
            return
        sample = self._bytes / span
        if self._started_at is not None:
            self._first = (now - self._started_at, self._bytes)
            self._started_at = None
        elif self._first is not None:  # Asked for before the first had come: that had to wait, this did not.
            took_s, count = self._first
            self._fastest = max(self._fastest, sample)
            self.delay_s = min(self._least_delay_s, max(0.0, took_s - count / self._fastest))
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
        silence = now - self.moved_at
        if silence <= 2 * LEASE_S:
            return self.rate
        return min(self.rate, limits.CHUNK_BYTES_MAX / silence)

    def late_at(self, chunk_bytes: int, *, usual: float) -> float:
        """Return when this link, if nothing more comes until then, is late with an answer whose first chunk has
        `chunk_bytes`. `usual`: the rate to expect of a link that is not measured; 0: unknown, so it is never late."""
        rate = self.rate or usual
        if not rate:
            return inf
        answer_s = max(chunk_bytes, min(limits.BATCH_BYTES_MAX, rate * REQUEST_S)) / rate
        return self.moved_at + max(LATE_S, LATE_RATIO * answer_s + 2 * self.delay_s)

    def slowed_from(self, *, now: float) -> float | None:
        """Return the rate it once had, if it is much slower now."""
        return self._best if self.rate_by_now(now=now) * SLOWED_RATIO < self._best else None
