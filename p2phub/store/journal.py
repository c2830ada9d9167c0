"""The journal of one arrival: which chunks are durable, which files were put in their place, and hints since then.

`journal` is append-only, of checksummed records; its header binds manifest and table, and nothing is added to it before
the data it speaks of is durable: after a crash it may lack a chunk that is there, never name one that is not.
Each of its records is sealed (`seal`), and those of durable chunks hold for the file, by device and inode, that lay
under its number when they were written, unless it was changed when we cannot have done it. From the first record on
that is not sealed by this home for this folder (what another wrote, a copy, what a version before the seals left), its
marks are hints like those below.
`hints.0` and `hints.1` name chunks written since the last mark; never synced, so worth what a re-hash finds. They take
turns at each mark, so that what is noted while a mark is being made outlives it.
Source: docs/design/store.md. Read-side faults (torn, garbage, another manifest's) mean less is known, nothing else.
What is read may come from a stranger: one record is held at a time, none larger than the manifest can need.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import secrets
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from p2phub import limits
from p2phub.content import RangeSet
from p2phub.store.disk import WRITE_FLAGS, Disk, open_for_reading
from p2phub.store.gathering import Gathering
from p2phub.store.records import RECORD_BYTES_MAX, encode_record, read_records
from p2phub.store.seal import NONCE_BYTES, TAG_BYTES, Seal

_HEADER = struct.Struct(">8s32sIIQ")
_MAGIC = b"p2phjn\x00\x02"
_MAGIC_UNSEALED = b"p2phjn\x00\x01"  # As written before there were seals.
_RUN = struct.Struct(">II")
_PLACED = struct.Struct(">IQQQq")
_LYING = struct.Struct(">IQQ")
_TIME = struct.Struct(">q")
JOURNAL = "journal"
_NEW = "journal.new"
_HINTS = ("hints.0", "hints.1")
NAMES = (JOURNAL, _NEW, *_HINTS)
WRITTEN_ON_S = 900.0
"""This long after its last mark we may have gone on writing: one chunk on a slow line, one sync on a busy disk."""


class Binding(msgspec.Struct, frozen=True):
    """What a journal belongs to: it is worth nothing for any other manifest or table."""

    manifest: bytes
    files: int
    chunks: int
    bytes_total: int

    def encode(self, magic: bytes = _MAGIC) -> bytes:
        return _HEADER.pack(magic, self.manifest, self.files, self.chunks, self.bytes_total)

    @property
    def record_bytes_max(self) -> int:
        """What the body of our longest record may take: every second chunk a run of its own, or every file placed."""
        return 128 + max(_RUN.size * self.chunks, _PLACED.size * self.files)

    @property
    def journal_bytes_max(self) -> int:
        """What a journal may take in which each chunk and file came by a mark of its own, and some to spare."""
        return min(limits.JOURNAL_BYTES_MAX, 64 * limits.KIB + 128 * self.chunks + 256 * self.files)


class FileId(NamedTuple):
    """Which file lies under a number, whatever is in it."""

    device: int
    inode: int


_NO_FILE = FileId(0, 0)


class Identity(NamedTuple):
    """What tells a file that we put in its place from another: unlike the change time, a rename leaves these alone."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)

    @property
    def id(self) -> FileId:
        return FileId(self.device, self.inode)


class Remembered(msgspec.Struct, frozen=True):
    """What an earlier attempt left: `durable` chunks, files `placed`, and `hints` to be re-hashed.

    `lying`: which file the durable chunks of an unfinished one are in. They are in no other, nor in one not named.
    `marked_ns`: when the last mark was made, by the clock that the file system has for changes.
    """

    durable: RangeSet = msgspec.field(default_factory=RangeSet)
    placed: Mapping[int, Identity] = msgspec.field(default_factory=dict)
    hints: RangeSet = msgspec.field(default_factory=RangeSet)
    lying: Mapping[int, FileId] = msgspec.field(default_factory=dict)
    marked_ns: int = 0

    def speaks_of(self, number: int, status: os.stat_result) -> bool:
        """Whether the unfinished file under `number`, of this `status`, is the one that was marked, left alone since.

        Nobody can set its time of change back: what was unpacked over our file, in place, shows by it. Once a file is
        about to be placed it does not change any more: if it did, it went to its place and this is another.
        """
        found = Identity.of(status)
        if status.st_ctime_ns > self.marked_ns + WRITTEN_ON_S * 1e9:
            return False
        if number in self.placed:
            return self.placed[number] == found
        return self.lying.get(number) == found.id


