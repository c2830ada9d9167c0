"""Power cuts: a disk that writes down every effect, and the disks that could be left if the power went at any of them.

`RecordingDisk` does everything for real and keeps a log of what happened below one folder. From a prefix of the log,
`image` makes what a disk may hold then: what was synced is there, and of everything else each write, or each sector of
512 bytes of it, and each change of a directory may or may not have got there. Three ways to choose: nothing of it, a
prefix of the changes of directories and none of the unsynced bytes (as a journaling file system leaves it), or each
by chance. Source: "All File Systems Are Not Created Equal" (OSDI 2014), whose weakest model this is, but that a rename
is one step and not lost once its new directory is synced.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from p2phub.store.database import INDEX
from p2phub.store.disk import Disk

SECTOR = 512
ROOT = 0
WAYS = ("lost", "ordered", "chance", "chance")
"""The disks that `images` makes after each step, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Write:
    inode: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Length:
    """The file has this length now; `grow`: at least."""

    inode: int
    length: int
    grow: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """In `folder`, `name` is `inode` now (None: nothing), and where it was before (`old`: folder, name) it is not.

    `link`: the inode is a symbolic link, and where it leads.
    """

    folder: int
    name: str
    inode: int | None
    is_folder: bool = False
    old: tuple[int, str] | None = None
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Synced:
    """What `inode` holds (bytes, or entries) is durable; None: everything is."""

    inode: int | None


@dataclass(frozen=True, slots=True)
class Said:
    """The store told its user something, which must hold after any later crash."""

    what: object


Step = Write | Length | Entry | Synced | Said


