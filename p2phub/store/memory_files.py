"""Files without a disk: what the store in memory keeps content in, since plans speak of descriptors."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from itertools import count

from p2phub.content import ChunkTable, Steady
from p2phub.store.fingerprints import Fingerprint
from p2phub.store.rehash import is_equal

_serials = count(1)


class MemoryFile:
    """An anonymous file. `serial` stands for the inode, `version_ns` for the times."""

    def __init__(self, data: bytes = b"") -> None:
        self.serial = next(_serials)
        self.version_ns = time.time_ns() - 10**10  # As if left alone for long: tests need not wait.
        self.descriptor = anonymous_file()
        os.pwrite(self.descriptor, data, 0)

    def fingerprint(self) -> Fingerprint:
        size = os.fstat(self.descriptor).st_size
        return Fingerprint(0, self.serial, size, self.version_ns, self.version_ns)

    def read(self) -> bytes:
        return os.pread(self.descriptor, os.fstat(self.descriptor).st_size, 0)

    def __del__(self) -> None:
        os.close(self.descriptor)


def anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("p2phub", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class OpenMemoryFile:
    """A `Readable` of a memory file; `now` tells the fingerprint of what stands at its path, None if nothing."""

    def __init__(self, file: MemoryFile, now: Callable[[], Fingerprint | None]) -> None:
        self.file = file
        self.expected = file.fingerprint()
        self.descriptor = os.dup(file.descriptor)
        self._now = now

    @property
    def steady(self) -> Steady:
        return Steady(None, self.expected.size)  # Of the descriptor alone: its path is of this process.

    def unchanged(self) -> bool:
        return self._now() == self.expected

    def close(self) -> None:
        os.close(self.descriptor)


def same_bytes(file: MemoryFile, table: ChunkTable, number: int) -> bool:
    """Whether `file` is what file number `number` should be."""
    first, stop = table.span(number)
    size = sum(ref.length for ref in table.chunks(first, stop - first))
    return file.fingerprint().size == size and is_equal(file.descriptor, table, number)
