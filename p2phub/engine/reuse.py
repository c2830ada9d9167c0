"""Before anybody is asked: take what is missing from other files of this disk, wherever it lies, whatever it is called.

A whole file is cloned where the disk can; else chunks are read, hashed and written as if they had come from a peer, in
a few threads. A fetch that is stopped in the middle keeps what was copied, as it keeps what came. Nothing is synced
for it on the way: what a power cut takes is copied again.
Source: docs/design/store.md, "What is here already".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import trio

from p2phub.content import ChunkTable, RangeSet
from p2phub.engine.workers import Workers
from p2phub.errors import HubError
from p2phub.store import Arrival, LocalRun

PIECE_CHUNKS = 64  # What is copied before it is looked whether somebody still wants it.
TELL_S = 0.25

Find = Callable[[], list[LocalRun]]
"""Says where on this disk chunks lie that are wanted; in a worker."""

Tell = Callable[[int], None]
"""Told how many bytes are copied by now."""


async def reuse(arrival: Arrival, find: Find, *, workers: Workers, tell: Tell) -> RangeSet:
    """Copy what `find` finds on this disk into `arrival`; return which chunks that were. Raises DiskError."""
    runs = await workers.run(find)
    if not runs:
        return RangeSet()
    copying = _Copying(arrival)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(copying.keep_telling, tell)
        await workers.run_until_cancelled(lambda stopped: copying.clone(runs, stopped))
        async with trio.open_nursery() as threads:
            for _ in range(workers.threads):
                threads.start_soon(workers.run_until_cancelled, copying.copy)
        nursery.cancel_scope.cancel()
    if copying.failure is not None:
        raise copying.failure
    return await workers.run(copying.all)


class _Copying:
    """One copy of many runs. What its threads share changes in one step, under the GIL."""

    def __init__(self, arrival: Arrival) -> None:
        self._arrival = arrival
        self._pieces: Iterator[LocalRun] = iter(())  # Shared by the threads: `next` of a list's iterator is atomic.
        self._copied: list[tuple[RangeSet, int]] = []  # And how many bytes that is.
        self.failure: HubError | None = None

    def all(self) -> RangeSet:
        """Return which chunks were copied. For a worker: of a hundred thousand files it takes a tenth of a second."""
        return RangeSet.of(run for copied, _ in self._copied for run in copied.runs)

    def clone(self, runs: Sequence[LocalRun], stopped: Callable[[], bool]) -> None:
        """Clone the files that are here whole, and leave the rest to `copy`."""
        rest: list[LocalRun] = []
        table = self._arrival.plan.table
        try:
            for run in runs:
                if stopped():
                    return
                if self._arrival.clone(run):
                    self._take(RangeSet.of([(run.first, run.first + run.count)]))
                else:
                    rest += _pieces(table, run)
        except HubError as error:
            self.failure = error
        self._pieces = iter(rest)

    def copy(self, stopped: Callable[[], bool]) -> None:
        """Copy pieces until there are none left: the work of one thread."""
        try:
            for piece in self._pieces:
                if stopped() or self.failure is not None:
                    return
                self._take(self._arrival.copy(piece))
        except HubError as error:
            self.failure = error

    def _take(self, copied: RangeSet) -> None:
        self._arrival.verified(copied)
        self._copied.append((copied, self._arrival.plan.table.bytes_of(copied)))

    async def keep_telling(self, tell: Tell) -> None:
        told = copied_bytes = 0
        while True:
            await trio.sleep(TELL_S)
            new = self._copied[told:]  # On the event loop: no more than came since.
            told += len(new)
            copied_bytes += sum(count for _, count in new)
            tell(copied_bytes)


def _pieces(table: ChunkTable, run: LocalRun) -> list[LocalRun]:
    """Return a run in pieces of PIECE_CHUNKS."""
    offsets = [ref.offset for ref in table.chunks(run.first, run.count)]
    return [
        LocalRun(run.first + at, min(PIECE_CHUNKS, run.count - at), run.file, run.offset + offsets[at] - offsets[0])
        for at in range(0, run.count, PIECE_CHUNKS)
    ]
