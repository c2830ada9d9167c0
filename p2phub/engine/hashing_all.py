"""Hash many files in parallel threads, and note what is done, so that whoever is stopped goes on from there.

What an earlier pass hashed is not read again while its fingerprint holds: what a holding has of the folder, and what
was noted on the way by a pass that did not come to its end: whole files, and how far the large ones at hand were. Some
LOST_S of hashing are lost, and of files of up to 10 MiB those that each thread is at.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
import trio
from msgspec.structs import replace

from p2phub.content import Readable
from p2phub.engine.at_hand import AtHand, is_kept
from p2phub.engine.hashing import hash_file
from p2phub.engine.workers import Workers
from p2phub.errors import HubError
from p2phub.observe import PublishProgress, Watch
from p2phub.store import Fingerprint, FoundFile, HashedFile, Scan, Store

_log = logging.getLogger(__name__)
TELL_S = 0.25  # How often a watcher hears of progress.
LOST_S = 2.0  # Of hashing, when it is killed; more where noting takes longer than what is left of it.
NOTE_S = LOST_S / 4  # How often what was hashed is noted. A busy disk takes most of the rest of LOST_S for that.


class Files(Protocol):
    """Files to hash, by number. No object a file: there may be a million."""

    def __len__(self) -> int: ...

    def path(self, number: int) -> str:
        """Return what a file is called in its manifest."""

    def place(self, number: int) -> Path:
        """Return where it was found."""

    def fingerprint(self, number: int) -> Fingerprint:
        """Return how it was found."""

    def known(self, number: int) -> HashedFile | None:
        """Return what a holding says of it."""

    def open(self, number: int) -> Readable:
        """Raises HubError."""


class FolderHashed(msgspec.Struct, frozen=True):
    """All files of a folder in manifest order; `blobs`: the lists and layouts found; `bytes_hashed` were read for it;
    `remarks`: (path, what its publisher should know of it)."""

    files: tuple[HashedFile, ...]
    blobs: tuple[bytes, ...]
    bytes_hashed: int
    remarks: tuple[tuple[str, str], ...]


class _Stopped(Exception):
    """Nobody waits for the result any more."""


async def hash_folder(folder: Path, scan: Scan, *, store: Store, workers: Workers, watch: Watch) -> FolderHashed:
    """Hash what `scan` found, but not what an earlier publish hashed and whose fingerprint still holds.

    Raises ContentChanged or DiskError. Cancelled, it ends with the chunk that each thread is at.
    """
    remembered = await workers.run(lambda: store.remembered(folder))
    files = _InFolder(folder, scan.files, remembered, store)
    hashing = Hashing(files, store=store, workers=workers, watch=watch, stop_at_error=True)
    await hashing.run()
    if hashing.errors:
        raise next(iter(hashing.errors.values()))
    hashed = tuple(file for file in hashing.results if file is not None)
    assert len(hashed) == len(files)
    return FolderHashed(hashed, tuple(hashing.blobs), hashing.bytes_hashed, tuple(sorted(hashing.remarks)))


class _InFolder:
    """`Files` of a folder; what is known of them by path."""

    def __init__(
        self, folder: Path, files: Sequence[FoundFile], remembered: Mapping[str, HashedFile], store: Store
    ) -> None:
        self._folder, self._files, self._remembered, self._store = folder, files, remembered, store

    def __len__(self) -> int:
        return len(self._files)

    def path(self, number: int) -> str:
        return self._files[number].path

    def place(self, number: int) -> Path:
        return self._folder / self._files[number].path

    def fingerprint(self, number: int) -> Fingerprint:
        return self._files[number].fingerprint

    def known(self, number: int) -> HashedFile | None:
        return self._remembered.get(self._files[number].path)

    def open(self, number: int) -> Readable:
        return self._store.open_in_place(self._folder, self._files[number].path)


class Hashing:
    """One pass over `files`, in path order. With `stop_at_error` the first that cannot be hashed ends it.

    Afterwards `results` has what each file is, or None where `errors`, by number, says why not; `blobs` are lists and
    layouts of those that were read, `remarks` (path, what its publisher should know).
    """

    def __init__(
        self, files: Files, *, store: Store, workers: Workers, watch: Watch, stop_at_error: bool = False
    ) -> None:
        self._files = files
        self._store, self._workers, self._watch = store, workers, watch
        self._stop_at_error = stop_at_error
        self.results: list[HashedFile | None] = [None] * len(files)
        self.errors: dict[int, HubError] = {}
        self.blobs: list[bytes] = []
        self.remarks: list[tuple[str, str]] = []
        self._bytes_total = sum(files.fingerprint(number).size for number in range(len(files)))
        self._waiting = iter(list[int]())  # Shared by the threads: the GIL makes `next` of a list iterator atomic.
        self._read = [0] * workers.threads  # One slot a thread: `+=` on a shared number would need a lock.
        self._at_hand: list[tuple[int, AtHand] | None] = [None] * workers.threads  # And what each thread is at.
        self._to_note: deque[int] = deque()
        self._blobs_noted = 0
        self._stopped = False

    @property
    def bytes_hashed(self) -> int:
        """How many bytes were read for it."""
        return sum(self._read)

    async def run(self) -> None:
        """Hash all that is not known. Cancelled, it ends with the chunk that each thread is at."""
        todo = await self._workers.run(self._not_known)
        # The longest first, so that none starts last.
        todo.sort(key=lambda number: self._files.fingerprint(number).size, reverse=True)
        self._waiting = iter(todo)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_telling)
            async with trio.open_nursery() as slots:
                for slot in range(min(self._workers.threads, len(todo))):
                    slots.start_soon(self._run_slot, slot)
            nursery.cancel_scope.cancel()
        self._tell()

    def _not_known(self) -> list[int]:
        """Take over what is known, and return which files are to be hashed. Blocks."""
        todo: list[int] = []
        for number in range(len(self._files)):
            held = self._files.known(number)
            if held is not None and held.trusted and held.fingerprint == self._files.fingerprint(number):
                self.results[number] = held
            else:
                todo.append(number)
        noted = self._store.hashed_at(self._files.place(number) for number in todo)
        if not noted:
            return todo
        rest: list[int] = []
        for number in todo:
            was = noted.get(self._files.place(number))
            if was is None or was.fingerprint != self._files.fingerprint(number):
                rest.append(number)
                continue
            self.results[number] = replace(was, entry=replace(was.entry, path=self._files.path(number)), place=None)
        return rest

    async def _run_slot(self, slot: int) -> None:
        await self._workers.run_long(lambda: self._hash_until_done(slot))

    def _hash_until_done(self, slot: int) -> None:
        def advanced(count: int) -> None:
            self._read[slot] += count
            if self._stopped:
                raise _Stopped

        for number in self._waiting:
            try:
                hashed, blobs, odd = self._hash(number, slot, advanced)
            except _Stopped:
                return
            except HubError as error:
                self.errors[number] = error
                if self._stop_at_error:
                    self._stopped = True
                    return
                self._at_hand[slot] = None
                continue
            self.results[number] = hashed
            self.blobs.extend(blobs)
            self.remarks.extend((hashed.entry.path, what) for what in odd)
            self._to_note.append(number)
            self._at_hand[slot] = None

    def _hash(
        self, number: int, slot: int, advanced: Callable[[int], None]
    ) -> tuple[HashedFile, tuple[bytes, ...], tuple[str, ...]]:
        def begun(at_hand: AtHand) -> None:
            self._at_hand[slot] = (number, at_hand)

        found = self._files.fingerprint(number)
        file = self._files.open(number)
        try:
            before = self._store.fingerprint_of(file)
            trusted = before.settled(time.time_ns()) and self._store.shows_writes(file)
            if before == found:
                before = found  # One of two equal ones, for the sake of a million files.
            return hash_file(
                self._files.path(number),
                file,
                before,
                trusted=trusted,
                advanced=advanced,
                begun=begun,
                known=self._store.part_hashed(self._files.place(number)) if is_kept(before.size) else None,
            )
        finally:
            file.close()

    def _tell(self) -> None:
        told = PublishProgress(bytes_hashed=self.bytes_hashed, bytes_total=self._bytes_total, files=len(self._files))
        self._watch(told)

    async def _keep_telling(self) -> None:
        noted_at = trio.current_time()
        try:
            while True:
                await trio.sleep(TELL_S)
                self._tell()
                if (now := trio.current_time()) - noted_at >= NOTE_S:
                    noted_at = now  # Not when it is noted: what is hashed meanwhile waits as long as any other.
                    await self._workers.run(self._note_if_possible)
        finally:
            self._stopped = True  # Also when cancelled from outside: the threads see it after the chunk they are at.

    def note(self) -> None:
        """Note what was hashed since the last time. Blocks. Raises DiskError."""
        at_hand = [each for each in self._at_hand if each is not None]  # First: what is done meanwhile is not missed.
        numbers = [self._to_note.popleft() for _ in range(len(self._to_note))]
        blobs = self.blobs[self._blobs_noted :]
        self._blobs_noted += len(blobs)
        self._store.put_blobs(blobs)
        files = {self._files.place(number): file for number in numbers if (file := self.results[number]) is not None}
        self._store.note_hashed(files)
        parts = ((number, each.so_far()) for number, each in at_hand if number not in numbers)
        self._store.note_parts({self._files.place(number): part for number, part in parts if part is not None})

    def _note_if_possible(self) -> None:
        try:
            self.note()
        except HubError as error:  # All that is lost is that a second attempt is shorter.
            _log.info("what was hashed is not noted: %s", error)
