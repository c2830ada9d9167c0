"""Where on this disk chunks lie that somebody wants: in any file that is held, under whatever manifest, at any offset.

The index knows a chunk by the beginning of its digest; here the rest is compared, and runs are made of chunks that lie
one behind the other, so that the index is asked once a run. What is found was right when it was hashed: whoever
copies it hashes it again. Source: docs/design/store.md, "What is here already".
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from p2phub.content import ChunkTable, RangeSet
from p2phub.errors import DiskError
from p2phub.store.holding import Origin
from p2phub.store.holdings import Holdings
from p2phub.store.index import HoldingRow
from p2phub.store.index_content import Place
from p2phub.store.interface import LocalFile, LocalRun
from p2phub.store.known import Known
from p2phub.store.noting import LOOKED_UP_AFTER
from p2phub.store.opening import Opener


def find_local(holdings: Holdings, table: ChunkTable, wanted: RangeSet) -> list[LocalRun]:
    """Return where the chunks of `table` in `wanted` lie, ascending, each once. Raises DiskError."""
    holdings.noting.note_chunks(LOOKED_UP_AFTER)
    if not wanted or not holdings.contents.has_chunks():
        return []
    return _Search(holdings, table).runs(wanted)


class _Search:
    def __init__(self, holdings: Holdings, table: ChunkTable) -> None:
        self._holdings = holdings
        self._table = table
        self._rows: dict[int, HoldingRow] = {row.id: row for row in holdings.rows()}
        self._openers: dict[int, tuple[Known, Opener] | None] = {}
        self._files: dict[tuple[int, int], LocalFile | None] = {}

    def runs(self, wanted: RangeSet) -> list[LocalRun]:
        found: list[LocalRun] = []
        for start, stop in wanted.runs:
            at = start
            while at < stop:
                file_stop = min(stop, self._table.span(self._table.file_of(at))[1])
                run = self._run_from(at, file_stop)
                if run is not None:
                    found.append(run)
                at += 1 if run is None else run.count
        return found

    def _run_from(self, first: int, stop: int) -> LocalRun | None:
        """Return the longest run found that begins with chunk `first` and ends before `stop`."""
        best: LocalRun | None = None
        wanted = self._table.chunk(first)
        # What stands in attached places last: it is copied where another could be cloned.
        for place in sorted(self._holdings.contents.find_chunk(wanted.digest), key=self._is_shared):
            opened = self._opened(place.holding)
            number = None if opened is None else _number(opened[0].table, place)
            if opened is None or number is None:
                continue
            known, opener = opened
            here = known.table.chunk(number)
            if here.digest != wanted.digest or here.length != wanted.length or not opener.has(here.file):
                continue
            file = self._file(place.holding, here.file, known, opener)
            if file is None:
                continue
            count = self._alike(first, stop, known.table, number, known.table.span(here.file)[1])
            if best is None or count > best.count:
                best = LocalRun(first, count, file, here.offset)
            if count == stop - first:
                break  # No other has more.
        return best

    def _is_shared(self, found: Place) -> bool:
        row = self._rows.get(found.holding)
        return row is not None and row.origin is Origin.SHARED

    def _alike(self, first: int, stop: int, other: ChunkTable, number: int, other_stop: int) -> int:
        """Return how many chunks from `first` on are those from `number` on of `other`."""
        most = min(stop - first, other_stop - number)
        pairs = zip(self._table.chunks(first, most), other.chunks(number, most), strict=True)
        for count, (one, two) in enumerate(pairs):
            if one.digest != two.digest or one.length != two.length:
                return count
        return most

    def _opened(self, holding: int) -> tuple[Known, Opener] | None:
        if holding not in self._openers:
            row = self._rows.get(holding)  # None: a holding that is being forgotten.
            try:
                known = None if row is None else self._holdings.known(row.manifest)
                opener = None if row is None else self._holdings.copied_from(row)
            except DiskError:  # What cannot be read is of no use here, and fetched from others.
                known = opener = None
            self._openers[holding] = None if known is None or opener is None else (known, opener)
        return self._openers[holding]

    def _file(self, holding: int, number: int, known: Known, opener: Opener) -> LocalFile | None:
        """Return a file of a holding; None if it is not there any more, which its user need not have told anybody."""
        key = holding, number
        if key not in self._files:
            path, size = opener.path(number), known.manifest.files[number].size
            file = LocalFile(path, size, opener.trusts(number), partial(opener, number))
            self._files[key] = file if _stands(path, size) else None
        return self._files[key]


def _stands(path: Path, size: int) -> bool:
    """Whether a file of that length is there; what it is, whoever opens it sees."""
    try:
        return os.stat(path).st_size == size
    except OSError:
        return False


def _number(table: ChunkTable, place: Place) -> int | None:
    """Return the number in the manifest of the chunk at `place`, None if its file has no such chunk: two contents may
    be known by the same eight bytes."""
    if place.file >= table.files:
        return None
    first, stop = table.span(place.file)
    return first + place.number if first + place.number < stop else None
