"""What store and carrier agree on: which chunk lies where, and how to open its file.

The store knows files, the carrier knows sockets; neither knows the other. A `ChunkTable` numbers the chunks of all
files of a manifest through; a `WritePlan` or `ReadPlan` adds how a file is opened. The carrier opens, moves and
verifies by the plan, and reports; the engine then tells the store what was verified.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from operator import attrgetter, sub
from typing import NamedTuple, Protocol

import msgspec

from p2phub.content.digest import DIGEST_BYTES, Digest
from p2phub.content.merkle import ChunkList, chunk_list
from p2phub.content.ranges import RangeSet, Run


class ChunkRef(msgspec.Struct, frozen=True):
    """One chunk: number `index` in the manifest, `length` bytes at `offset` of file number `file`."""

    index: int
    file: int
    offset: int
    length: int
    digest: bytes  # 32 raw bytes: compared in the hot path, so not wrapped.


_LENGTH = attrgetter("length")


def length_of(refs: Iterable[ChunkRef]) -> int:
    """Return how many bytes `refs` have together."""
    return sum(map(_LENGTH, refs))


class ChunkTable:
    """All chunks of a manifest, numbered from 0 in file order. Immutable; 40 bytes a chunk and 8 a file."""

    def __init__(self, files: Iterable[ChunkList]) -> None:
        """`files` are looked at once and not kept: a million lists of one chunk would be ten times the table."""
        # The first chunk of each file, and where each chunk starts if all files stood one behind the other; both end
        # with the total. Then the digests, packed.
        self._first = array("Q", (0,))
        self._start = array("Q", (0,))
        digests = bytearray()
        for chunks in files:
            digests += chunks.digests
            self._start.extend(accumulate(chunks.lengths, initial=self._start.pop()))
            self._first.append(len(self._start) - 1)
        self._digests = bytes(digests)

    def __len__(self) -> int:
        return self._first[-1]

    @property
    def files(self) -> int:
        return len(self._first) - 1

    def parts(self) -> tuple[bytes, bytes, bytes]:
        """Return what `from_parts` makes this table of, in another process of this machine."""
        return self._first.tobytes(), self._start.tobytes(), self._digests

    @classmethod
    def from_parts(cls, first: bytes, start: bytes, digests: bytes) -> ChunkTable:
        table = cls(())
        table._first, table._start = array("Q"), array("Q")
        table._first.frombytes(first)
        table._start.frombytes(start)
        table._digests = digests
        return table

    @property
    def bytes_total(self) -> int:
        return self._start[-1]

    def file_of(self, index: int) -> int:
        """Return the number of the file that chunk `index` belongs to. Raises IndexError outside the manifest."""
        if not 0 <= index < self._first[-1]:
            raise IndexError(index)
        return bisect_right(self._first, index) - 1

    def span(self, file: int) -> Run:
        """Return the half-open run of chunk numbers of file number `file`; empty for an empty file."""
        return self._first[file], self._first[file + 1]

    def chunks_in(self, file: int) -> int:
        """Return how many chunks file number `file` has."""
        return self._first[file + 1] - self._first[file]

    def digests(self, first: int, stop: int) -> bytes:
        """Return the digests of chunks `first` ..< `stop`, packed."""
        return self._digests[first * DIGEST_BYTES : stop * DIGEST_BYTES]

    def list_of(self, file: int) -> ChunkList:
        """Return the chunks of file number `file`: what its list blobs are made from."""
        first, stop = self.span(file)
        return chunk_list(self.lengths(first, stop), self.digests(first, stop))

    def lengths(self, first: int, stop: int) -> array[int]:
        """Return how many bytes each of the chunks `first` ..< `stop` has."""
        starts = self._start[first : stop + 1]
        return array("I", map(sub, starts[1:], starts))

    def covering(self, file: int, start: int, stop: int) -> Run:
        """Return the half-open run of chunks that hold bytes `start` ..< `stop` of file number `file`, as far as it has
        them."""
        first, end = self.span(file)
        base = self._start[first]
        low = bisect_right(self._start, base + start, first, end) - 1
        high = bisect_left(self._start, base + stop, first, end)
        return (max(low, first), high) if start < stop and base + start < self._start[end] else (first, first)

    def chunk(self, index: int) -> ChunkRef:
        """Return chunk number `index`. Raises IndexError outside the manifest."""
        file = self.file_of(index)
        first, start = self._first[file], self._start[index]
        length = self._start[index + 1] - start
        return ChunkRef(index, file, start - self._start[first], length, self._digest(index))

    def chunks(self, first: int, count: int) -> Iterator[ChunkRef]:
        """Yield `count` chunks from number `first` on. Raises IndexError where the manifest ends."""
        if count <= 0:
            return
        firsts, starts, digests = self._first, self._start, self._digests
        file = self.file_of(first)  # Looked up once: chunks and files follow each other.
        base, end, start = starts[firsts[file]], firsts[file + 1], starts[first]
        for index in range(first, min(first + count, firsts[-1])):
            while index >= end:  # Files without a chunk stand in between.
                file += 1
                base, end = start, firsts[file + 1]
            stop = starts[index + 1]
            digest = digests[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES]
            yield ChunkRef(index, file, start - base, stop - start, digest)
            start = stop
        if first + count > firsts[-1]:
            raise IndexError(firsts[-1])

    def by_file(self, ranges: RangeSet) -> Iterator[tuple[int, int]]:
        """Yield (file number, how many of its chunks) for each run of `ranges` and each file that it touches."""
        firsts = self._first
        for start, stop in ranges.runs:
            file = self.file_of(start)
            while start < stop:
                end = min(stop, firsts[file + 1])
                if start < end:
                    yield file, end - start
                    start = end
                file += 1

    def fitting(self, first: int, stop: int, bytes_max: int) -> int:
        """Return how many of the chunks `first` ..< `stop` have at most `bytes_max` bytes together."""
        return bisect_right(self._start, self._start[first] + bytes_max, first, stop + 1) - 1 - first

    def _digest(self, index: int) -> bytes:
        return self._digests[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES]

    def bytes_of(self, ranges: RangeSet) -> int:
        """Return how many bytes the chunks in `ranges` have together."""
        return sum(self._start[stop] - self._start[start] for start, stop in ranges.runs)


class OpenManyForWriting(Protocol):
    """Opens several files at once, as `OpenForWriting` does each of them: all or none."""

    def __call__(self, files: Sequence[int]) -> list[int]: ...


class WriteFiles(Protocol):
    """Writes several files of a fetch from beginning to end, each with its part of `parts`, all of them verified.

    Thread-safe. Raises DiskError (DiskFull, …).
    """

    def __call__(self, files: Sequence[int], parts: Sequence[memoryview]) -> None: ...


class OpenForWriting(Protocol):
    """Opens file number `file` of a fetch for `os.pwrite`. Thread-safe; the caller closes the descriptor.

    Raises DiskError (DiskFull, …).
    """

    def __call__(self, file: int) -> int: ...


class WritePlan(msgspec.Struct, frozen=True):
    """Where verified chunks go."""

    manifest: Digest
    table: ChunkTable
    open: OpenForWriting
    path_of: Callable[[int], str] = "file number {}".format  # Its path, for errors that name it, and to ask a mirror.
    open_many: OpenManyForWriting | None = None  # Where asking for one file after the other costs more than that.
    write_files: WriteFiles | None = None  # Cheaper than `open`, where hundreds of files come whole in one batch.


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


class Steady(msgspec.Struct, frozen=True):
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


class InFolder(NamedTuple):
    """Where a file is found by its name alone: in the open folder `descriptor`, which is the walker's own and good
    until its next call. `folder` tells folders apart, `exactly` is as in `Steady`."""

    folder: str
    descriptor: int
    name: str
    exactly: tuple[int, int, int, int, int]


class Walker(Protocol):
    """Opens files as `OpenForReading` does, for one thread, and may keep the folder of the last one open meanwhile."""

    def expect(self, files: Sequence[int]) -> None:
        """Be told which files will be opened next, in this order: they may be opened at once."""

    def open(self, file: int) -> Readable: ...

    def in_folder(self, file: int) -> InFolder | None:
        """Return where whoever is handed the folder finds the file; None if it cannot be opened but by `open`."""

    def close(self) -> None:
        """Let go of that folder, and of what was opened and not asked for."""


class _EachAnew:
    """The walker of a plan that has none of its own."""

    def __init__(self, opener: OpenForReading) -> None:
        self._opener = opener

    def expect(self, files: Sequence[int]) -> None:
        pass

    def open(self, file: int) -> Readable:
        return self._opener(file)

    def in_folder(self, file: int) -> InFolder | None:
        return None

    def close(self) -> None:
        pass


class ReadPlan(msgspec.Struct, frozen=True):
    """Where chunks to serve come from. `held` are those that may be read; others are refused.

    `walks` makes a walker, if there is a cheaper way to open one file after the other than `open`.
    """

    manifest: Digest
    table: ChunkTable
    held: RangeSet
    open: OpenForReading
    walks: Callable[[], Walker] | None = None

    def walker(self) -> Walker:
        """Return what opens files for one thread. The caller closes it."""
        return self.walks() if self.walks is not None else _EachAnew(self.open)
