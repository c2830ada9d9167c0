"""The disk of a simulated node: a store, in memory or on a real disk, its speed, its end, and what a crash leaves.

The carrier writes and reads by descriptor, so its calls of the system are caught (`descriptors`): a write to a
full disk fails as on a real one, on a slow one it takes its time. `crash` spoils what was not synced, and the notes of
it stay: the worst that a store which keeps hints may meet. Every chunk that is counted is compared with the truth.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from random import Random

import trio
from msgspec.structs import replace

from p2phub import limits
from p2phub.content import ChunkTable, Digest, RangeSet, ReadPlan, WritePlan
from p2phub.errors import DiskError, DiskFull
from p2phub.manifest import Manifest
from p2phub.store import Arrival, Judge, LocalRun, Made, Selected
from p2phub.store.disk import Disk
from p2phub.store.filesystem import FilesystemStore
from p2phub.store.memory import MemoryStore
from simnet.descriptors import descriptors
from simnet.det import pause
from simnet.truth import Truth
from simnet.witness import Witness

_PIECE_BYTES = 256 * limits.KIB


class SimDisk(Disk):
    """Speed and room of one node's disk. `rate`: bytes a second that it takes, `sync_rate`: that it makes durable;
    None: no time at all.

    `real`: under a store on a real disk it makes nothing durable, and remembers what carriers wrote since the last
    sync. What one in memory loses says the store itself.
    """

    def __init__(self, node: str, witness: Witness, *, real: bool = False) -> None:
        self._node, self._witness, self._real = node, witness, real
        self.rate: float | None = None
        self.sync_rate: float | None = None
        self.room: int | None = None
        self._unsynced: dict[int, tuple[int, list[tuple[int, int]]]] = {}  # By inode: descriptor, writes.

    def write(self, count: int) -> None:
        """Take the time and room that writing takes. Raises OSError where there is no room."""
        if self.room is not None:
            if count > self.room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.room -= count
        if self.rate is not None:
            pause(count / self.rate)

    def wrote(self, descriptor: int, file: int, offset: int, count: int) -> None:
        """Note that bytes of file number `file` were written."""
        self._witness.wrote(self._node, file, offset, offset + count)
        if not self._real:
            return
        inode = os.fstat(descriptor).st_ino
        if inode not in self._unsynced:
            self._unsynced[inode] = (os.dup(descriptor), [])
        self._unsynced[inode][1].append((offset, count))

    def fdatasync(self, fd: int) -> None:
        self._forget(os.fstat(fd).st_ino)

    fsync = fdatasync

    def syncfs(self, fd: int) -> bool:
        for inode in list(self._unsynced):
            self._forget(inode)
        return True

    def lose(self, chance: Random) -> None:
        """Put zeros in place of what was not synced, each write by chance."""
        for descriptor, written in self._unsynced.values():
            for offset, count in written:
                if chance.random() < 0.5:
                    os.pwrite(descriptor, bytes(count), offset)
        self.forget_all()

    def forget_all(self) -> None:
        self.syncfs(-1)

    def _forget(self, inode: int) -> None:
        if inode in self._unsynced:
            os.close(self._unsynced.pop(inode)[0])


class SimStore(MemoryStore):
    """The memory store on a simulated disk, watched."""

    def __init__(self, node: str, truth: Truth, witness: Witness) -> None:
        super().__init__()
        self.disk = SimDisk(node, witness)
        self._node, self._truth, self._witness = node, truth, witness
        self._arrivals: list[WatchedArrival] = []

    def arrive(
        self,
        manifest: Manifest,
        digest: Digest,
        table: ChunkTable,
        destination: Path,
        *,
        force: bool,
        selected: Selected | None = None,
        judge: Judge | None = None,
        link: bool = False,
    ) -> Arrival:
        honest = super().arrive(
            manifest, digest, table, destination, force=force, selected=selected, judge=judge, link=link
        )
        arrival = WatchedArrival(honest, destination, self.disk, self._node, self._witness)
        self._arrivals.append(arrival)
        return arrival

    def crash(self, chance: Random) -> SimStore:
        """Put zeros in place of chunks that were noted and not synced, each by chance. The notes stay.

        Return the store to go on with.
        """
        for arrival in self._arrivals:
            left = self.unfinished.get((arrival.folder, self._truth.root))
            for chunk in arrival.unsynced if left is not None else ():
                ref = self._truth.table.chunk(chunk)
                if left is not None and ref.file in left.files and chance.random() < 0.5:
                    os.pwrite(left.files[ref.file].descriptor, bytes(ref.length), ref.offset)
        self._arrivals.clear()
        self.being_written.clear()
        return self

    def is_just(self, folder: Path, path: str, data: bytes) -> bool:
        """Whether the file at `path` in `folder` is `data`."""
        return _is_just(self.folders[folder][path].descriptor, data)

    def change(self, folder: Path, path: str) -> None:
        """Write over the second half of a file of its own, as its user might."""
        file = self.folders[folder][path]
        assert file not in self._truth.shared.values(), "others have that file, too"
        half = len(self._truth.files[path]) // 2
        os.pwrite(file.descriptor, bytes(half), half)
        file.version_ns += 1


class SimFilesystemStore(FilesystemStore):
    """The store of a home on a real disk, below `at`, watched; what is not synced may be lost."""

    def __init__(self, node: str, truth: Truth, witness: Witness, at: Path) -> None:
        self.disk = SimDisk(node, witness, real=True)
        super().__init__(at / "home", self.disk)
        self._node, self._truth, self._witness, self._at = node, truth, witness, at

    def arrive(
        self,
        manifest: Manifest,
        digest: Digest,
        table: ChunkTable,
        destination: Path,
        *,
        force: bool,
        selected: Selected | None = None,
        judge: Judge | None = None,
        link: bool = False,
    ) -> Arrival:
        honest = super().arrive(
            manifest, digest, table, destination, force=force, selected=selected, judge=judge, link=link
        )
        return WatchedArrival(honest, destination, self.disk, self._node, self._witness)

    def crash(self, chance: Random) -> SimFilesystemStore:
        """Lose what was not synced, and return the store that finds the rest."""
        self.close()
        self.disk.lose(chance)
        return SimFilesystemStore(self._node, self._truth, self._witness, self._at)

    def paths(self, folder: Path) -> list[str]:
        """Return what stands in `folder`, without what the store keeps there for itself."""
        found: list[str] = []
        for at, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if name != ".p2phub"]
            found += [Path(at, name).relative_to(folder).as_posix() for name in names]
        return found

    def is_just(self, folder: Path, path: str, data: bytes) -> bool:
        """Whether the file at `path` in `folder` is `data`."""
        with (folder / path).open("rb") as file:
            return _is_just(file.fileno(), data)


AnyStore = SimStore | SimFilesystemStore


def _is_just(descriptor: int, data: bytes) -> bool:
    """Whether a file is `data`: in pieces, since to read it at once would make as much memory anew, for each node."""
    view, piece = memoryview(data), bytearray(_PIECE_BYTES)
    for at in range(0, len(data), _PIECE_BYTES):
        expected = view[at : at + _PIECE_BYTES]
        count = os.preadv(descriptor, [piece], at)
        if (piece if count == _PIECE_BYTES else piece[:count]) != expected:
            return False
    return not os.pread(descriptor, 1, len(data))


def wrong_paths(store: AnyStore, folder: Path, truth: Truth) -> list[str]:
    """Return the paths of what stands in `folder` and is not what was signed."""
    return [
        path
        for path in store.paths(folder)
        if path not in truth.files or not store.is_just(folder, path, truth.files[path])
    ]


def look(store: AnyStore, folder: Path, node: str, truth: Truth, witness: Witness) -> None:
    """Compare all that could be read of a store by others with the truth."""
    plan = store.read_plan(truth.root)
    if plan is not None:
        witness.offers(node, plan.held, lambda chunk: _read_chunk(plan, chunk))
    for path in wrong_paths(store, folder, truth):
        witness.fail(f"{node}: {folder / path} stands there with bytes that were not signed")


class WatchedArrival:
    """`Arrival` that compares what is counted with the truth."""

    def __init__(self, inner: Arrival, folder: Path, disk: SimDisk, node: str, witness: Witness) -> None:
        self.folder = folder
        self._inner, self._disk, self._node, self._witness = inner, disk, node, witness
        self.unsynced = RangeSet()
        self._unsynced_since: float | None = None
        self._table = inner.plan.table
        self._waiting = RangeSet()  # For the next sync: a disk writes none of what comes while one runs.
        # Not written by the disk. A crash spoils `unsynced` alone: the store inside takes what came during a sync for
        # durable, and must not be blamed for it.
        self._behind = RangeSet()
        plan = inner.read_plan()
        witness.goes_on_with(node, inner.have, lambda chunk: _read_chunk(plan, chunk))

    @property
    def plan(self) -> WritePlan:
        inner = self._inner.plan

        def open_file(file: int) -> int:
            descriptor = inner.open(file)
            descriptors.lies_on(self._disk, file, descriptor)
            return descriptor

        def write_files(files: Sequence[int], parts: Sequence[memoryview]) -> None:
            assert inner.write_files is not None
            inner.write_files(files, parts)
            for file, part in zip(files, parts, strict=True):
                self._witness.wrote(self._node, file, 0, len(part))

        return replace(inner, open=open_file, write_files=None if inner.write_files is None else write_files)

    @property
    def have(self) -> RangeSet:
        return self._inner.have

    def read_plan(self) -> ReadPlan:
        return self._inner.read_plan()

    def write(self, chunk: int, data: bytes) -> None:
        self._disk_write(len(data))
        self._inner.write(chunk, data)
        ref = self._inner.plan.table.chunk(chunk)
        self._witness.wrote(self._node, ref.file, ref.offset, ref.offset + ref.length)

    def copy(self, run: LocalRun) -> RangeSet:
        copied = self._inner.copy(run)
        table = self._inner.plan.table
        self._disk_write(table.bytes_of(copied))
        for ref in map(table.chunk, copied):
            self._witness.wrote(self._node, ref.file, ref.offset, ref.offset + ref.length)
        return copied

    def clone(self, run: LocalRun) -> bool:
        return False  # Blocks that two files share would be lost in both.

    def verified(self, chunks: RangeSet) -> None:
        now = trio.current_time()
        if self._unsynced_since is not None and self._disk.sync_rate is None:
            self._witness.unsynced(self._node, now - self._unsynced_since)
        self._inner.verified(chunks)
        if chunks:
            self.unsynced |= chunks
            self._behind |= chunks
            self._waiting |= chunks
            self._witness.runs_ahead(self._node, self._table.bytes_of(self._behind), self._disk.sync_rate)
            self._unsynced_since = now if self._unsynced_since is None else self._unsynced_since
        plan = self._inner.read_plan()
        self._witness.reported(self._node, chunks, lambda chunk: _read_chunk(plan, chunk))

    def sync(self) -> None:
        due, self._waiting = self._waiting, RangeSet()
        if self._disk.sync_rate is not None:
            pause(self._table.bytes_of(due) / self._disk.sync_rate)
        self._behind -= due
        self._inner.sync()
        self.unsynced, self._unsynced_since = RangeSet(), None

    def doubt(self) -> None:
        self._inner.doubt()

    def in_place(self, files: Sequence[int]) -> list[int]:
        return self._inner.in_place(files)

    def finish(self, made: Sequence[Made] = ()) -> Path:
        return self._inner.finish(made)

    def close(self) -> None:
        self._inner.close()

    def _disk_write(self, count: int) -> None:
        try:
            self._disk.write(count)
        except OSError as exc:
            raise DiskFull("no space left for what arrives", hint="make room and run the same again") from exc


def _read_chunk(plan: ReadPlan, chunk: int) -> bytes | None:
    ref = plan.table.chunk(chunk)
    try:
        file = plan.open(ref.file)
    except DiskError:
        return None
    try:
        return descriptors.pread(file.descriptor, ref.length, ref.offset)
    finally:
        file.close()
