"""How far an open file reads ahead: a part of what was read on already, so that little is fetched that nobody asks for.

Readers of tables ask for eight bytes here and a column there; each request to the hub costs about a millisecond, and
each new chunk a round trip. So a short read takes `blocksize` at least; one that goes on where the last ended a quarter
of all that was read on end, up to AHEAD_BYTES_MAX; one that is elsewhere begins anew. A long read takes what it asks
for.
"""

from __future__ import annotations

from fsspec.caching import BaseCache, register_cache

AHEAD_BYTES_MAX = 4 << 20
READ_FOR_AHEAD = 4  # So many bytes are read on end for each that is read ahead.


class Ahead(BaseCache):
    """What an open file keeps in memory: what was read last, and what comes behind it."""

    name = "p2phub"

    def __init__(self, blocksize, fetcher, size):  # type: ignore[no-untyped-def]
        super().__init__(blocksize, fetcher, size)
        self._kept, self._kept_from = b"", 0
        self._read_to = self._read_from = 0  # What was read on end.
        self._nothing_ahead = False

    def _fetch(self, start: int | None, stop: int | None) -> bytes:
        start = 0 if start is None else start
        stop = self.size if stop is None else min(stop, self.size)
        if start >= stop:
            return b""
        if start != self._read_to:
            self._read_from = start
        if not self._kept_from <= start < stop <= self._kept_from + len(self._kept):
            self._fill(start, stop)
        self._read_to = stop
        return self._kept[start - self._kept_from : stop - self._kept_from]

    def _fill(self, start: int, stop: int) -> None:
        """Have all of a range in memory."""
        kept_to = self._kept_from + len(self._kept)
        beginning = self._kept[start - self._kept_from :] if self._kept_from <= start < kept_to else b""
        at = start + len(beginning)
        ahead = max(self.blocksize, min((at - self._read_from) // READ_FOR_AHEAD, AHEAD_BYTES_MAX))
        further = at if self._nothing_ahead else min(self.size, at + ahead)
        try:
            data = self.fetcher(at, max(stop, further))
        except OSError:
            if further <= stop:
                raise
            # Nobody has what is ahead, or the disk is full: what was asked for may be here all the same.
            self._nothing_ahead = True
            data = self.fetcher(at, stop)
        self._kept, self._kept_from = beginning + data, start


register_cache(Ahead, clobber=True)
