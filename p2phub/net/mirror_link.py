"""A link to a mirror: `net.interface.Link` over HTTP requests, a few at once.

It runs as a trio task and has no thread of its own; hashing and writing go through a bounded worker. One run of chunks
that lie together in a file is one request, streamed into a buffer and checked chunk by chunk as it comes, so that a lie
costs one chunk. Metadata are files beside the others, named by digest. Source: proto/mirror.md §2.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from functools import partial

import trio

from p2phub import limits
from p2phub.content import ChunkRef, ChunkTable, Digest, RangeSet, Renumbering, WritePlan, digest_of, looks_like_lists
from p2phub.errors import ChunkMismatch, DiskError, HubError, Malformed, PeerError
from p2phub.identity import Address, MirrorId
from p2phub.manifest import mirror_blob_path
from p2phub.net.buffer import new_buffer
from p2phub.net.chunk_writer import ChunkWriter
from p2phub.net.interface import Blobs, Cancelled, Closed, Opened, Refused, Report, Returned, Spent, Verified, WindowNow
from p2phub.net.lease import Lease
from p2phub.net.mirror_http import Absent, MirrorHttp
from p2phub.net.reports import Reports, as_value
from p2phub.net.throttle import Throttle

VIA = "mirror"
EVERYTHING = RangeSet.whole(limits.CHUNKS_MAX)
"""What a mirror is taken to hold until it says of a file that it does not."""
_TELL_WITHIN_S = 2.0  # Sooner than STALL_S: whoever waits for a slow chunk hears that bytes are coming.


class MirrorLink:
    """`run` is its task's work. All state is the loop's; the worker touches buffers and files alone."""

    def __init__(
        self,
        mirror: MirrorId,
        http: MirrorHttp,
        manifest: Digest,
        *,
        address: Address,
        workers: trio.CapacityLimiter,
        down: Throttle,
    ) -> None:
        self._mirror, self._http, self._manifest, self._address = mirror, http, manifest, address
        self._workers = workers
        self._down, self._flow = down, down.flow(manifest)
        self._reports = Reports()
        self._lease = Lease()
        self._plan: WritePlan | None = None
        self._writer: ChunkWriter | None = None
        self._writing = threading.Lock()  # The writer is one thread's at a time.
        self._asks: deque[tuple[Digest, int]] = deque()
        self._cancelled = RangeSet()  # Under way all the same; not to be written.
        self._in_work = RangeSet()  # Handed to the worker, which writes them.
        self._refused_files: dict[int, str] = {}  # By number: why none of its chunks will come.
        self._scope = trio.CancelScope()
        self._work = trio.Event()
        self._error: HubError | None = None
        self._told_at, self._untold_bytes = 0.0, 0
        self._is_open = False
        self._spent = Spent()  # And not told yet.
        self._trip_s = math.inf  # From a request to the first of its answer; the shortest seen.
        self._ended = False

    # --- what a Link is ----------------------------------------------------------------------------------------------

    @property
    def peer(self) -> MirrorId:
        return self._mirror

    @property
    def address(self) -> Address:
        return self._address

    @property
    def via(self) -> str:
        return VIA

    @property
    def window(self) -> WindowNow:
        trip_s = None if self._trip_s == math.inf else self._trip_s
        return WindowNow(limits.MIRROR_REQUESTS_AT_ONCE * self._run_bytes_max, trip_s)

    def ask(self, blobs: Sequence[tuple[Digest, int]]) -> None:
        self._asks.extend(blobs)
        self._work.set()

    def use(self, plan: WritePlan, numbers: Renumbering | None = None) -> None:
        assert self._plan is None, "a link has one plan"
        assert numbers is None, "a mirror is asked for files, by the manifest that they are a mirror of"
        self._plan = plan

    def grant(self, chunks: RangeSet) -> None:
        assert self._plan is not None, "a plan comes before the first grant"
        if self._ended:
            self._reports.put(Returned(chunks))
            return
        self._lease.add(chunks)
        self._work.set()

    def revoke(self) -> None:
        self._reports.put(Returned(self._lease.revoke()))

    def cancel(self, chunks: RangeSet) -> None:
        if self._ended:
            return  # Closed has told already that none will be written.
        cancelled, unasked = self._lease.cancel(chunks - self._in_work)
        self._cancelled |= cancelled - unasked
        self._reports.put(Cancelled(cancelled, unasked))

    def close(self) -> None:
        self._scope.cancel()

    async def next_report(self) -> Report:
        return await self._reports.take()

    # --- its task ----------------------------------------------------------------------------------------------------

    async def run(self, *, wants_manifest: bool) -> None:
        """Work until the link ends. Every way ends with one Closed report."""
        self._error = HubError("a fault of our own ended the link")
        self._told_at = time.monotonic()
        try:
            with self._scope:
                await self._converse(wants_manifest=wants_manifest)
            if self._scope.cancelled_caught and not self._failed:
                self._error = None
        finally:
            self._ended = True
            if self._writer is not None:
                self._writer.close()
            await self._http.aclose()
            returned, self._lease = self._lease.owed, Lease()
            self._reports.put(Closed(self._error, returned))

    @property
    def _failed(self) -> bool:
        return isinstance(self._error, PeerError | DiskError | Malformed)

    async def _converse(self, *, wants_manifest: bool) -> None:
        try:
            blobs = await self._greet(wants_manifest=wants_manifest)
        except PeerError as error:
            self._fail(error)
            return
        self._reports.put(Opened(blobs, (), EVERYTHING))
        self._is_open = True
        async with trio.open_nursery() as nursery:
            for _ in range(limits.MIRROR_REQUESTS_AT_ONCE):
                nursery.start_soon(self._serve)

    async def _greet(self, *, wants_manifest: bool) -> tuple[bytes, ...]:
        """Return the manifest's root page, if it is wanted and the mirror has it. Raises PeerError."""
        if not wants_manifest:
            await self._http.greet(mirror_blob_path(self._manifest))
            return ()
        try:
            return (await self._blob(self._manifest, limits.MANIFEST_ROOT_BYTES_MAX),)
        except Absent:
            return ()

    async def _serve(self) -> None:
        """One of the few that make requests, one after the other."""
        buffer = new_buffer(limits.MIRROR_RUN_BYTES_MAX)
        try:
            while True:
                if self._asks:
                    await self._answer_ask(*self._asks.popleft())
                elif run := self._next_run():
                    await self._fetch_run(run, buffer)
                else:
                    if self._work.is_set():  # Else another waits for it already: all wait for one.
                        self._work = trio.Event()
                    await self._work.wait()
        except (PeerError, DiskError, Malformed) as error:
            self._fail(error)

    def _fail(self, error: HubError) -> None:
        if not self._failed:
            self._error = as_value(error)
        self._scope.cancel()

    # --- metadata ----------------------------------------------------------------------------------------------------

    async def _answer_ask(self, digest: Digest, most: int) -> None:
        try:
            self._reports.put(Blobs((await self._blob(digest, most),)))
        except Absent:
            self._reports.put(Refused(RangeSet(), "not-held"))

    async def _blob(self, digest: Digest, most: int) -> bytes:
        """Raises Absent, PeerError: ChunkMismatch for other bytes."""
        blob = await self._http.whole(mirror_blob_path(digest), most=most, take=self._pass)
        if digest_of(blob) != digest:
            kind = "chunk list" if looks_like_lists(blob) else "page"
            if digest == self._manifest:
                kind = "manifest"
            raise ChunkMismatch(f"a {kind} that does not have its digest", file=kind, chunk=0, peer=str(self._mirror))
        return blob

    # --- chunks ------------------------------------------------------------------------------------------------------

    @property
    def _run_bytes_max(self) -> int:
        """Bytes of one request: what a buffer holds, or our own cap leaves."""
        return self._down.ahead_bytes(self._manifest, limits.MIRROR_RUN_BYTES_MAX)

    def _next_run(self) -> tuple[ChunkRef, ...]:
        """Take the chunks of the next request from the lease; those of refused files are refused at once."""
        while self._plan is not None:
            run = take_run(self._lease, self._plan.table, self._run_bytes_max)
            if not run or (reason := self._refused_files.get(run[0].file)) is None:
                return run
            self._refuse(run, reason)
        return ()

    def _refuse(self, run: Sequence[ChunkRef], reason: str) -> None:
        chunks = RangeSet.from_indices(ref.index for ref in run)
        self._lease.settle(chunks)
        self._reports.put(Refused(chunks, reason))

    async def _fetch_run(self, run: tuple[ChunkRef, ...], buffer: memoryview) -> None:
        assert self._plan is not None
        table, file = self._plan.table, run[0].file
        first, stop = table.span(file)
        last = table.chunk(stop - 1)
        arriving = _Arriving(run, buffer)
        asked_at = waits_since = time.monotonic()

        async def take(piece: bytes | bytearray) -> None:
            nonlocal waits_since
            came_at = time.monotonic()
            self._trip_s = min(self._trip_s, came_at - asked_at)  # Of the first piece: what follows comes later.
            self._spent += Spent(receive_s=came_at - waits_since)
            await self._pass(piece)
            arriving.add(piece)
            if arriving.is_whole or arriving.whole_bytes >= limits.BATCH_BYTES_MAX:
                await self._settle(*arriving.take_whole(), first=first)
            elif self._is_coming(len(piece)):
                self._tell(RangeSet(), 0)
            waits_since = time.monotonic()

        try:
            await self._http.span(
                self._plan.path_of(file),
                run[0].offset,
                run[-1].offset + run[-1].length,
                size=last.offset + last.length,
                take=take,
            )
        except Absent as absent:
            reason = self._refused_files[file] = "changed" if absent.changed else "not-held"
            self._refuse(run, reason)

    async def _settle(self, refs: Sequence[ChunkRef], data: memoryview, *, first: int) -> None:
        """Check chunks that lie in `data` one after the other, write those that hold, report. Raises ChunkMismatch."""
        assert self._plan is not None
        if self._writer is None:
            self._writer = ChunkWriter(self._plan)
        wanted = [ref for ref in refs if ref.index not in self._cancelled]
        in_work = RangeSet.from_indices(ref.index for ref in wanted)
        self._cancelled -= RangeSet.from_indices(ref.index for ref in refs)
        self._in_work |= in_work
        try:
            good, spent = await trio.to_thread.run_sync(
                partial(_check_and_write, refs, data, wanted, self._writer, self._writing), limiter=self._workers
            )
        finally:
            self._in_work -= in_work
        self._spent += spent
        if good:
            chunks = in_work & RangeSet.from_indices(ref.index for ref in refs[:good])
            self._lease.settle(chunks)
            self._tell(chunks, sum(ref.length for ref in refs[:good]))
        if good < len(refs):
            path, chunk = self._plan.path_of(refs[good].file), refs[good].index - first
            raise ChunkMismatch(
                f"chunk {chunk} of {path} does not have its digest", file=path, chunk=chunk, peer=str(self._mirror)
            )

    async def _pass(self, piece: bytes | bytearray) -> None:
        """Return when what came may pass under our cap: before that no more is read. Meanwhile it is told that bytes
        are coming, for it is not the mirror that is slow."""
        if not self._down.is_limited:
            return
        async with trio.open_nursery() as waiting:
            waiting.start_soon(self._tell_now_and_then)
            await self._down.pass_through(self._flow, len(piece))
            waiting.cancel_scope.cancel()

    def _is_coming(self, count: int) -> bool:
        """Whether it is time to say that bytes come, and they do; who drips them is as good as silent."""
        self._untold_bytes += count
        passed_s = time.monotonic() - self._told_at
        return passed_s >= _TELL_WITHIN_S and self._untold_bytes >= passed_s * limits.RATE_MIN

    async def _tell_now_and_then(self) -> None:
        while True:
            await trio.sleep(_TELL_WITHIN_S)
            if self._is_open:
                self._tell(RangeSet(), 0)

    def _tell(self, chunks: RangeSet, count: int) -> None:
        self._told_at, self._untold_bytes = time.monotonic(), 0
        spent, self._spent = self._spent, Spent()
        self._reports.put(Verified(chunks, count, spent))