class RecordingDisk(Disk):
    """A real disk that keeps a log of its effects below `root` (which must be empty when it is given)."""

    def __init__(self, root: Path) -> None:
        self.log: list[Step] = []
        self._mutex = threading.Lock()
        status = os.stat(root)
        self._device = status.st_dev
        self._known = {status.st_ino: ROOT}
        self._next = 1

    def say(self, what: object) -> None:
        self.log.append(Said(what))

    @property
    def numbers(self) -> dict[int, int]:
        """The number in the log of each inode, as it is now."""
        return self._known

    def _number(self, fd: int) -> int | None:
        status = os.fstat(fd)
        return self._known.get(status.st_ino) if status.st_dev == self._device else None

    def _new(self, name: str, dir_fd: int, *, is_folder: bool, link: str | None = None) -> None:
        folder = self._number(dir_fd)
        if folder is not None:
            inode = os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_ino
            self._known[inode] = self._next  # Also where the system uses a number again.
            self.log.append(Entry(folder, name, self._next, is_folder, link=link))
            self._next += 1

    def open(self, name: str | os.PathLike[str], flags: int, mode: int = 0o666, *, dir_fd: int | None = None) -> int:
        with self._mutex:
            is_new = dir_fd is not None and bool(flags & os.O_CREAT) and str(name) not in os.listdir(dir_fd)
            fd = super().open(name, flags, mode, dir_fd=dir_fd)
            if is_new and dir_fd is not None:
                self._new(str(name), dir_fd, is_folder=False)
            return fd

    def mkdir(self, name: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        with self._mutex:
            super().mkdir(name, mode, dir_fd=dir_fd)
            if dir_fd is not None:
                self._new(name, dir_fd, is_folder=True)

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        with self._mutex:
            super().pwrite(fd, data, offset)
            if (inode := self._number(fd)) is not None:
                self.log.append(Write(inode, offset, bytes(data)))

    def truncate(self, fd: int, length: int) -> None:
        with self._mutex:
            super().truncate(fd, length)
            if (inode := self._number(fd)) is not None:
                self.log.append(Length(inode, length, grow=False))

    def allocate(self, fd: int, length: int) -> None:
        with self._mutex:
            super().allocate(fd, length)
            if (inode := self._number(fd)) is not None:
                self.log.append(Length(inode, length, grow=True))

    def clone(self, source_fd: int, target_fd: int) -> bool:
        with self._mutex:
            done = super().clone(source_fd, target_fd)
            if done and (inode := self._number(target_fd)) is not None:
                size = os.fstat(source_fd).st_size
                self.log.append(Write(inode, 0, os.pread(source_fd, size, 0)))
            return done

    def copy_range(self, source_fd: int, target_fd: int, offset: int, length: int) -> int | None:
        with self._mutex:
            count = super().copy_range(source_fd, target_fd, offset, length)
            if count and (inode := self._number(target_fd)) is not None:
                self.log.append(Write(inode, offset, os.pread(target_fd, count, offset)))
            return count

    def link(self, source_fd: int, name: str, *, dir_fd: int) -> None:
        with self._mutex:
            super().link(source_fd, name, dir_fd=dir_fd)
            if (folder := self._number(dir_fd)) is not None:
                inode = self._number(source_fd)
                assert inode is not None, "only files that the disk knows are linked"
                self.log.append(Entry(folder, name, inode))

    def symlink(self, target: str, name: str, *, dir_fd: int) -> None:
        with self._mutex:
            super().symlink(target, name, dir_fd=dir_fd)
            self._new(name, dir_fd, is_folder=False, link=target)

    def rename_new(self, source: str, target: str, *, source_fd: int, target_fd: int) -> None:
        with self._mutex:
            super().rename_new(source, target, source_fd=source_fd, target_fd=target_fd)
            self._renamed(source, target, source_fd, target_fd)

    def replace(self, source: str, target: str, *, source_fd: int, target_fd: int) -> None:
        with self._mutex:
            super().replace(source, target, source_fd=source_fd, target_fd=target_fd)
            self._renamed(source, target, source_fd, target_fd)

    def _renamed(self, source: str, target: str, source_fd: int, target_fd: int) -> None:
        old, new = self._number(source_fd), self._number(target_fd)
        if old is not None and new is not None:
            inode = self._known[os.stat(target, dir_fd=target_fd, follow_symlinks=False).st_ino]
            self.log.append(Entry(new, target, inode, old=(old, source)))

    def unlink(self, name: str, *, dir_fd: int) -> None:
        with self._mutex:
            super().unlink(name, dir_fd=dir_fd)
            if (folder := self._number(dir_fd)) is not None:
                self.log.append(Entry(folder, name, None))

    def rmdir(self, name: str, *, dir_fd: int) -> None:
        with self._mutex:
            super().rmdir(name, dir_fd=dir_fd)
            if (folder := self._number(dir_fd)) is not None:
                self.log.append(Entry(folder, name, None))

    def fdatasync(self, fd: int) -> None:
        with self._mutex:
            if (inode := self._number(fd)) is not None:
                self.log.append(Synced(inode))

    fsync = fdatasync

    def syncfs(self, fd: int) -> bool:
        with self._mutex:
            self.log.append(Synced(None))
            return True


class QuickDisk(Disk):
    """A disk that is asked for no durability: for what comes after the crash, which no test cuts again."""

    def fdatasync(self, fd: int) -> None:
        """Nothing is lost any more."""

    fsync = fdatasync

    def syncfs(self, fd: int) -> bool:
        return True


class StepsWithIndex(list[Step]):
    """A log that keeps, of each time that something was added, the index of `home` as it was then."""

    def __init__(self, home: Path) -> None:
        super().__init__()
        self._path = home / INDEX
        self.indexes: list[bytes] = [b""]

    def append(self, step: Step) -> None:
        super().append(step)
        self.indexes.append(self.read())

    def read(self) -> bytes:
        if not self._path.exists():
            return b""
        connection = sqlite3.connect(self._path)
        try:
            return connection.serialize()
        finally:
            connection.close()


@dataclass(slots=True)
class _Image:
    files: dict[int, bytearray] = field(default_factory=dict)
    folders: dict[int, dict[str, int]] = field(default_factory=lambda: {ROOT: {}})
    links: dict[int, str] = field(default_factory=dict)

    def learn(self, step: Step) -> None:
        """Note what an inode is. That is never lost while any entry leads to it, be it that of a later rename."""
        if isinstance(step, Entry) and step.inode is not None:
            if step.is_folder:
                self.folders[step.inode] = {}
            elif step.link is not None:
                self.links[step.inode] = step.link

    def write(self, step: Write, data: bytes, offset: int) -> None:
        held = self.files.setdefault(step.inode, bytearray())
        held.extend(bytes(max(0, offset + len(data) - len(held))))
        held[offset : offset + len(data)] = data

    def resize(self, step: Length) -> None:
        held = self.files.setdefault(step.inode, bytearray())
        held.extend(bytes(max(0, step.length - len(held))))
        if not step.grow:
            del held[step.length :]

    def enter(self, step: Entry) -> None:
        if step.old is not None:
            before = self.folders.setdefault(step.old[0], {})
            if before.get(step.old[1]) == step.inode:
                del before[step.old[1]]
        here = self.folders.setdefault(step.folder, {})
        if step.inode is None:
            here.pop(step.name, None)
            return
        here[step.name] = step.inode
        if step.inode not in self.folders and step.inode not in self.links:
            self.files.setdefault(step.inode, bytearray())

    def put_down(self, at: Path, numbers: dict[int, int], inode: int = ROOT) -> None:
        at.mkdir(exist_ok=True)
        numbers[at.stat().st_ino] = inode
        for name, below in self.folders.get(inode, {}).items():
            if below in self.folders:
                self.put_down(at / name, numbers, below)
                continue
            if below in self.links:
                (at / name).symlink_to(self.links[below])
            else:
                (at / name).write_bytes(self.files[below])
            numbers[(at / name).lstat().st_ino] = below


@contextlib.contextmanager
def short_lived(tmp_path: Path) -> Iterator[Path]:
    """Give a place for many short-lived files: in memory, where there is one, else `tmp_path`."""
    shared_memory = Path("/dev/shm")
    if not os.access(shared_memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=shared_memory) as made:
        yield Path(made)


def images(
    disk: RecordingDisk,
    scratch: Path,
    look: Callable[[Path, list[object]], None],
    *,
    begin_at: int = 0,
    ways: Sequence[str] = WAYS,
    learn: Callable[[dict[int, int]], None] | None = None,
) -> int:
    """Let the power go after every step, in every way, and `look(image, what was said)` at what is left.

    `learn` is told first what `image` returns. Returns at how many images.
    """
    count = 0
    for stop in range(begin_at, len(disk.log) + 1):
        for number, way in enumerate(ways):
            at = scratch / "image"
            numbers = image(disk.log, stop, way, stop * 31 + number, at)
            if learn is not None:
                learn(numbers)
            try:
                look(at, said_before(disk.log, stop))
            except BaseException as exc:
                exc.add_note(f"power cut after step {stop} of {len(disk.log)}, {way}, seed {stop * 31 + number}")
                raise
            shutil.rmtree(at)
            count += 1
    return count


def said_before(log: list[Step], stop: int) -> list[object]:
    return [step.what for step in log[:stop] if isinstance(step, Said)]


def image(log: list[Step], stop: int, way: str, seed: int, at: Path) -> dict[int, int]:
    """Put down at `at` (a new folder) what may be left after `stop` steps. Returns of which number of the log each
    inode there is the copy: on the disk whose power went it would be the same one.

    `way`: lost, ordered, chance (see above), or killed: the process alone died, and everything it did is there.
    """
    rng = random.Random(seed)
    durable = set(range(stop)) if way == "killed" else _durable(log, stop)
    entries_kept = rng.randint(0, stop) if way == "ordered" else 0
    made = _Image()
    for step in log[:stop]:
        made.learn(step)
    for index, step in enumerate(log[:stop]):
        sure = index in durable
        if isinstance(step, Write):
            if sure:
                made.write(step, step.data, step.offset)
            elif way == "chance":
                _write_some(made, step, rng)
        elif isinstance(step, Length):
            if sure or (way == "chance" and rng.random() < 0.5):
                made.resize(step)
        elif isinstance(step, Entry) and (sure or index < entries_kept or (way == "chance" and rng.random() < 0.5)):
            made.enter(step)
    numbers: dict[int, int] = {}
    made.put_down(at, numbers)
    return numbers


def _durable(log: list[Step], stop: int) -> set[int]:
    """Return which of the first `stop` steps a later sync among them made durable."""
    sure: set[int] = set()
    waiting: dict[int, list[int]] = {}
    for index, step in enumerate(log[:stop]):
        if isinstance(step, Synced):
            for inode in [step.inode] if step.inode is not None else list(waiting):
                sure.update(waiting.pop(inode, ()))
        elif isinstance(step, Write | Length):
            waiting.setdefault(step.inode, []).append(index)
        elif isinstance(step, Entry):
            waiting.setdefault(step.folder, []).append(index)
    return sure


def _write_some(made: _Image, step: Write, rng: random.Random) -> None:
    """Of an unsynced write, let nothing, everything, or some sectors get there; the length may grow in any case."""
    fate = rng.randrange(4)
    if fate == 1:
        made.write(step, step.data, step.offset)
    elif fate == 2:
        made.resize(Length(step.inode, step.offset + len(step.data), grow=True))
    elif fate == 3:
        edge = SECTOR - step.offset % SECTOR
        cuts = [0, *range(edge, len(step.data), SECTOR), len(step.data)]
        for start, stop in itertools.pairwise(cuts):
            if rng.random() < 0.5:
                made.write(step, step.data[start:stop], step.offset + start)
