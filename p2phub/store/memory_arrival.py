"""One fetch being written in memory: the same promises as on a disk, kept by one lock."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from p2phub.content import ChunkTable, Digest, RangeSet, Readable, ReadPlan, WritePlan
from p2phub.errors import ContentChanged, DiskError, Occupied
from p2phub.manifest import Manifest, check_path, check_paths
from p2phub.store.copying import copy_run
from p2phub.store.disk import Disk
from p2phub.store.fingerprints import Fingerprint
from p2phub.store.interface import HashedFile, Judge, LocalRun
from p2phub.store.judging import Judging
from p2phub.store.memory_files import MemoryFile, OpenMemoryFile, anonymous_file, same_bytes
from p2phub.store.rehash import matching_chunks
from p2phub.store.selected import Gap, Made, Part, Selected

if TYPE_CHECKING:
    from p2phub.store.memory import MemoryStore


class Unfinished(msgspec.Struct):
    """What an arrival left for the next one."""

    files: dict[int, MemoryFile] = msgspec.field(default_factory=dict)
    have: RangeSet = msgspec.field(default_factory=RangeSet)


class MemoryArrival:
    """The `Arrival` in memory."""

    def __init__(
        self,
        store: MemoryStore,
        manifest: Manifest,
        digest: Digest,
        table: ChunkTable,
        folder: Path,
        *,
        force: bool,
        selected: Selected | None = None,
        judge: Judge | None,
    ) -> None:
        made = selected.made if selected is not None else ()
        for entry in manifest.files:
            check_path(entry.path)
        if selected is not None and made:
            check_paths([*(manifest.files[number].path for number in selected.files), *(each.path for each in made)])
        if folder in store.being_written or store.in_use_at[folder]:
            raise Occupied(f"another fetch is writing to {folder}")
        self._store, self._manifest, self._digest, self._table = store, manifest, digest, table
        self._folder, self._force, self._closed = folder, force, False
        self._selected = selected
        everything = range(table.files)
        self._goes = frozenset(everything if selected is None else selected.files)
        touched = everything if selected is None else {file for file, _ in table.by_file(selected.chunks)} | self._goes
        there = store.folders.get(folder, {})
        self._placed: dict[int, Fingerprint] = {  # As they were then.
            number: there[entry.path].fingerprint()
            for number, entry in enumerate(manifest.files)
            if number in touched and entry.path in there and same_bytes(there[entry.path], table, number)
        }
        clashes = [path for path in self._clashes() if not force or self._blocked(path)]
        if clashes:
            raise Occupied(f"{folder} holds other files where these would go: {', '.join(clashes[:3])}")
        left = store.unfinished.setdefault((folder, digest), Unfinished())
        hints = [(file.descriptor, left.have & RangeSet.of([table.span(n)])) for n, file in left.files.items()]
        left.have = matching_chunks(table, hints) | RangeSet.of(table.span(file) for file in self._placed)
        self._left = left
        self._judging = Judging(judge, lambda file: manifest.files[file].path)
        self._refused: set[int] = set()
        self._plan = WritePlan(digest, table, self._open, lambda file: manifest.files[file].path)
        store.being_written.add(folder)

    @property
    def plan(self) -> WritePlan:
        return self._plan

    @property
    def have(self) -> RangeSet:
        return self._left.have

    def read_plan(self) -> ReadPlan:
        return ReadPlan(self._digest, self._table, self._left.have, self._open_to_read)

    def write(self, chunk: int, data: bytes) -> None:
        ref = self._table.chunk(chunk)
        assert len(data) == ref.length
        fd = self._open(ref.file)
        try:
            os.pwrite(fd, data, ref.offset)
        finally:
            os.close(fd)

    def verified(self, chunks: RangeSet) -> None:
        with self._store.lock:
            self._check()
            self._left.have |= chunks

    def copy(self, run: LocalRun) -> RangeSet:
        return copy_run(Disk(), self._table, run, self._open)

    def clone(self, run: LocalRun) -> bool:
        return False  # Files in memory cannot be cloned.

    def sync(self) -> None:
        with self._store.lock:
            self._check()
            for number, entry in enumerate(self._manifest.files):
                missing = RangeSet.of([self._table.span(number)]) - self._left.have
                is_free = entry.path not in self._store.folders.get(self._folder, {})
                goes = entry.size and not missing and number in self._goes and is_free
                if goes and self._allows(number):
                    self._place(number)
            self._judging.tell()

    def doubt(self) -> None:
        """All of it is read by the next attempt in any case."""

    def in_place(self, files: Sequence[int]) -> list[int]:
        with self._store.lock:
            return [file for file in files if file in self._placed]

    def finish(self, made: Sequence[Made] = ()) -> Path:
        with self._store.lock:
            self.sync()
            wanted = RangeSet.whole(len(self._table)) if self._selected is None else self._selected.chunks
            assert not wanted - self._left.have, "finish() before every chunk was verified"
            clashes = [path for path in self._clashes() if not self._force or self._blocked(path)]
            if clashes:
                raise Occupied(f"{self._folder} got other files where these go: {', '.join(clashes[:3])}")
            for number in sorted(self._goes - self._placed.keys()):
                if self._allows(number):
                    self._place(number)
            self._judging.tell()
            self._need_placed()
            for each in made:
                self._make(each)
            if self._selected is not None:
                made_bytes = sum(each.length for each in made)
                self._store.hold_some(
                    self._manifest, self._digest, self._folder, self._table, set(self._placed), made_bytes=made_bytes
                )
                self.close()
                placed = RangeSet.of(self._table.span(number) for number in self._placed)
                if not self._left.have - wanted - placed:  # Else an attempt at more left it, and may go on with it.
                    del self._store.unfinished[self._folder, self._digest]
                return self._folder
            there = self._store.folders.setdefault(self._folder, {})
            files = [
                HashedFile(
                    entry,
                    self._table.list_of(number) if entry.chunks > 1 else None,
                    there[entry.path].fingerprint(),
                    True,
                )
                for number, entry in enumerate(self._manifest.files)
            ]
            origin, source = self._store.origin_at(self._digest, self._folder)
            self._store.hold(self._manifest, self._digest, self._folder, files, origin=origin, source=source)
            self.close()
            del self._store.unfinished[self._folder, self._digest]
        return self._folder

    def close(self) -> None:
        with self._store.lock:
            if not self._closed:
                self._closed = True
                self._store.being_written.discard(self._folder)

    def _make(self, made: Made) -> None:
        there = self._store.folders.setdefault(self._folder, {})
        data = b"".join(map(self._part, made.parts))
        found = there.get(made.path)
        if found is not None and found.read() == data:
            return
        if self._blocked(made.path) or (found is not None and not self._force):
            raise Occupied(f"{self._folder / made.path} is another file, where what was selected would go")
        there[made.path] = MemoryFile(data)

    def _part(self, part: bytes | Part | Gap) -> bytes:
        if isinstance(part, bytes):
            return part
        if isinstance(part, Gap):
            return bytes(part.length)
        file = self._open_to_read(part.file)
        try:
            return os.pread(file.descriptor, part.stop - part.start, part.start)
        finally:
            file.close()

    def _check(self) -> None:
        if self._closed:
            raise DiskError(f"the fetch to {self._folder} was closed")

    def _allows(self, number: int) -> bool:
        if number in self._refused:
            return False
        size = self._manifest.files[number].size
        if size and not self._judging.allows(number, size, self._left.files[number].descriptor):
            self._refused.add(number)
        return number not in self._refused

    def _place(self, number: int) -> None:
        file = self._left.files.pop(number, None) or MemoryFile()
        self._store.folders.setdefault(self._folder, {})[self._manifest.files[number].path] = file
        self._placed[number] = file.fingerprint()

    def _need_placed(self) -> None:
        """Raise ContentChanged if somebody was at a file at its place, and it is not right any more."""
        there = self._store.folders.get(self._folder, {})
        for number, was in self._placed.items():
            path = self._manifest.files[number].path
            found = there.get(path)
            if found is None or (found.fingerprint() != was and not same_bytes(found, self._table, number)):
                raise ContentChanged(f"{self._folder / path} was changed while the rest was fetched")

    def _clashes(self) -> list[str]:
        """Return paths of the manifest where other files stand."""
        there = self._store.folders.get(self._folder, {})
        files = enumerate(self._manifest.files)
        paths = [entry.path for number, entry in files if number in self._goes and number not in self._placed]
        made = [] if self._selected is None else self._selected.made
        clashes = [path for path in paths if path in there or self._blocked(path)]
        return clashes + [
            each.path
            for each in made
            if self._blocked(each.path)
            or (each.path in there and not each.bytes_least <= len(there[each.path].read()) <= each.bytes_most)
        ]

    def _blocked(self, path: str) -> bool:
        """Whether `path` is a folder there, or a part of it is a file."""
        there = self._store.folders.get(self._folder, {})
        above = {path[:at] for at, letter in enumerate(path) if letter == "/"}
        return any(other.startswith(path + "/") or other in above for other in there)

    def _open(self, file: int) -> int:
        with self._store.lock:
            self._check()
            if file in self._placed:
                return anonymous_file()  # A late duplicate must not touch a file that is done.
            return os.dup(self._left.files.setdefault(file, MemoryFile()).descriptor)

    def _open_to_read(self, file: int) -> Readable:
        with self._store.lock:
            self._check()
            if file in self._placed:
                found = self._store.open_in_place(self._folder, self._manifest.files[file].path)
                if self._store.fingerprint_of(found) != self._placed[file]:
                    found.close()
                    raise ContentChanged(f"{self._manifest.files[file].path} has changed since it was hashed")
                return found
            if file not in self._left.files:
                raise DiskError(f"cannot read {self._manifest.files[file].path}: nothing of it came yet")
            opened = OpenMemoryFile(self._left.files[file], lambda: opened.expected)
            return opened
