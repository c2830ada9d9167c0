"""Chunks from one file of this disk to another: read, hashed, written; a whole file cloned where the disk can.

The same order as for what comes from a peer: nothing counts that was not hashed as it was copied. But for a clone,
which shares the source's blocks and takes no time: it is believed as the source is, whose fingerprint is looked at
before and after.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator

from blake3 import blake3

from p2phub import limits
from p2phub.content import ChunkTable, RangeSet, Readable
from p2phub.errors import DiskError
from p2phub.store.disk import Disk
from p2phub.store.interface import LocalRun

OpenTarget = Callable[[int], int]


def copy_run(disk: Disk, table: ChunkTable, run: LocalRun, open_target: OpenTarget) -> RangeSet:
    """Copy what is right of `run` into the file of `table` that it belongs to; return which chunks that were.

    Raises OSError, DiskError for what is wrong with the target.
    """
    with _opened(table, run, open_target) as files:
        return RangeSet() if files is None else RangeSet.from_indices(_copied(disk, table, run, *files))


def clone_run(disk: Disk, table: ChunkTable, run: LocalRun, open_target: OpenTarget) -> bool:
    """Clone the file that `run` is all of. False if it is not all of a file that is trusted, or the disk cannot.

    Raises as `copy_run` does.
    """
    if not _is_whole(table, run):
        return False
    with _opened(table, run, open_target) as files:
        return files is not None and _clone(disk, *files, run.file.size)


@contextlib.contextmanager
def _opened(table: ChunkTable, run: LocalRun, open_target: OpenTarget) -> Iterator[tuple[Readable, int] | None]:
    """Open source and target of a run; None if the source is not what it was."""
    try:
        source = run.file.open()
    except DiskError:
        yield None
        return
    try:
        target = open_target(table.file_of(run.first))
        try:
            yield source, target
        finally:
            os.close(target)
    finally:
        source.close()


def _is_whole(table: ChunkTable, run: LocalRun) -> bool:
    """Whether the run is all of a file, which the source is, too."""
    first, stop = table.span(table.file_of(run.first))
    if not run.file.trusted or (first, stop) != (run.first, run.first + run.count) or run.offset != 0:
        return False
    last = table.chunk(stop - 1)
    return run.file.size == last.offset + last.length


def _clone(disk: Disk, source: Readable, target: int, size: int) -> bool:
    if not source.unchanged() or not disk.clone(source.descriptor, target):
        return False
    if source.unchanged():
        return True
    disk.truncate(target, size)  # What was cloned may be anything: it is copied, and hashed; but not what is behind.
    return False


def _copied(disk: Disk, table: ChunkTable, run: LocalRun, source: Readable, target: int) -> list[int]:
    buffer = memoryview(bytearray(limits.CHUNK_BYTES_MAX))
    shift: int | None = None
    right: list[int] = []
    for ref in table.chunks(run.first, run.count):
        if shift is None:
            shift = run.offset - ref.offset
        part = buffer[: ref.length]
        try:
            whole = _read(source.descriptor, part, ref.offset + shift)
        except OSError as exc:
            if exc.errno not in (errno.EIO, errno.ESTALE):
                raise
            whole = False  # The source's disk fails: what it had comes from elsewhere.
        if whole and blake3(part).digest() == ref.digest:
            disk.pwrite(target, part, ref.offset)
            right.append(ref.index)
    return right


def _read(fd: int, part: memoryview, offset: int) -> bool:
    """Fill `part`. False if the file ends before."""
    got = 0
    while got < len(part):
        count = os.preadv(fd, [part[got:]], offset + got)
        if count == 0:
            return False
        got += count
    return True
