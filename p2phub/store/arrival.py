"""One fetch being written: chunks noted, made durable, journaled; files put in their place when they are whole.

The order that everything rests on: data -> sync -> journal -> rename -> sync of the folder -> record. After a crash we
may forget a chunk that we have, never claim one that we lack. Source: docs/design/store.md.

Carriers never wait for a disk on somebody else's account: `_lock` guards what is known and is held for moments; `_door`
counts who uses the descriptors, so that `close` waits for them and they not for each other; `_syncing` is held through
`sync` and `finish`, by their threads alone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path

from p2phub.content import ChunkTable, Digest, RangeSet, Readable, ReadPlan, Steady, WritePlan
from p2phub.errors import ContentChanged, DiskError
from p2phub.manifest import Manifest
from p2phub.store.copying import clone_run, copy_run
from p2phub.store.destination import SCRATCH, Destination
from p2phub.store.disk import MAKE_FLAGS, ONE_BY_ONE_MAX, READ_FLAGS, WRITE_FLAGS, Disk, disk_error, disk_errors
from p2phub.store.doorway import Doorway
from p2phub.store.fingerprints import Fingerprints
from p2phub.store.folders import open_regular
from p2phub.store.interface import FETCHED_AGAIN, Judge, LocalRun
from p2phub.store.journal import Journal
from p2phub.store.judging import Judging
from p2phub.store.making import make_files
from p2phub.store.placing import WANTED, Places
from p2phub.store.selected import Made, Selected
from p2phub.store.survey import Survey

Record = Callable[[Sequence[int], Fingerprints, int], None]
"""Told, when all files are in place and durable, which those are, by number, their fingerprints in this order, and the
bytes of files that were made beside them."""


class GrowingFile:
    """A `Readable` of an unfinished file: it grows elsewhere while verified chunks are read here."""

    def __init__(self, descriptor: int, size: int) -> None:
        self.descriptor = descriptor
        self.steady = Steady(None, size)

    def unchanged(self) -> bool:
        return self.steady.holds(os.fstat(self.descriptor))

    def close(self) -> None:
        os.close(self.descriptor)


class FilesystemArrival:
    """The `Arrival` of the real disk. Made by `arriving.begin_arrival`."""

    def __init__(
        self,
        disk: Disk,
        manifest: Manifest,
        digest: Digest,
        table: ChunkTable,
        destination: Destination,
        journal: Journal,
        survey: Survey,
        record: Record,
        *,
        force: bool,
        selected: Selected | None = None,
        judge: Judge | None,
    ) -> None:
        self._force = force
        self._wanted = RangeSet.whole(len(table)) if selected is None else selected.chunks
        self._disk = disk
        self._manifest = manifest
        self._table = table
        self._destination = destination
        self._journal = journal
        self._record = record
        self._places = Places(disk, manifest, table, destination, survey, force=force, selected=selected)
        self._lock = threading.Lock()
        self._door = Doorway()
        self._syncing = threading.Lock()
        self._closed = False
        self._broken: DiskError | None = None
        self._finished = False
        self._leaves_hints = False
        self._durable = survey.marked | survey.whole
        self._have = self._durable | survey.hinted
        self._noted = survey.hinted
        self._names_made = True
        self._opened = bytearray(table.files)  # Whether the file was opened here before, and so is there.
        self._named = bytearray(table.files)  # Whether the journal says which file lies under the number.
        for number in survey.lying:
            self._named[number] = True
        self._parents_durable = False
        self._judging = Judging(judge, self._places.path)
        spans = (table.span(file) for file in range(table.files))
        self._missing = array("I", (stop - start for start, stop in spans))
        self._whole = self._count(self._have)
        self._plan = WritePlan(digest, table, self._open, self._places.path, write_files=self._write_files)

    @property
    def plan(self) -> WritePlan:
        return self._plan

    @property
    def have(self) -> RangeSet:
        return self._have

    def read_plan(self) -> ReadPlan:
        """Return how to serve what is verified so far. Good until `finish` or `close`; then ask the store."""
        return ReadPlan(self._plan.manifest, self._table, self._have, self._open_to_read)

    def write(self, chunk: int, data: bytes) -> None:
        ref = self._table.chunk(chunk)
        assert len(data) == ref.length
        fd = self._open(ref.file)
        try:
            with disk_errors(f"write {self._places.path(ref.file)}"):
                self._disk.pwrite(fd, data, ref.offset)
        finally:
            os.close(fd)

    def verified(self, chunks: RangeSet) -> None:
        with self._lock:
            self._check()
            new = chunks - self._have
            if not new:
                return
            with disk_errors(f"note progress in {self._destination.folder}"):
                self._journal.note(new)
            self._have |= new
            self._noted |= new
            self._whole += self._count(new)

    def copy(self, run: LocalRun) -> RangeSet:
        with disk_errors(f"write {self._places.path(self._table.file_of(run.first))}"):
            return copy_run(self._disk, self._table, run, self._open)

    def clone(self, run: LocalRun) -> bool:
        with disk_errors(f"write {self._places.path(self._table.file_of(run.first))}"):
            return clone_run(self._disk, self._table, run, self._open)

    def sync(self) -> None:
        with self._syncing:
            self._sync()
            self._judging.tell()

    def doubt(self) -> None:
        with self._syncing:
            if not self._closed:
                self._doubt()

    def in_place(self, files: Sequence[int]) -> list[int]:
        state = self._places.state
        return [file for file in files if state[file] != WANTED]

    def finish(self, made: Sequence[Made] = ()) -> Path:
        with self._syncing:
            self._sync()
            self._judging.tell()
            assert not self._wanted - self._have, "finish() before every chunk was verified"
            with disk_errors(f"finish {self._destination.folder}", option="--into"):
                self._places.place_empty()
                self._places.settle()
                self._make(made)
                self._places.make_durable()
                standing, found = self._places.standing(), self._places.fingerprints()
            self._record(standing, found, sum(each.length for each in made))
            if not self._leaves_more(standing):
                with contextlib.suppress(OSError):  # Done is done: what is left over is found and removed next time.
                    self._destination.clear()
            self._finished = True
        self.close()
        return self._destination.folder

    def _make(self, made: Sequence[Made]) -> None:
        try:
            make_files(self._disk, self._destination, made, self._open_to_read, force=self._force)
        except OSError as exc:
            if exc.errno != errno.EIO:
                raise
            raise self._not_read(exc) from exc

    def _leaves_more(self, standing: Sequence[int]) -> bool:
        """Whether more is verified than was selected, of files that do not stand at their place: it was left by an
        attempt at more, which may go on with it."""
        rest = self._have - self._wanted
        return bool(rest and rest - RangeSet.of(self._table.span(file) for file in standing))

    def close(self) -> None:
        with self._syncing, self._lock:
            if self._closed:
                return
            self._closed = True
            self._door.wait_until_empty()
            self._journal.close()
            # Nothing worth keeping: leave the place as we found it.
            if not (self._finished or self._have or self._leaves_hints or any(self._places.state)):
                with contextlib.suppress(OSError):
                    self._destination.clear()
                    self._destination.unmake()
            self._destination.close()

    # --- opening ---------------------------------------------------------------------------------------------------

    def _open(self, file: int) -> int:
        # A thousand times a second where files are small: hence no context that makes a message nobody reads.
        try:
            with self._door:
                self._check()
                # A late duplicate of a chunk must not touch a file that is done, least of all one that was the user's.
                if self._places.state[file] == WANTED:
                    return self._open_number(file)
                return self._open_or_make(SCRATCH, is_there=True)
        except OSError as exc:
            raise disk_error(exc, f"write {self._places.path(file)}") from exc

    def _write_files(self, files: Sequence[int], parts: Sequence[memoryview]) -> None:
        file = files[0]
        try:
            with self._door:
                self._check()
                state, open_number, pwrite, close = self._places.state, self._open_number, self._disk.pwrite, os.close
                for file, part in zip(files, parts, strict=True):
                    if state[file] != WANTED:
                        continue  # A late duplicate, as in `_open`: nothing to do.
                    fd = open_number(file)
                    try:
                        pwrite(fd, part, 0)
                    finally:
                        close(fd)
        except OSError as exc:
            raise disk_error(exc, f"write {self._places.path(file)}") from exc

    def _open_number(self, file: int) -> int:
        if not self._opened[file]:
            self._opened[file] = True
            try:
                fd = self._disk.open(str(file), MAKE_FLAGS, dir_fd=self._destination.partials)
            except FileExistsError:  # Of an earlier attempt.
                pass
            else:
                self._names_made = True
                return fd
        return self._open_or_make(str(file), is_there=True)

    def _open_or_make(self, name: str, *, is_there: bool) -> int:
        """Open an unfinished file, made if it is not there; `is_there` is what to try first."""
        partials = self._destination.partials
        while True:
            if is_there:
                with contextlib.suppress(FileNotFoundError):
                    return self._disk.open(name, WRITE_FLAGS, dir_fd=partials)
            else:
                with contextlib.suppress(FileExistsError):
                    fd = self._disk.open(name, MAKE_FLAGS, dir_fd=partials)
                    self._names_made = True
                    return fd
            is_there = not is_there

    def _open_to_read(self, file: int) -> Readable:
        path = self._places.path(file)
        with self._door, disk_errors(f"read {path}"):
            self._check()
            if self._places.state[file] == WANTED:
                return self._open_partial(file)
            try:
                return self._open_at_its_place(file)
            except FileNotFoundError:  # On its way there this moment.
                return self._open_partial(file)

    def _open_partial(self, file: int) -> Readable:
        try:
            fd = open_regular(str(file), dir_fd=self._destination.partials)
        except FileNotFoundError:
            return self._open_at_its_place(file)
        return GrowingFile(fd, self._manifest.files[file].size)

    def _open_at_its_place(self, file: int) -> Readable:
        found = self._destination.open_file(self._places.path(file))
        if self._places.is_as_it_was(file, found.expected):
            return found
        found.close()
        raise ContentChanged(f"{self._places.path(file)} has changed since it was hashed")

    def _check(self) -> None:
        if self._closed:
            raise DiskError(f"the fetch to {self._destination.folder} was closed")
        if self._broken is not None:
            raise self._broken

    # --- durability ------------------------------------------------------------------------------------------------

    def _sync(self) -> None:
        with self._lock:
            self._check()
            noted, self._noted = self._noted, RangeSet()
            whole, self._whole = self._whole, []
            with disk_errors(f"note progress in {self._destination.folder}"):
                self._journal.turn()
            if not noted and not whole:
                return  # Names that were made, the journal's among them, are still to be made durable.
            names_made, self._names_made = self._names_made, False
        files = sorted({file for file, _ in self._table.by_file(noted)})
        try:
            self._make_durable(files, names_made=names_made)
        except OSError as exc:
            self._break(disk_error(exc, f"make {self._destination.folder} durable"), hints_hold=False)
        try:
            whole = self._allowed(whole)
        except OSError as exc:
            # Durable, and not noted as that: a re-hash will find it, and what of it cannot be read.
            self._break(self._not_read(exc), hints_hold=True)
        try:
            placed = self._places.identities(whole)
            lying = self._places.lying(file for file in files if not self._named[file] and file not in placed)
            self._journal.mark(noted, placed, lying)
            for file in lying:
                self._named[file] = True
        except OSError as exc:
            # The data is safe; only the note of it is not. A re-hash will find it.
            self._break(disk_error(exc, f"write the journal of {self._destination.folder}"), hints_hold=True)
        with self._lock:
            self._durable |= noted
        self._place(whole)

    def _allowed(self, whole: list[int]) -> list[int]:
        """Return those of `whole` that may be put in their place. The rest stays under its number. Raises OSError."""
        if self._judging.allows_all:
            return whole
        allowed: list[int] = []
        for file in whole:
            fd = os.open(str(file), READ_FLAGS, dir_fd=self._destination.partials)
            try:
                if self._judging.allows(file, self._manifest.files[file].size, fd):
                    allowed.append(file)
            finally:
                os.close(fd)
        return allowed

    def _doubt(self) -> None:
        unfinished = [file for file, _ in self._table.by_file(self._durable) if self._places.state[file] == WANTED]
        with contextlib.suppress(OSError):  # The next attempt meets the same fault, then, and doubts it.
            self._journal.doubt(unfinished)

    def _not_read(self, error: OSError) -> DiskError:
        """Return what to say of unfinished files that could not be read; where the disk failed, the next attempt is to
        find out at what."""
        failed = disk_error(error, f"read what arrived in {self._destination.folder}")
        if error.errno not in (errno.EIO, None):  # None: it gave less than the length of the file.
            return failed
        self._doubt()
        return DiskError(failed.message, hint=FETCHED_AGAIN)

    def _make_durable(self, files: Sequence[int], *, names_made: bool) -> None:
        """Data first, then the names under which it is found. Raises OSError."""
        partials = self._destination.partials
        if len(files) > ONE_BY_ONE_MAX and self._disk.syncfs(partials):
            self._parents_durable = True
            return
        for file in files:
            fd = self._disk.open(str(file), WRITE_FLAGS, dir_fd=partials)
            try:
                self._disk.fdatasync(fd)
            finally:
                os.close(fd)
        if names_made:
            self._disk.fsync(partials)
        if not self._parents_durable:
            self._disk.fsync(self._destination.own)
            self._disk.fsync(self._destination.root)
            self._parents_durable = True

    def _break(self, error: DiskError, *, hints_hold: bool) -> None:
        """Believe nothing noted since the last mark, now or later, and raise `error`.

        After a failed sync the system may have dropped the data and will not say so twice: trying again would be told
        "fine". Chunks whose report is still on its way are as doubtful, so this arrival takes no more of them.
        """
        with self._lock:
            self._broken = error
            self._leaves_hints = hints_hold and bool(self._have)
            self._have = self._durable
            self._noted = RangeSet()
            self._whole = []
            if not hints_hold:
                self._journal.forget_hints()
        raise error

    def _place(self, whole: Sequence[int]) -> None:
        """Move whole, durable files to their place. Raises DiskError; the rest waits for the next time."""
        waiting = sorted(whole, reverse=True)
        try:
            with disk_errors(f"place files in {self._destination.folder}", option="--into"):
                self._places.make_folders(waiting)
                self._places.place(waiting)
        except DiskError:
            with self._lock:
                self._whole += waiting
            raise

    def _count(self, new: RangeSet) -> list[int]:
        """Take `new` chunks off what files miss. Returns those that became whole, and go to their place."""
        whole: list[int] = []
        missing = self._missing
        for file, count in self._table.by_file(new):
            missing[file] -= count
            if not missing[file] and self._places.goes(file):
                whole.append(file)
        return whole
