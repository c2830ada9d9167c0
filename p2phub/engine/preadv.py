"""Reading a stretch of an open file, whole: the kernel may give less at a time. Calls block."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from p2phub.errors import ContentChanged, DiskError
from p2phub.store import FETCHED_AGAIN, Arrival


class DiskFailed(DiskError):
    """The disk failed at what is to be read."""


@contextmanager
def unfinished_files_of(arrival: Arrival) -> Iterator[None]:
    """Within, where the disk fails at an unfinished file the next attempt is to find out at what of it. Raises
    DiskError."""
    try:
        yield
    except DiskFailed as error:
        arrival.doubt()
        raise DiskError(error.message, hint=FETCHED_AGAIN) from error


def read_exactly(descriptor: int, offset: int, length: int, path: str) -> bytes:
    """Return `length` bytes of an open file. Raises ContentChanged if it is shorter, DiskError."""
    data = bytearray(length)
    if read_into(descriptor, memoryview(data), offset, path) != length:
        raise ContentChanged(f"{path} became shorter while it was read", hint="publish again when it is quiet")
    return bytes(data)


def read_into(descriptor: int, into: memoryview, offset: int, path: str) -> int:
    """Fill `into` from `offset`; returns less only at the end of the file."""
    got = 0
    while got < len(into):
        try:
            count = os.preadv(descriptor, [into[got:]], offset + got)
        except OSError as exc:
            hint = "check the disk, or leave the file out with --ignore PATTERN"
            fault = DiskFailed if exc.errno == errno.EIO else DiskError
            raise fault(f"cannot read {path}: {exc.strerror}", hint=hint) from exc
        if count == 0:
            break
        got += count
    return got
