"""How far a fetch may run ahead of its disk.

What is verified and not durable yet is fetched again after a power cut. Where the disk is slower than what comes,
nothing else bounds that: a kernel takes gigabytes before it makes a writer wait. So what is leased and what is not
durable are together at most SYNC_BYTES, or what the disk makes durable in BEHIND_S, if that is more: with less, a fetch
as fast as its disk would wait for each sync. Links are granted nothing beyond, and are idle meanwhile, which is no
fault of theirs. Source: docs/decisions/0120-behind-the-disk.md. Pure; lengths are bytes, times seconds.
"""

from __future__ import annotations

from math import inf

from p2phub import limits

BEHIND_S = 0.25
LEASED_PART = 1 / 2  # Of what may be ahead of the disk so much is leased at most: less would not fill a far link.
LEASE_BYTES_LEAST = 2 * limits.BATCH_BYTES_MAX  # Of one link of many: with less it would wait for our next grant.
_WEIGHT = 0.5  # Of the newest sync.


class Backlog:
    """Of one fetch. Whoever receives says what `came`, whoever syncs when it began and how long it took."""

    def __init__(self, rate: float | None = None) -> None:
        """`rate`: bytes a second that the disk makes durable; None: not known before the first sync."""
        self._rate = rate
        self._syncing = 0
        self.due_bytes = 0
        """Came since the last sync began."""

    @classmethod
    def unbounded(cls) -> Backlog:
        """Return one that holds nobody back."""
        return cls(inf)

    @property
    def bytes(self) -> int:
        """What came and is not durable yet."""
        return self._syncing + self.due_bytes

    @property
    def bytes_max(self) -> float:
        """How much of that there may be, with what is leased."""
        return max(limits.SYNC_BYTES, (self._rate or 0.0) * BEHIND_S)

    @property
    def is_syncing(self) -> bool:
        return self._syncing > 0

    @property
    def is_behind(self) -> bool:
        """Whether so much waits for the disk that, where there is no room, it is the disk that is waited for."""
        return self.bytes >= self.bytes_max / 2

    def room(self, leased: int) -> float:
        """Return how much may be leased beside `leased`; less than 0 if that is too much already."""
        return self.bytes_max - self.bytes - leased

    def lease_bytes_max(self, links: int) -> float:
        """Return how much one of `links` may have: together they leave room for what they brought."""
        return max(LEASE_BYTES_LEAST, self.bytes_max * LEASED_PART / max(1, links))

    def came(self, count: int) -> None:
        self.due_bytes += count

    def begin(self) -> None:
        """A sync of all that is due begins."""
        self._syncing, self.due_bytes = self.due_bytes, 0

    def synced(self, took_s: float) -> None:
        """It is durable, `took_s` later."""
        if self._syncing >= limits.SYNC_BEGIN_BYTES:  # Less says how long a sync takes, not how fast the disk is.
            rate = self._syncing / took_s if took_s > 0 else inf
            self._rate = rate if self._rate is None else self._rate + _WEIGHT * (rate - self._rate)
        self._syncing = 0
