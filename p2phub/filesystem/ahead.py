"""How far an open file reads ahead: as far as it was read on already, so that little is fetched that nobody asks for.

Readers of tables ask for eight bytes here and a column there; each request to the hub costs about a millisecond, and
each new chunk a round trip. So a short read takes `blocksize` at least; one that goes on where the last ended twice
as much as before, up to AHEAD_BYTES_MAX; one that is elsewhere begins anew. A long read takes what it asks for.
"""

from __future__ import annotations

from fsspec.caching import BaseCache, register_cache

AHEAD_BYTES_MAX = 4 << 20


class Ahead(BaseCache):
    """What an open file keeps in memory: what was read last, and what comes behind it."""

    name = "p2phub"

    def __init__(self, blocksize, fetcher, size):  # type: ignore[no-untyped-def]
        super().__init__(blocksize, fetcher, size)
        self._kept, self._kept_from = b"", 0
        self._read_to = -1
        self._ahead: int = blocksize

    def _fetch(self, start: int | None, stop: int | None) -> bytes:
        start = 0 if start is None else start
        stop = self.size if stop is None else min(stop, self.size)
        if start >= stop:
            return b""
        if not self._kept_from <= start < stop <= self._kept_from + len(self._kept):
            self._fill(start, stop)
        self._read_to = stop
        return self._kept[start - self._kept_from : stop - self._kept_from]

    def _fill(self, start: int, stop: int) -> None:
        """Have all of a range in memory."""
        self._ahead = (
            min(2 * self._ahead, AHEAD_BYTES_MAX) if start == self._read_to else min(self.blocksize, self._ahead)
        )
        kept_to = self._kept_from + len(self._kept)
        beginning = self._kept[start - self._kept_from :] if self._kept_from <= start < kept_to else b""
        at = start + len(beginning)
        further = min(self.size, at + self._ahead)
        try:
            data = self.fetcher(at, max(stop, further))
        except OSError:
            if further <= stop:
                raise
            # Nobody has what is ahead, or the disk is full: what was asked for may be here all the same.
            self._ahead = 0
            data = self.fetcher(at, stop)
        self._kept, self._kept_from = beginning + data, start


register_cache(Ahead, clobber=True)