class _Arriving:
    """The chunks of one request as their bytes come into a buffer that is used again for the next."""

    def __init__(self, run: tuple[ChunkRef, ...], buffer: memoryview) -> None:
        self._run, self._buffer = run, buffer
        self._length = sum(ref.length for ref in run)
        self._came = 0
        self._taken, self._taken_bytes = 0, 0  # Chunks that were handed on.
        self._whole, self._whole_bytes = 0, 0  # Chunks that are all here, those included.

    def add(self, piece: bytes | bytearray) -> None:
        self._buffer[self._came : self._came + len(piece)] = piece
        self._came += len(piece)
        while self._whole < len(self._run) and self._whole_bytes + self._run[self._whole].length <= self._came:
            self._whole_bytes += self._run[self._whole].length
            self._whole += 1

    @property
    def is_whole(self) -> bool:
        return self._came == self._length

    @property
    def whole_bytes(self) -> int:
        """Bytes of chunks that are all here and were not handed on."""
        return self._whole_bytes - self._taken_bytes

    def take_whole(self) -> tuple[tuple[ChunkRef, ...], memoryview]:
        refs, data = self._run[self._taken : self._whole], self._buffer[self._taken_bytes : self._whole_bytes]
        self._taken, self._taken_bytes = self._whole, self._whole_bytes
        return refs, data