def read_journal(folder_fd: int, binding: Binding, secret: bytes) -> Remembered:
    """Return what the journal and hints in the folder say for `binding`; nothing if there is none. Raises OSError."""
    reader = _Reader(binding)
    try:
        reader.read(_records(folder_fd, JOURNAL, binding), folder_fd, secret)
    except OSError as exc:
        # What it says behind this is lost, not what it is of: anything that lies here may be right.
        if exc.errno != errno.EIO:
            raise
        return Remembered(hints=RangeSet.whole(binding.chunks))
    if not reader.is_bound:
        return Remembered()
    for name in _HINTS:
        try:
            reader.read_hints(_records(folder_fd, name, binding))
        except OSError as exc:
            if exc.errno != errno.EIO:
                raise
    durable = reader.durable.union()
    return Remembered(durable, reader.placed, reader.hints.union() - durable, reader.lying, reader.marked_ns)


class _Reader:
    """What the records of one journal come to."""

    def __init__(self, binding: Binding) -> None:
        self._binding = binding
        self.is_bound = False
        self.durable = Gathering()
        self.hints = Gathering()
        self.placed: dict[int, Identity] = {}
        self.lying: dict[int, FileId] = {}
        self.marked_ns = 0
        self._runs_left = binding.chunks  # Each of our files names a chunk once: more runs than chunks are not ours.

    def read(self, records: Iterator[tuple[int, bytes]], folder_fd: int, secret: bytes) -> None:
        _, header = next(records, (0, b""))
        plain, tag = header[:-TAG_BYTES], header[-TAG_BYTES:]
        sealed = plain[: _HEADER.size] == self._binding.encode()
        if not sealed and header != self._binding.encode(_MAGIC_UNSEALED):
            return
        self.is_bound = True
        seal = _seal(secret, plain, folder_fd)
        believed = sealed and seal.holds(tag, plain, 0)
        for at, record in records:
            body = record[:-TAG_BYTES] if sealed else record
            believed = believed and seal.holds(record[-TAG_BYTES:], body, at)
            self._take(body[:1], memoryview(body)[1:], believed=believed)

    def read_hints(self, records: Iterator[tuple[int, bytes]]) -> None:
        self._runs_left = self._binding.chunks
        for _, body in records:
            self._gather(self.hints, body)

    def _gather(self, where: Gathering, packed: bytes | memoryview) -> None:
        self._runs_left -= len(packed) // _RUN.size
        if self._runs_left >= 0:
            where.add(_runs(packed, self._binding.chunks))

    def _take(self, kind: bytes, rest: memoryview, *, believed: bool) -> None:
        if kind == b"D":
            self._gather(self.durable if believed else self.hints, rest)
        elif kind == b"P" and believed:
            for file, *identity in _PLACED.iter_unpack(rest):
                self.placed[file] = Identity(*identity)
                self.lying.pop(file, None)
        elif kind == b"L" and believed:
            for file, device, inode in _LYING.iter_unpack(rest):
                self.lying[file] = FileId(device, inode)
                self.placed.pop(file, None)
        elif kind == b"T" and believed:
            (self.marked_ns,) = _TIME.unpack(rest)


