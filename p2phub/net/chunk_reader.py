"""Read chunks to serve, and notice when a file is no longer what was hashed.

Each file is looked at after the read and before the send: what changes later is not in these bytes. One that changed,
or that cannot be opened, is refused from then on. Where the disk fails at a chunk, only that one is: a bad sector must
not cost others the rest of a file that nobody else may have. But each failure takes a disk seconds, so few are met.
"""

from __future__ import annotations

import errno
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence

from p2phub.content import ChunkRef, Readable, ReadPlan
from p2phub.errors import ContentChanged, DiskError

_FILES_OPEN_MAX = 8
_FAILURES_MAX = 16  # Of one file, for one connection.


class ChunkReader:
    """Holds a few files of the plan open. One thread's. `changed` is told of each file that changed, once."""

    def __init__(self, plan: ReadPlan, changed: Callable[[int], None]) -> None:
        self._table, self._walker, self._changed = plan.table, plan.walker(), changed
        self._open: OrderedDict[int, Readable] = OrderedDict()
        self._lost: dict[int, str] = {}
        self._failures: dict[int, int] = {}

    def gives(self, file: int) -> bool:
        """Whether anything may still be read of a file."""
        return file not in self._lost

    def expect(self, files: Sequence[int]) -> None:
        """Be told which files will be read next, in this order."""
        if len(files) > 1:
            self._walker.expect([file for file in files if file not in self._open and file not in self._lost])

    def read(self, refs: Sequence[ChunkRef], into: memoryview) -> str | None:
        """Read chunks of one file one after the other into `into`. Returns None, or the reason to refuse them."""
        file = refs[0].file
        if file in self._lost:
            return self._lost[file]
        try:
            if file not in self._open and len(refs) == self._table.chunks_in(file):
                reason = self._read_once(file, refs, into)  # All that it has: it need not stay open.
            else:
                reason = _read_checked(self._readable(file), refs, into)
        except ContentChanged:
            reason = "changed"
        except DiskError:
            reason = "disk"
        except OSError as exc:
            reason = "disk"
            if exc.errno == errno.EIO and self._failures.get(file, 0) < _FAILURES_MAX:
                self._failures[file] = self._failures.get(file, 0) + 1
                return reason
        if reason is not None:
            self._lost[file] = reason
            held = self._open.pop(file, None)
            if held is not None:
                held.close()
            if reason == "changed":
                self._changed(file)
        return reason

    def _read_once(self, file: int, refs: Sequence[ChunkRef], into: memoryview) -> str | None:
        readable = self._walker.open(file)
        try:
            return _read_checked(readable, refs, into)
        finally:
            readable.close()

    def _readable(self, file: int) -> Readable:
        readable = self._open.get(file)
        if readable is None:
            while len(self._open) >= _FILES_OPEN_MAX:
                self._open.popitem(last=False)[1].close()
            readable = self._open[file] = self._walker.open(file)
        self._open.move_to_end(file)
        return readable

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()
        self._walker.close()


def _read_checked(readable: Readable, refs: Sequence[ChunkRef], into: memoryview) -> str | None:
    whole = _read(readable.descriptor, refs, into)
    # After the read and before the send: what changes later is not in these bytes any more.
    return None if whole and readable.unchanged() else "changed"


def _read(descriptor: int, refs: Sequence[ChunkRef], into: memoryview) -> bool:
    """Read `refs`, neighbours in one call. Return whether all bytes were there."""
    at = begin = 0
    if len(refs) == 1:
        return _fill(descriptor, into, refs[0].offset)
    for number, ref in enumerate(refs):
        at += ref.length
        after = refs[number + 1] if number + 1 < len(refs) else None
        if after is not None and after.offset == ref.offset + ref.length:
            continue
        if not _fill(descriptor, into[begin:at], ref.offset + ref.length - (at - begin)):
            return False
        begin = at
    return True


def _fill(descriptor: int, into: memoryview, offset: int) -> bool:
    while (count := os.preadv(descriptor, (into,), offset)) != len(into):
        if count == 0:
            return False
        into, offset = into[count:], offset + count
    return True
