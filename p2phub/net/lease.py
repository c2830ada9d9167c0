"""What to ask of a provider next, and how much may be under way. Arithmetic only; the caller holds the lock.

Chunks are asked for in ascending order, in requests of up to 1 MiB and 512 chunks; a slow provider gets smaller ones,
so that progress shows. The window is what 250 ms bring at the rate measured, at most WINDOW_BYTES_NEAR_MAX, and beyond
that what two round trips bring, at most WINDOW_BYTES_MAX in all: while one half of it comes, the request for the next
is on its way. It begins small, since what was
asked for comes, wanted or not: in a crowd that starts together each asks before it knows of the others. A chunk may be
longer than half a window. Then one more request goes out beside it where the round trip would cost a noticeable part of
the time that the chunk takes; elsewhere what is under way stays small, since it cannot be taken back.
"""

from __future__ import annotations

from collections.abc import Callable

from p2phub import limits
from p2phub.content import ChunkRef, ChunkTable, RangeSet

WINDOW_S = 0.25
WINDOW_BYTES_NEAR_MAX = 4 * limits.MIB
_WINDOW_BYTES_FIRST = 256 * limits.KIB
_WINDOW_BYTES_UNMEASURED_MAX = 2 * limits.BATCH_BYTES_MAX
_WINDOW_BYTES_MIN = 128 * limits.KIB
_TRIP_PARTS = 40  # A round trip is worth a second request if a request takes less than so many of it.
_TRIP_S_MAX = 1.0  # Longer ones measure a busy provider.
_SAMPLE_S = 0.05  # Shorter ones measure the scheduler.
_WEIGHT = 0.3  # Of the newest sample.


class Lease:
    """The chunks granted to a link: those not yet asked for, and all that have not been reported on."""

    def __init__(self) -> None:
        self.unasked = RangeSet()
        self.owed = RangeSet()

    def add(self, chunks: RangeSet) -> None:
        self.unasked |= chunks
        self.owed |= chunks

    def revoke(self) -> RangeSet:
        """Take back what was not yet asked for."""
        returned, self.unasked = self.unasked, RangeSet()
        self.owed -= returned
        return returned

    def cancel(self, chunks: RangeSet) -> tuple[RangeSet, RangeSet]:
        """Forget `chunks`; return those that were granted and not reported on, and which of them were not asked for."""
        owed = self.owed & chunks
        unasked = self.unasked & owed
        self.unasked -= owed
        self.owed -= owed
        return owed, unasked

    def settle(self, chunks: RangeSet) -> None:
        """Note that `chunks` were reported on."""
        self.owed -= chunks

    def take(self, table: ChunkTable, bytes_max: int) -> tuple[ChunkRef, ...]:
        """Return the chunks of the next request and count them as asked for: at least one if any is left."""
        refs: list[ChunkRef] = []
        room, count = bytes_max, limits.BATCH_CHUNKS_MAX
        for start, stop in self.unasked.runs:
            taken = min(count, table.fitting(start, stop, max(0, room))) or (0 if refs else 1)
            refs += table.chunks(start, taken)
            if start + taken < stop or taken == count:
                break
            room -= table.bytes_of(RangeSet(((start, stop),)))
            count -= taken
        self.unasked = self.unasked.after(len(refs))
        return tuple(refs)

    def put_back(self, chunks: RangeSet) -> None:
        """Count `chunks`, which were taken, as not asked for after all."""
        self.unasked |= chunks


class Window:
    """How many bytes may be under way, from the rate at which they come while some are. `capped` lowers that to what
    our own cap leaves, so that no more is on its way to us than we shall soon read."""

    def __init__(self, capped: Callable[[int], int] = lambda most: most) -> None:
        self._capped = capped
        self._rate: float | None = None
        self._since: float | None = None
        self._bytes = 0
        self._asked_at = 0.0
        self.is_asking = False  # Whether the beginning of the next answer tells how long a round trip takes.
        self._trip_s: float | None = None  # The shortest seen.
        self._came_bytes = 0  # In all.

    @property
    def bytes_max(self) -> int:
        """Bytes that may be under way."""
        if self._rate is None:
            return self._capped(min(_WINDOW_BYTES_FIRST + 4 * self._came_bytes, _WINDOW_BYTES_UNMEASURED_MAX))
        here = min(WINDOW_BYTES_NEAR_MAX, self._rate * WINDOW_S)
        wanted = max(_WINDOW_BYTES_MIN, int(here + 2 * self._rate * self.trip_s))
        return self._capped(min(limits.WINDOW_BYTES_MAX, wanted))

    @property
    def beside_bytes(self) -> int:
        """So many bytes may be under way in one request for another to be made beside it."""
        if self._rate is None:
            return self._capped(_WINDOW_BYTES_MIN)  # No second chunk before it is known how long the first takes.
        most = WINDOW_BYTES_NEAR_MAX - limits.BATCH_BYTES_MAX
        return self._capped(min(most, int(self._rate * self.trip_s * _TRIP_PARTS)))

    @property
    def trip_s(self) -> float:
        """The round trip, as far as it is known."""
        return self._trip_s or 0.0

    def began(self, now: float) -> None:
        """Note that something is under way again."""
        self._since, self._bytes = now, 0
        self._asked_at, self.is_asking = now, True

    def answered(self, now: float) -> None:
        """Note that the answer to what went out at `began` begins to come."""
        if self.is_asking:
            trip_s = min(now - self._asked_at, _TRIP_S_MAX)
            self._trip_s = trip_s if self._trip_s is None else min(self._trip_s, trip_s)
            self.is_asking, self._since = False, now  # The way there and back is no part of the rate.

    def came(self, length: int, now: float) -> None:
        """Note that `length` bytes of what is under way came."""
        if self._since is None:
            self._since = now
        self._bytes += length
        self._came_bytes += length
        elapsed = now - self._since
        if elapsed < _SAMPLE_S:
            return
        sample = self._bytes / elapsed
        self._rate = sample if self._rate is None else self._rate + _WEIGHT * (sample - self._rate)
        self._since, self._bytes = now, 0


def request_bytes(window_bytes: int) -> int:
    """Return the bytes of one request: two of them fill the window."""
    return min(limits.BATCH_BYTES_MAX, window_bytes // 2)
