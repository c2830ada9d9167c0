"""What the store in memory and the carriers take for the system's descriptors, with simulated disks in between."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any, Protocol
from unittest import mock

from p2phub.engine import preadv
from p2phub.net import chunk_reader, chunk_writer
from p2phub.store import memory_arrival, memory_files

FIRST_COPY = 1 << 30  # Of the numbers that the system has not got.


class Below(Protocol):
    """A disk, as written to."""

    def write(self, count: int) -> None: ...
    def wrote(self, descriptor: int, file: int, offset: int, count: int) -> None: ...


class Descriptors:
    """`os` as the store in memory and the carriers see it: copies of a descriptor are numbers of its own, not the
    system's, and simulated disks lie in between.

    Each end of each link has a copy, some thirty for each node of a crowd: for a thousand nodes that is more than the
    system gives a process. As with the system's own, a file stays open until the last copy is closed, and a number that
    was closed is refused.
    """

    def __init__(self) -> None:
        self._numbers = count(FIRST_COPY)
        self._copies: dict[int, int] = {}  # Of each that is open, what it is a copy of.
        self._count_of: dict[int, int] = {}  # How many copies of it are open.
        self._closed: set[int] = set()  # Of those, which are closed themselves.
        self._disk_of: dict[int, tuple[Below, int]] = {}  # Which disk, and number of a file, one belongs to.

    def __getattr__(self, name: str) -> Any:  # All that is not said here is the system's.
        return getattr(os, name)

    @property
    def copies(self) -> int:
        """How many are open."""
        return len(self._copies)

    def lies_on(self, disk: Below, file: int, descriptor: int) -> None:
        """From here on what is written to `descriptor` is file number `file` on `disk`."""
        self._disk_of[descriptor] = (disk, file)

    def dup(self, descriptor: int) -> int:
        if not hasattr(os, "memfd_create"):  # A file in memory is a copy itself there.
            return os.dup(descriptor)
        copy, source = next(self._numbers), self._source(descriptor)
        self._copies[copy] = source
        self._count_of[source] = self._count_of.get(source, 0) + 1
        return copy

    def close(self, descriptor: int) -> None:
        source = self._source(descriptor)
        self._disk_of.pop(descriptor, None)
        if source == descriptor:
            if source in self._count_of:
                self._closed.add(source)
            else:
                os.close(source)
            return
        del self._copies[descriptor]
        self._count_of[source] -= 1
        if self._count_of[source]:
            return
        del self._count_of[source]
        if source in self._closed:
            self._closed.remove(source)
            os.close(source)

    def pwrite(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
        source = self._source(descriptor)
        disk, file = self._disk_of.get(descriptor, (None, 0))
        if disk is not None:
            disk.write(len(data))
            disk.wrote(source, file, offset, len(data))
        return os.pwrite(source, data, offset)

    def pread(self, descriptor: int, length: int, offset: int) -> bytes:
        return os.pread(self._source(descriptor), length, offset)

    def preadv(self, descriptor: int, buffers: list[memoryview], offset: int) -> int:
        return os.preadv(self._source(descriptor), buffers, offset)

    def fstat(self, descriptor: int) -> os.stat_result:
        return os.fstat(self._source(descriptor))

    def forget_all(self) -> int:
        """Close all copies, and return how many there were."""
        left = list(self._copies)
        for copy in left:
            self.close(copy)
        self._disk_of.clear()
        return len(left)

    def _source(self, descriptor: int) -> int:
        """Return the system's own. Raises OSError for one that is closed."""
        source = self._copies.get(descriptor, descriptor)
        if source >= FIRST_COPY or descriptor in self._closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return source


descriptors = Descriptors()
"""Of the run: there is one at a time in a process."""


@contextmanager
def system_calls() -> Iterator[None]:
    """Put the simulated disks, and `Descriptors`, under the carrier and the store in memory. Raises AssertionError if
    what ran left one open."""
    with ExitStack() as patches:
        for module in (chunk_writer, chunk_reader, memory_files, memory_arrival, preadv):
            patches.enter_context(mock.patch.object(module, "os", descriptors))
        try:
            yield
        except BaseException:
            descriptors.forget_all()  # Whatever was left open, it has a better reason.
            raise
        left = descriptors.forget_all()
    assert not left, f"{left} copies of descriptors of files in memory were left open"