def take_run(lease: Lease, table: ChunkTable, most: int = limits.MIRROR_RUN_BYTES_MAX) -> tuple[ChunkRef, ...]:
    """Take from `lease` the chunks of one request: neighbours in one file, up to half of what is not asked for yet (so
    that two requests share it), at least 1 MiB if there is so much, and at most `most` bytes or one chunk."""
    half = table.bytes_of(lease.unasked) // 2
    room = min(most, max(limits.BATCH_BYTES_MAX, half))
    refs: list[ChunkRef] = []
    for index in lease.unasked:
        ref = table.chunk(index)
        if refs and (ref.length > room or ref.file != refs[0].file or index != refs[-1].index + 1):
            break
        room -= ref.length
        refs.append(ref)
    lease.unasked = lease.unasked - RangeSet.from_indices(ref.index for ref in refs)
    return tuple(refs)


def _check_and_write(
    refs: Sequence[ChunkRef],
    data: memoryview,
    wanted: Sequence[ChunkRef],
    writer: ChunkWriter,
    writing: threading.Lock,
) -> tuple[int, Spent]:
    """Write the `wanted` of the chunks before the first that does not have its digest; return how many those are, and
    what took how long. Raises DiskError."""
    began = time.monotonic()
    good = at = 0
    for ref in refs:
        if digest_of(data[at : at + ref.length]).raw != ref.digest:
            break
        at += ref.length
        good += 1
    checked = time.monotonic()
    if good:
        with writing:
            some = {ref.index for ref in refs[:good]}
            writer.write(refs[:good], data[:at], [ref for ref in wanted if ref.index in some])
    return good, Spent(check_s=checked - began, write_s=time.monotonic() - checked)
