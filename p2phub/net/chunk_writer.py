"""Write verified chunks where the plan says.

Small files come by the hundred in one batch, and one call each to open, write and close costs more than their bytes. So
neighbours are one call, files that come whole are opened together or handed to the plan together, and only of those
that come in parts a few stay open. What fails here is our disk, never the peer.
"""

from __future__ import annotations

import errno
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import groupby

from p2phub.content import ChunkRef, WritePlan, length_of
from p2phub.errors import DiskError, DiskFull

_FILES_OPEN_MAX = 8
FILES_AT_ONCE = 128  # Descriptors in one letter; the system allows 253.


class ChunkWriter:
    """Holds a few files of the plan open. One thread's."""

    def __init__(self, plan: WritePlan) -> None:
        self._plan = plan
        self._open: OrderedDict[int, int] = OrderedDict()
        self._ready: dict[int, int] = {}  # Opened with others of their batch, and not written yet.

    def write(self, refs: Sequence[ChunkRef], data: memoryview, wanted: Sequence[ChunkRef] | None = None) -> None:
        """Write chunks that lie in `data` one after the other, neighbours in one call; of them only those in `wanted`,
        if that is given. Raises DiskError, DiskFull."""
        if wanted is not None and len(wanted) < len(refs):
            for run, part in _parts(refs, data, wanted):
                self.write(run, part)
            return
        if self._plan.open_many is not None and refs[0].file != refs[-1].file:
            self._open_at_once(refs)
        whole_files: list[int] = []
        parts: list[memoryview] = []
        chunks_in, at_once = self._plan.table.chunks_in, self._plan.write_files
        at = begin = 0
        first, count = 0, len(refs)  # `first` of the run of neighbours that ends at `number`.
        for number, ref in enumerate(refs, 1):
            file, offset, length = ref.file, ref.offset, ref.length
            at += length
            if number < count and refs[number].file == file and refs[number].offset == offset + length:
                continue
            whole = file not in self._open and number - first == chunks_in(file)
            if whole and at_once is not None:
                whole_files.append(file)
                parts.append(data[begin:at])
            else:
                self._write(file, data[begin:at], offset + length - (at - begin), whole=whole)
            begin, first = at, number
        if at_once is not None and whole_files:
            at_once(whole_files, parts)

    def _write(self, file: int, data: memoryview, offset: int, *, whole: bool) -> None:
        """Write one run of neighbours; `whole`: they are all that the file has, and it need not stay open."""
        try:
            if whole:
                descriptor = self._ready.pop(file) if file in self._ready else self._plan.open(file)
                try:
                    _write_all(descriptor, data, offset)
                finally:
                    os.close(descriptor)
            else:
                _write_all(self._descriptor(file), data, offset)
        except OSError as exc:
            if exc.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull("no space left for what arrives", hint="make room and run the same again") from exc
            raise DiskError(f"cannot write what arrives: {exc.strerror}") from exc

    def _open_at_once(self, refs: Sequence[ChunkRef]) -> None:
        assert self._plan.open_many is not None
        files = [file for file in dict.fromkeys(ref.file for ref in refs) if file not in self._open]
        if len(files) > 1:
            for some in batched(files, FILES_AT_ONCE):
                self._ready.update(zip(some, self._plan.open_many(some), strict=True))

    def _descriptor(self, file: int) -> int:
        descriptor = self._open.get(file)
        if descriptor is None:
            while len(self._open) >= _FILES_OPEN_MAX:
                os.close(self._open.popitem(last=False)[1])
            descriptor = self._ready.pop(file) if file in self._ready else self._plan.open(file)
            self._open[file] = descriptor
        self._open.move_to_end(file)
        return descriptor

    def close(self) -> None:
        for held in (self._open, self._ready):
            while held:
                os.close(held.popitem()[1])


def batched(files: Sequence[int], most: int) -> Iterator[Sequence[int]]:
    """Yield `files` in parts of at most `most`."""
    for at in range(0, len(files), most):
        yield files[at : at + most]


def _parts(
    refs: Sequence[ChunkRef], data: memoryview, wanted: Sequence[ChunkRef]
) -> Iterator[tuple[Sequence[ChunkRef], memoryview]]:
    """Yield what of `data` is in `wanted`, run by run."""
    keep = {ref.index for ref in wanted}
    at = 0
    for is_kept, group in groupby(refs, key=lambda ref: ref.index in keep):
        run = list(group)
        length = length_of(run)
        if is_kept:
            yield run, data[at : at + length]
        at += length


def _write_all(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written
