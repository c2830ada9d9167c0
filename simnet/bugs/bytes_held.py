"""Bugs to plant that have wrong bytes counted as right: nothing unverified may be believed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Any
from unittest import mock

from p2phub import limits
from p2phub.content import ChunkRef, RangeSet
from p2phub.errors import HubError
from p2phub.net.chunk_writer import ChunkWriter
from p2phub.store import memory_arrival
from p2phub.store.arrival import FilesystemArrival
from p2phub.transfer import Session
from p2phub.wire import BulkRequester
from simnet.bugs.planting import plant


@plant
def _skip_the_digest_check() -> AbstractContextManager[Any]:
    def unchecked(self: BulkRequester, refs: Sequence[ChunkRef], data: memoryview) -> Iterator[Any]:
        at = 0
        for ref in refs:
            yield ref, data[at : at + ref.length]
            at += ref.length

    return mock.patch.object(BulkRequester, "_checked", unchecked)


@plant
def _report_before_the_write() -> AbstractContextManager[Any]:
    write, close = ChunkWriter.write, ChunkWriter.close
    waiting: dict[int, tuple[Sequence[ChunkRef], bytes]] = {}

    def lazy(self: ChunkWriter, refs: Sequence[ChunkRef], data: memoryview, wanted: object = None) -> None:
        before = waiting.pop(id(self), None)
        waiting[id(self)] = (refs, bytes(data))
        if before:
            write(self, before[0], memoryview(before[1]))

    def at_last(self: ChunkWriter) -> None:
        before = waiting.pop(id(self), None)
        if before:
            write(self, before[0], memoryview(before[1]))
        close(self)

    stack = ExitStack()
    stack.enter_context(mock.patch.object(ChunkWriter, "write", lazy))
    stack.enter_context(mock.patch.object(ChunkWriter, "close", at_last))
    return stack


@plant
def _write_at_the_wrong_place() -> AbstractContextManager[Any]:
    write = ChunkWriter._write

    def shifted(self: ChunkWriter, file: int, data: memoryview, offset: int, *, whole: bool) -> None:
        write(self, file, data, offset + 1 if offset > limits.MIB else offset, whole=whole)

    return mock.patch.object(ChunkWriter, "_write", shifted)


@plant
def _believe_a_full_disk() -> AbstractContextManager[Any]:
    write = ChunkWriter._write

    def deaf(self: ChunkWriter, file: int, data: memoryview, offset: int, *, whole: bool) -> None:
        with suppress(HubError):
            write(self, file, data, offset, whole=whole)

    return mock.patch.object(ChunkWriter, "_write", deaf)


@plant
def _trust_hints_after_a_crash() -> AbstractContextManager[Any]:
    def trusting(table: Any, hints: Any) -> RangeSet:
        return RangeSet.of(run for _, ranges in hints for run in ranges.runs)

    return mock.patch.object(memory_arrival, "matching_chunks", trusting)


@plant
def _journal_before_the_data() -> AbstractContextManager[Any]:
    return mock.patch.object(FilesystemArrival, "_make_durable", return_value=None)


@plant
def _say_done_too_early() -> AbstractContextManager[Any]:
    return mock.patch.object(Session, "complete", property(lambda self: self._leases.bytes_missing <= limits.MIB))
