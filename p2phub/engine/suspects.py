"""Look early into files that may be dangerous to load, so that ten gigabytes are not fetched to be refused.

By a file's name it is decided whether to look early, at the price of a pass over the paths; what is refused is decided
by content alone (`formats.danger_of`), as for every file when it is whole (`store.judging`). Beginning and end of a
suspect are wanted before all else, and looked into as soon as they are verified. What these do not tell has to wait
until the file is whole. Of many suspects a few of each kind stand for the others. Of a selection only files that go to
their place are looked into: those wanted whole, since of the others nothing is put where a tool finds it.
Source: docs/decisions/0092.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial

import msgspec
import trio

from p2phub import limits
from p2phub.content import ChunkTable, RangeSet, ReadPlan, Run
from p2phub.engine.preadv import read_exactly, unfinished_files_of
from p2phub.engine.workers import Workers
from p2phub.errors import HubError
from p2phub.formats import danger_of, refusal, suspect, telling_spans
from p2phub.manifest import Manifest
from p2phub.store import Arrival, Selected


class LookFailed(msgspec.Struct, frozen=True):
    """A file that is not here yet is refused already, or what is here of it cannot be read."""

    error: HubError


class Suspects:
    """The files of one fetch to look into early; none before `begin`."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._manifest = Manifest(())
        self._unseen: dict[int, RangeSet] = {}  # By file the chunks that tell, which are not all here.
        self._wanted = RangeSet()  # All of these.
        self._news = trio.Event()
        self._news.set()  # They may be here from an earlier attempt.

    def begin(self, manifest: Manifest, table: ChunkTable, arrival: Arrival, selected: Selected | None = None) -> None:
        """The manifest is here, and how far an earlier attempt came. `selected`: what of it is fetched, None: all.
        Blocks: there may be a million paths."""
        self._manifest = manifest
        by_kind: dict[str, list[int]] = defaultdict(list)
        for file in range(table.files) if selected is None else selected.files:
            entry = manifest.files[file]
            kind = suspect(entry.path)
            if kind is not None and entry.size:
                by_kind[kind].append(file)
        if not by_kind:
            return
        in_place = set(arrival.in_place([file for files in by_kind.values() for file in files]))
        absent = ([file for file in files if file not in in_place] for files in by_kind.values())
        in_turn = sorted((at, file) for files in absent for at, file in enumerate(files[: limits.EARLY_LOOKS_MAX]))
        for _, file in in_turn[: limits.EARLY_LOOKS_MAX]:
            spans = telling_spans(manifest.files[file].size)
            self._unseen[file] = RangeSet.of(table.covering(file, start, stop) for start, stop in spans)
        self._sum_up()

    def runs(self) -> Sequence[Run]:
        """Return the runs of chunks that are wanted first, EARLY_LOOKS_MAX times two at most."""
        return self._wanted.runs

    def came(self, chunks: RangeSet) -> None:
        """These are verified by now."""
        if self._wanted and chunks & self._wanted:
            self._news.set()

    async def run(self, arrival: Arrival, tell: trio.MemorySendChannel[LookFailed]) -> None:
        """Look into each suspect when what tells of it is here, until there are none, or one is found."""
        while self._unseen:
            await self._news.wait()
            self._news = trio.Event()
            have = arrival.have
            ready = [file for file, chunks in self._unseen.items() if not chunks - have]
            try:
                found = await self._workers.run(partial(_look, self._manifest, arrival, ready)) if ready else []
            except HubError as error:
                await tell.send(LookFailed(error))
                return
            if found:
                await tell.send(LookFailed(refusal(found, len(found))))
                return
            for file in ready:
                del self._unseen[file]
            self._sum_up()

    def _sum_up(self) -> None:
        self._wanted = RangeSet.of(run for chunks in self._unseen.values() for run in chunks.runs)


class _NotHere(Exception):
    """It takes more to tell than what was wanted early."""


def _look(manifest: Manifest, arrival: Arrival, files: Sequence[int]) -> list[tuple[str, str]]:
    """Return path and why of those that are dangerous, as far as what is verified tells. Raises DiskError."""
    plan = arrival.read_plan()
    found: list[tuple[str, str]] = []
    for file in files:
        entry = manifest.files[file]
        opened = plan.open(file)
        try:
            with unfinished_files_of(arrival):
                why = danger_of(entry.size, partial(_read, plan, file, opened.descriptor, entry.path))
        except _NotHere:
            continue
        finally:
            opened.close()
        if why is not None:
            found.append((entry.path, why))
    return found


def _read(plan: ReadPlan, file: int, descriptor: int, path: str, offset: int, length: int) -> bytes:
    if RangeSet((plan.table.covering(file, offset, offset + length),)) - plan.held:
        raise _NotHere
    return read_exactly(descriptor, offset, length, path)