class Journal:
    """The journal of an arrival under way. `mark` belongs to one thread; `note`, `turn` to a lock."""

    def __init__(self, disk: Disk, folder_fd: int, binding: Binding, known: Remembered, secret: bytes) -> None:
        """Begin anew with what is `known`; hints, just re-hashed, stay hints. Raises OSError."""
        self._disk = disk
        header = binding.encode() + secrets.token_bytes(NONCE_BYTES)
        self._seal = _seal(secret, header, folder_fd)
        self._files: list[int] = []
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            self._journal = self._open_new(folder_fd)
            self._end = 0
            self._append(header)
            self._append_marks(known.durable, known.placed, known.lying)
            if known.durable or known.placed:
                disk.fdatasync(self._journal)
            # The whole old journal or the whole new one: an append to a torn tail would be lost behind it. The rename
            # is made durable by the first sync of the arrival, which comes before the first mark.
            disk.replace(_NEW, JOURNAL, source_fd=folder_fd, target_fd=folder_fd)
            # Likewise the hints: a kill at any moment between leaves either the old ones or these.
            self._hints = [self._open_new(folder_fd)]
            self._hint_ends = [0, 0]
            self._turn = 0
            self.note(known.hints)
            disk.replace(_NEW, _HINTS[0], source_fd=folder_fd, target_fd=folder_fd)
            self._hints.append(self._open(folder_fd, _HINTS[1]))
            disk.truncate(self._hints[1], 0)
            undo.pop_all()

    def _open_new(self, folder_fd: int) -> int:
        with contextlib.suppress(FileNotFoundError):
            self._disk.unlink(_NEW, dir_fd=folder_fd)
        return self._open(folder_fd, _NEW)

    def _open(self, folder_fd: int, name: str) -> int:
        fd = self._disk.open(name, WRITE_FLAGS | os.O_CREAT, 0o600, dir_fd=folder_fd)
        self._files.append(fd)
        return fd

    def note(self, chunks: RangeSet) -> None:
        """Write chunks down as a hint: one small unsynced append. Raises OSError."""
        body = b"".join(_RUN.pack(start, stop) for start, stop in chunks.runs)
        record = encode_record(body, self._hint_ends[self._turn]) if body else b""
        self._disk.pwrite(self._hints[self._turn], record, self._hint_ends[self._turn])
        self._hint_ends[self._turn] += len(record)

    def turn(self) -> None:
        """Let further hints go to the other file; its own were settled by the last mark."""
        other = 1 - self._turn
        self._disk.truncate(self._hints[other], 0)
        self._hint_ends[other] = 0
        self._turn = other

    def mark(self, durable: RangeSet, placed: Mapping[int, Identity], lying: Mapping[int, FileId]) -> None:
        """Write down what is now durable, in which files it is, and which of them are about to be placed.

        A file need be named once. Durable on return. Raises OSError.
        """
        if durable or placed:
            self._append_marks(durable, placed, lying)
            self._disk.fdatasync(self._journal)

    def doubt(self, files: Iterable[int]) -> None:
        """Let what was marked of unfinished `files` be in none: it is read as hints from now on. Raises OSError."""
        self._append_all(b"L", _LYING, ((file, *_NO_FILE) for file in sorted(files)))
        self._disk.fdatasync(self._journal)

    def forget_hints(self) -> None:
        """Drop all hints: a write was lost, and a re-hash could be answered from memory that never reached the disk."""
        for fd in self._hints:
            with contextlib.suppress(OSError):
                self._disk.truncate(fd, 0)
        self._hint_ends = [0, 0]

    def close(self) -> None:
        while self._files:
            os.close(self._files.pop())

    def _append_marks(self, durable: RangeSet, placed: Mapping[int, Identity], lying: Mapping[int, FileId]) -> None:
        # Files before the chunks in them: a mark that was torn then names no chunk of a file that nothing is known of.
        self._append_all(b"L", _LYING, ((file, *which) for file, which in sorted(lying.items())))
        self._append_all(b"P", _PLACED, ((file, *which) for file, which in sorted(placed.items())))
        self._append_all(b"D", _RUN, durable.runs)
        self._append(b"T" + _TIME.pack(os.fstat(self._journal).st_ctime_ns))

    def _append_all(self, kind: bytes, form: struct.Struct, rows: Iterable[tuple[int, ...]]) -> None:
        waiting = iter(rows)
        while body := b"".join(form.pack(*row) for row in itertools.islice(waiting, RECORD_BYTES_MAX // 64)):
            self._append(kind + body)

    def _append(self, body: bytes) -> None:
        record = encode_record(body + self._seal.tag(body, self._end), self._end)
        self._disk.pwrite(self._journal, record, self._end)
        self._end += len(record)


def _seal(secret: bytes, header: bytes, folder_fd: int) -> Seal:
    folder = Identity.of(os.fstat(folder_fd))
    return Seal(secret, header, device=folder.device, inode=folder.inode)


def _runs(packed: bytes | memoryview, chunks: int) -> Iterable[tuple[int, int]]:
    """Return the runs of one record; none of them if they are not as we write them: in order, apart, of our chunks."""
    if len(packed) % _RUN.size:
        return ()
    end = 0
    for start, stop in _RUN.iter_unpack(packed):
        if not end <= start < stop <= chunks:
            return ()
        end = stop
    return _RUN.iter_unpack(packed)


def _records(folder_fd: int, name: str, binding: Binding) -> Iterator[tuple[int, bytes]]:
    """Yield offset and body of each record. What is beyond the bounds is not ours; what comes before it holds, or does
    not, by itself."""
    with contextlib.suppress(FileNotFoundError), open_for_reading(name, dir_fd=folder_fd) as file:
        yield from read_records(file.read, body_bytes_max=binding.record_bytes_max, bytes_max=binding.journal_bytes_max)
