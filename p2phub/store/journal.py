"""The journal of one arrival: which chunks are durable, which files were put in their place, and hints since then.

`journal` is append-only, of checksummed records; its header binds manifest and table, and nothing is added to it before
the data it speaks of is durable: after a crash it may lack a chunk that is there, never name one that is not.
`hints.0` and `hints.1` name chunks written since the last mark; never synced, so worth what a re-hash finds. They take
turns at each mark, so that what is noted while a mark is being made outlives it.
Source: docs/design/store.md. Read-side faults (torn, garbage, another manifest's) mean less is known, nothing else.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from p2phub import limits
from p2phub.content import RangeSet
from p2phub.store.disk import WRITE_FLAGS, Disk, read_regular
from p2phub.store.records import RECORD_BYTES_MAX, decode_records, encode_record

_HEADER = struct.Struct(">8s32sIIQ")
_MAGIC = b"p2phjn\x00\x01"
_RUN = struct.Struct(">II")
_PLACED = struct.Struct(">IQQQq")
JOURNAL = "journal"
_NEW = "journal.new"
_HINTS = ("hints.0", "hints.1")
NAMES = (JOURNAL, _NEW, *_HINTS)


@dataclass(frozen=True, slots=True)
class Binding:
    """What a journal belongs to: it is worth nothing for any other manifest or table."""

    manifest: bytes
    files: int
    chunks: int
    bytes_total: int

    def encode(self) -> bytes:
        return _HEADER.pack(_MAGIC, self.manifest, self.files, self.chunks, self.bytes_total)


class Identity(NamedTuple):
    """What tells a file that we put in its place from another: unlike the change time, a rename leaves these alone."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What an earlier attempt left: `durable` chunks, files `placed`, and `hints` to be re-hashed."""

    durable: RangeSet = field(default_factory=RangeSet)
    placed: Mapping[int, Identity] = field(default_factory=dict)
    hints: RangeSet = field(default_factory=RangeSet)


def read_journal(folder_fd: int, binding: Binding) -> Remembered:
    """Return what the journal and hints in the folder say for `binding`; nothing if there is none. Raises OSError."""
    durable: list[tuple[int, int]] = []
    placed: dict[int, Identity] = {}
    bodies = _bodies(folder_fd, JOURNAL)
    if not bodies or bodies[0] != binding.encode():
        return Remembered()
    for body in bodies[1:]:
        kind, rest = body[:1], body[1:]
        if kind == b"D":
            durable.extend(_runs(rest))
        elif kind == b"P" and len(rest) % _PLACED.size == 0:
            for file, *identity in _PLACED.iter_unpack(rest):
                placed[file] = Identity(*identity)
    hints = [run for name in _HINTS for body in _bodies(folder_fd, name) for run in _runs(body)]
    every = RangeSet.whole(binding.chunks)
    known = RangeSet.of(durable) & every
    return Remembered(known, placed, (RangeSet.of(hints) - known) & every)


class Journal:
    """The journal of an arrival under way. `mark` belongs to one thread; `note`, `turn` to a lock."""

    def __init__(self, disk: Disk, folder_fd: int, binding: Binding, known: Remembered) -> None:
        """Begin anew with what is `known`; hints, just re-hashed, stay hints. Raises OSError."""
        self._disk = disk
        self._files: list[int] = []
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            self._journal = self._open_new(folder_fd)
            self._end = 0
            self._append(binding.encode())
            self._append_marks(known.durable, known.placed)
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

    def mark(self, durable: RangeSet, placed: Mapping[int, Identity]) -> None:
        """Write down what is now durable, and which files are about to be placed; durable on return. Raises OSError."""
        if durable or placed:
            self._append_marks(durable, placed)
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

    def _append_marks(self, durable: RangeSet, placed: Mapping[int, Identity]) -> None:
        per_record = RECORD_BYTES_MAX // 64
        for at in range(0, len(durable.runs), per_record):
            runs: Iterable[tuple[int, int]] = durable.runs[at : at + per_record]
            self._append(b"D" + b"".join(_RUN.pack(start, stop) for start, stop in runs))
        files = sorted(placed.items())
        for at in range(0, len(files), per_record):
            self._append(
                b"P"
                + b"".join(
                    _PLACED.pack(file, known.device, known.inode, known.size, known.mtime_ns)
                    for file, known in files[at : at + per_record]
                )
            )

    def _append(self, body: bytes) -> None:
        record = encode_record(body, self._end)
        self._disk.pwrite(self._journal, record, self._end)
        self._end += len(record)


def _runs(body: bytes) -> list[tuple[int, int]]:
    return list(_RUN.iter_unpack(body)) if len(body) % _RUN.size == 0 else []


def _bodies(folder_fd: int, name: str) -> list[bytes]:
    try:
        # What is beyond that is not ours. The records before it hold, or do not, by themselves.
        data = read_regular(name, limits.JOURNAL_BYTES_MAX, dir_fd=folder_fd)
    except FileNotFoundError:
        return []
    return decode_records(data)[0]
