"""What store and carrier agree on: which chunk lies where, and how to open its file.

The store knows files, the carrier knows sockets; neither knows the other. A `ChunkTable` numbers the chunks of all
files of a manifest through; a `WritePlan` or `ReadPlan` adds how a file is opened. The carrier opens, moves and
verifies by the plan, and reports; the engine then tells the store what was verified.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Protocol

from p2phub.content.digest import Digest
from p2phub.content.merkle import ChunkList
from p2phub.content.ranges import RangeSet


@dataclass(frozen=True, slots=True)
class ChunkRef:
    """One chunk: number `index` in the manifest, `length` bytes at `offset` of file number `file`."""

    index: int
    file: int
    offset: int
    length: int
    digest: bytes  # 32 raw bytes: compared in the hot path, so not wrapped.


class ChunkTable:
    """All chunks of a manifest, numbered from 0 in file order. Immutable; 8 bytes a chunk beyond the lists."""

    def __init__(self, files: Sequence[ChunkList]) -> None:
        self._files = tuple(files)
        # The first chunk of each file, and where each chunk starts if all files stood one behind the other; both end
        # with the total.
        self._first = array("Q", accumulate(map(len, self._files), initial=0))
        lengths = chain.from_iterable(chunks.lengths for chunks in self._files)
        self._start = array("Q", accumulate(lengths, initial=0))

    def __len__(self) -> int:
        return self._first[-1]

    @property
    def files(self) -> int:
        return len(self._files)

    @property
    def lists(self) -> tuple[ChunkList, ...]:
        """The chunks of each file, in file order."""
        return self._files

    @property
    def bytes_total(self) -> int:
        return self._start[-1]

    def file_of(self, index: int) -> int:
        """Return the number of the file that chunk `index` belongs to. Raises IndexError outside the manifest."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        return bisect_right(self._first, index) - 1

    def span(self, file: int) -> tuple[int, int]:
        """Return the half-open run of chunk numbers of file number `file`; empty for an empty file."""
        return self._first[file], self._first[file + 1]

    def chunk(self, index: int) -> ChunkRef:
        """Return chunk number `index`. Raises IndexError outside the manifest."""
        file = self.file_of(index)
        first, start = self._first[file], self._start[index]
        length = self._start[index + 1] - start
        return ChunkRef(index, file, start - self._start[first], length, self._files[file].digest(index - first))

    def chunks(self, first: int, count: int) -> Iterator[ChunkRef]:
        """Yield `count` chunks from number `first` on. Raises IndexError where the manifest ends."""
        for index in range(first, first + count):
            yield self.chunk(index)

    def bytes_of(self, ranges: RangeSet) -> int:
        """Return how many bytes the chunks in `ranges` have together."""
        return sum(self._start[stop] - self._start[start] for start, stop in ranges.runs)


class OpenForWriting(Protocol):
    """Opens file number `file` of a fetch for `os.pwrite`. Thread-safe; the caller closes the descriptor.

    Raises DiskError (DiskFull, …).
    """

    def __call__(self, file: int) -> int: ...


@dataclass(frozen=True, slots=True)
class WritePlan:
    """Where verified chunks go."""

    manifest: Digest
    table: ChunkTable
    open: OpenForWriting
    path_of: Callable[[int], str] = "file number {}".format  # Its path, for errors that name it, and to ask a mirror.


class Status(Protocol):
    """What `os.fstat` tells."""

    @property
    def st_dev(self) -> int: ...
    @property
    def st_ino(self) -> int: ...
    @property
    def st_size(self) -> int: ...
    @property
    def st_mtime_ns(self) -> int: ...
    @property
    def st_ctime_ns(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Steady:
    """What the status of an open file must still say, so that its bytes are those that were hashed.

    `exactly`: device, inode, size, mtime_ns, ctime_ns. None for a file that still grows, up to `size_max` bytes.
    """

    exactly: tuple[int, int, int, int, int] | None
    size_max: int = 0

    def holds(self, status: Status) -> bool:
        if self.exactly is None:
            return status.st_size <= self.size_max
        found = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        return found == self.exactly


class Readable(Protocol):
    """A file opened for serving, in the state in which it was hashed."""

    @property
    def descriptor(self) -> int:
        """A descriptor for `os.preadv`; belongs to this object."""

    @property
    def steady(self) -> Steady:
        """What `unchanged` asks of the descriptor's status: whoever was handed the descriptor asks the same."""

    def unchanged(self) -> bool:
        """Whether the file still has the fingerprint of when it was hashed; asked after a read and before the send."""

    def close(self) -> None: ...


class OpenForReading(Protocol):
    """Opens file number `file` for serving. Thread-safe. Raises ContentChanged or DiskError."""

    def __call__(self, file: int) -> Readable: ...


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """Where chunks to serve come from. `held` are those that may be read; others are refused."""

    manifest: Digest
    table: ChunkTable
    held: RangeSet
    open: OpenForReading
