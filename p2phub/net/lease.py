"""What to ask of a provider next, and how much may be under way. Arithmetic only; the caller holds the lock.

Chunks are asked for in ascending order, in requests of up to 1 MiB and 512 chunks; a slow provider gets smaller ones,
so that progress shows. The window is what 250 ms bring at the rate measured, at most WINDOW_BYTES_MAX. It begins small,
since what was asked for comes, wanted or not: in a crowd that starts together each asks before it knows of the others.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

from p2phub import limits
from p2phub.content import ChunkRef, ChunkTable, RangeSet

WINDOW_S = 0.25
_WINDOW_BYTES_FIRST = 256 * limits.KIB
_WINDOW_BYTES_UNMEASURED_MAX = 2 * limits.BATCH_BYTES_MAX
_WINDOW_BYTES_MIN = 128 * limits.KIB
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

    def settle(self, chunks: RangeSet) -> None:
        """Note that `chunks` were reported on."""
        self.owed -= chunks

    def take(self, table: ChunkTable, bytes_max: int) -> tuple[ChunkRef, ...]:
        """Return the chunks of the next request and count them as asked for: at least one if any is left."""
        refs: list[ChunkRef] = []
        room = bytes_max
        for ref in chain.from_iterable(table.chunks(start, stop - start) for start, stop in self.unasked.runs):
            if refs and (ref.length > room or len(refs) == limits.BATCH_CHUNKS_MAX):
                break
            room -= ref.length
            refs.append(ref)
        self.unasked -= self.unasked.first(len(refs))
        return tuple(refs)


class Window:
    """How many bytes may be under way, from the rate at which they come while some are. `capped` lowers that to what
    our own cap leaves, so that no more is on its way to us than we shall soon read."""

    def __init__(self, capped: Callable[[int], int] = lambda most: most) -> None:
        self._capped = capped
        self._rate: float | None = None
        self._since: float | None = None
        self._bytes = 0
        self._came_bytes = 0  # In all.

    @property
    def bytes_max(self) -> int:
        """Bytes that may be under way."""
        if self._rate is None:
            return self._capped(min(_WINDOW_BYTES_FIRST + 4 * self._came_bytes, _WINDOW_BYTES_UNMEASURED_MAX))
        return self._capped(min(limits.WINDOW_BYTES_MAX, max(_WINDOW_BYTES_MIN, int(self._rate * WINDOW_S))))

    @property
    def request_bytes(self) -> int:
        """Bytes of one request: two of them fill the window."""
        return min(limits.BATCH_BYTES_MAX, self.bytes_max // 2)

    def began(self, now: float) -> None:
        """Note that something is under way again."""
        self._since, self._bytes = now, 0

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
