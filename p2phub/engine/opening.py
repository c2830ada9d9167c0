"""Tensors that somebody reads while the rest arrives: told of in the order asked, each once it can be read.

A tensor can be read when its bytes are verified, and so is the header of its file, which says that they are this tensor
(see `choosing`). Order and readiness are decided here; where the bytes lie, and what is made of them, is the caller's.
Nothing is put at its place, or recorded as held: the unfinished files are what is read, and whoever has read them
removes them. They are for this alone.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

import trio

from p2phub.content import ChunkTable, ReadPlan, Run
from p2phub.engine.choosing import Chosen
from p2phub.engine.composing import check_header
from p2phub.engine.syncing import SyncFailed
from p2phub.engine.workers import Workers
from p2phub.errors import HubError
from p2phub.formats import Span
from p2phub.manifest import Manifest

TellOpened = Callable[[Sequence[tuple[int, Span]]], None]
"""Told which tensors can be read by now: the number of the file, and where in it."""


class Opening:
    """The tensors of one fetch. `look` blocks, and may be called while another thread does."""

    def __init__(self, chosen: Chosen, manifest: Manifest, table: ChunkTable) -> None:
        self._chosen, self._manifest, self._table = chosen, manifest, table
        self._waiting = deque(chosen.spans)
        self._checked: set[int] = set()
        self._readable: list[tuple[int, Span]] = []
        self._lock = threading.Lock()

    def runs(self) -> list[Run]:
        """Return the runs of chunks in which all is wanted: of each file the header before the first tensor."""
        found: list[Run] = []
        begun: set[int] = set()
        for number, span in self._chosen.spans:
            if number not in begun:
                begun.add(number)
                found.append(self._chosen.header_of(number, self._table))
            found.append(self._table.covering(number, span.start, span.stop))
        return [(start, stop) for start, stop in found if start < stop]

    def look(self, plan: ReadPlan) -> None:
        """Find out what can be read of `plan` that could not before. Blocks. Raises Damaged, DiskError."""
        with self._lock:
            while self._waiting:
                number, span = self._waiting[0]
                if number not in self._checked:
                    if not plan.held.covers(self._chosen.header_of(number, self._table)):
                        return
                    check_header(self._manifest.files[number], self._chosen.layouts[number], plan.open(number))
                    self._checked.add(number)
                if not plan.held.covers(self._table.covering(number, span.start, span.stop)):
                    return
                self._readable.append(self._waiting.popleft())

    def take(self) -> list[tuple[int, Span]]:
        """Return what was found since the last call."""
        with self._lock:
            taken, self._readable = self._readable, []
            return taken


class Telling:
    """The task that looks and tells, for one fetch; `plan` says what is verified by now."""

    def __init__(self, opening: Opening, plan: Callable[[], ReadPlan], workers: Workers, tell: TellOpened) -> None:
        self._opening, self._plan, self._workers, self._tell = opening, plan, workers, tell
        self._news = trio.Event()

    def note(self) -> None:
        """More is verified than before."""
        self._news.set()

    async def run(self, failed: trio.MemorySendChannel[SyncFailed]) -> None:
        """Look whenever there is news, until cancelled, or a file is not what its publisher says."""
        while True:
            await self._news.wait()
            self._news = trio.Event()
            try:
                await self.look()
            except HubError as error:
                await failed.send(SyncFailed(error))
                return

    async def look(self) -> None:
        """Look once. Raises Damaged, DiskError."""
        await self._workers.run(lambda: self._opening.look(self._plan()))
        if found := self._opening.take():
            self._tell(found)
