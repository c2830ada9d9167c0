"""A link: the thread that requests, receives, checks and writes, and what the loop's side sees of it.

The thread owns channel, machine, buffer and files; lease, plan and questions lie under one lock, where `grant`,
`revoke` and the others change them at once. Source: proto/transfer.md §4 and §5.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence

from p2phub import limits
from p2phub.content import ChunkRef, Digest, RangeSet, Renumbering, WritePlan
from p2phub.errors import DiskError, HubError, Malformed, PeerError
from p2phub.identity import Address, PeerId
from p2phub.net.buffer import new_buffer
from p2phub.net.channel import Channel
from p2phub.net.chunk_writer import ChunkWriter
from p2phub.net.interface import Blobs, Cancelled, Closed, Opened, Refused, Report, Returned, Spent, Verified, WindowNow
from p2phub.net.lease import Lease, Window, request_bytes
from p2phub.net.renumbered import Renumbered
from p2phub.net.reports import Reports, as_value
from p2phub.wire import (
    BlobArrived,
    BulkRequester,
    ChunksArrived,
    ChunksRefused,
    FlightArrived,
    RequesterEvent,
)

_BUFFER_BYTES = max(limits.BATCH_BYTES_MAX, limits.CHUNK_LIST_BYTES_MAX, limits.MANIFEST_PAGE_BYTES_MAX)
_REPORT_WITHIN_S = 2.0  # Sooner than STALL_S: whoever waits for a slow chunk hears that bytes are coming.


class BulkLink:
    """`net.interface.Link` over any channel. `machine` has said Open already; `run` is the thread's work."""

    def __init__(self, channel: Channel, machine: BulkRequester, address: Address, via: str, window: Window) -> None:
        self._channel, self._machine = channel, machine
        self._address, self._via = address, via
        self._reports = Reports()
        self._lock = threading.Lock()
        self._lease = Lease()
        self._plan: WritePlan | None = None
        self._renumbered: Renumbered | None = None  # Where the provider has other numbers for the chunks.
        self._asks: deque[tuple[Digest, int]] = deque()
        self._begun = False
        self._closing = False
        self._ended = False
        self._cancelled = RangeSet()  # Under way all the same; not to be written.
        self._writing: Sequence[ChunkRef] = ()
        self._verified: list[tuple[int, int]] = []
        self._verified_bytes = 0
        self._receive_s = self._check_s = self._write_s = 0.0  # Spent since the last report.
        self._window = window  # The thread's own; others read it, a number at a time.
        # The thread's own:
        self._writer: ChunkWriter | None = None
        self._reported_at = 0.0
        # The watchdog's own:
        self._seen = (0, 0)
        self._seen_at = 0.0

    # --- the loop's side ---------------------------------------------------------------------------------------------

    @property
    def peer(self) -> PeerId:
        return self._channel.peer

    @property
    def address(self) -> Address:
        return self._address

    @property
    def via(self) -> str:
        return self._via

    @property
    def window(self) -> WindowNow:
        return WindowNow(self._window.bytes_max, self._window.trip_s or None)

    def ask(self, blobs: Sequence[tuple[Digest, int]]) -> None:
        with self._lock:
            self._asks.extend(blobs)
        self._channel.wake()

    def use(self, plan: WritePlan, numbers: Renumbering | None = None) -> None:
        with self._lock:
            assert self._plan is None, "a link has one plan"
            self._plan = plan
            self._renumbered = None if numbers is None else Renumbered(numbers)

    def grant(self, chunks: RangeSet) -> None:
        with self._lock:
            assert self._plan is not None, "a plan comes before the first grant"
            late = self._ended
            if not late:
                self._lease.add(chunks)
        if late:
            self._reports.put(Returned(chunks))
        self._channel.wake()

    def revoke(self) -> None:
        with self._lock:
            returned = self._lease.revoke()
        self._reports.put(Returned(returned))

    def cancel(self, chunks: RangeSet) -> None:
        with self._lock:
            if self._ended:
                return  # Closed has told already that none will be written.
            chunks -= RangeSet.from_indices(ref.index for ref in self._writing)
            cancelled, unasked = self._lease.cancel(chunks)
            self._cancelled |= cancelled - unasked
            self._reports.put(Cancelled(cancelled, unasked))  # Under the lock, so that none comes after Closed.

    def close(self) -> None:
        with self._lock:
            self._closing = True
            # Cancelled before its thread began, it gets none, and nobody else closes the connection.
            returned = None if self._begun or self._ended else self._end()
        if returned is None:
            self._channel.cancel()
        else:
            self._channel.close()
            self._reports.put(Closed(None, returned))

    async def next_report(self) -> Report:
        return await self._reports.take()

    def look(self, now: float) -> None:
        """Called by the watchdog now and then: tell what was verified, or that bytes come if nothing is whole yet.

        Bytes that come slower than RATE_MIN are none: who drips them would keep its chunks from others for long.
        """
        self._tell_verified()
        received, told = self._channel.received(), self._reports.put_count
        if told != self._seen[1] or self._ended:
            self._seen, self._seen_at = (received, told), now
            return
        passed_s = now - self._seen_at
        if passed_s >= _REPORT_WITHIN_S and received - self._seen[0] >= passed_s * limits.RATE_MIN:
            self._reports.put(Verified(RangeSet(), 0))
            self._seen, self._seen_at = (received, self._reports.put_count), now

    # --- the thread's side -------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Work until the link ends. Every way ends with one Closed report."""
        with self._lock:
            if self._ended:
                return
            self._begun = True
        error: HubError | None = HubError("a fault of our own ended the link")
        try:
            self._converse()
        except (PeerError, DiskError, Malformed) as exc:
            error = as_value(exc)
        finally:
            if self._writer is not None:
                self._writer.close()
            self._channel.close()
            self._tell_verified()
            with self._lock:
                returned = self._end()
                closing = self._closing
            self._reports.put(Closed(None if closing else error, returned))

    def _end(self) -> RangeSet:
        """Take nothing more; return what was granted and is not settled. Under the lock."""
        self._ended = True
        returned, self._lease = self._lease.owed, Lease()
        return returned

    def _converse(self) -> None:
        buffer = new_buffer(_BUFFER_BYTES)
        while True:
            frames = self._requests()
            if frames:
                self._channel.send(frames)
            if not self._machine.need:
                self._tell_verified()
                self._idle(buffer)
                continue
            events: tuple[RequesterEvent, ...] = ()
            now = time.monotonic()
            while not events and (need := self._machine.need):
                part, began = buffer[:need], now
                self._channel.fill(part)
                came = time.monotonic()
                if self._window.is_asking:
                    self._window.answered(came)
                events = self._machine.receive(part)
                now = time.monotonic()
                self._receive_s += came - began
                self._check_s += now - came
            for event in events:
                self._take(event)

    def _idle(self, buffer: memoryview) -> None:
        """Wait for something to do. The provider has nothing to say now, so what comes is its end, or a fault."""
        if self._channel.wait(limits.IDLE_LINK_S) and not self._channel.nothing_for_us():
            self._channel.fill(buffer[:1])
            raise self._machine.unasked()

    def _requests(self) -> bytes:
        """Return the frames that may be sent now. On a near link none until half of the window came, and then as many
        as that takes: one send, and one look at all of this, for two requests."""
        machine, window = self._machine, self._window
        if not machine.may_request:
            return b""
        bytes_max, beside = window.bytes_max, window.beside_bytes
        if machine.bytes_outstanding > max(bytes_max // 2, beside) and not self._asks:
            return b""
        frames: list[bytes] = []
        with self._lock:
            while self._asks and machine.requests_outstanding < limits.REQUESTS_OUTSTANDING_MAX:
                count = min(len(self._asks), limits.BLOBS_PER_REQUEST_MAX)
                frames.append(machine.ask([self._asks.popleft() for _ in range(count)]))
            plan, lease = self._plan, self._lease
            if plan is None or not lease.unasked:
                return b"".join(frames)
            if self._writer is None:
                self._writer = ChunkWriter(plan)
                machine.use(plan.table, plan.path_of)
            if not machine.bytes_outstanding:
                window.began(time.monotonic())
            most = request_bytes(bytes_max)
            while (
                lease.unasked
                and (requests := machine.requests_outstanding) < limits.REQUESTS_OUTSTANDING_MAX
                and (
                    machine.bytes_outstanding + most <= bytes_max
                    or (requests < 2 and machine.bytes_outstanding <= beside)
                )
            ):
                refs = lease.take(plan.table, most)
                frames.append(machine.want(refs if self._renumbered is None else self._ask(self._renumbered, refs)))
            all_asked = not lease.unasked
        if all_asked and frames:
            # The lease runs out with what is under way: say now what is done, so that more can be granted meanwhile.
            self._tell_verified()
        return b"".join(frames)

    def _ask(self, renumbered: Renumbered, refs: Sequence[ChunkRef]) -> Sequence[ChunkRef]:
        """Return `refs`, just taken from the lease, as the provider numbers them; but for those that have to wait for
        the next request. Under the lock."""
        now = renumbered.distinct(refs)
        self._lease.put_back(RangeSet.from_indices(ref.index for ref in refs[now:]))
        return renumbered.ask(refs[:now])

    def _take(self, event: RequesterEvent) -> None:
        match event:
            case ChunksArrived(refs, data):
                assert self._writer is not None
                if self._renumbered is not None:
                    refs = self._renumbered.answered(refs)
                began = time.monotonic()
                wanted = self._begin_writing(refs)
                self._writer.write(refs, data, wanted)
                now = time.monotonic()
                self._write_s += now - began
                self._window.came(len(data), now)
                with self._lock:
                    self._writing = ()
                    self._verified += [(ref.index, ref.index + 1) for ref in wanted]
                    self._verified_bytes += len(data)
                if now - self._reported_at >= limits.REPORT_S or self._verified_bytes >= limits.REPORT_BYTES:
                    self._tell_verified()
            case FlightArrived(blobs, prefix, held):
                self._channel.widen()
                self._reports.put(Opened(blobs, prefix, held))
            case BlobArrived(blob):
                self._reports.put(Blobs((blob,)))
            case ChunksRefused(refs, reason):
                self._tell_verified()
                if self._renumbered is not None:
                    refs = self._renumbered.answered(refs)
                chunks = RangeSet.from_indices(ref.index for ref in refs)
                with self._lock:
                    self._lease.settle(chunks)
                self._reports.put(Refused(chunks, reason))

    def _begin_writing(self, refs: Sequence[ChunkRef]) -> Sequence[ChunkRef]:
        """Return those of `refs`, which came, that are still wanted; until they are written they are not cancelled."""
        with self._lock:
            if self._cancelled:
                wanted = [ref for ref in refs if ref.index not in self._cancelled]
                self._cancelled -= RangeSet.from_indices(ref.index for ref in refs)
                refs = wanted
            self._writing = refs
        return refs

    def _tell_verified(self) -> None:
        """Report what was verified. By the thread, and by the watchdog while the thread waits for bytes."""
        with self._lock:
            if not self._verified_bytes:
                return  # Bytes alone are worth telling, too: what was cancelled has come.
            chunks, length = RangeSet.of(self._verified), self._verified_bytes
            spent = Spent(self._receive_s, self._check_s, self._write_s)
            self._verified, self._verified_bytes = [], 0
            self._receive_s = self._check_s = self._write_s = 0.0
            self._reported_at = time.monotonic()
            self._lease.settle(chunks)
            self._reports.put(Verified(chunks, length, spent))  # Under the lock, so that none comes after Closed.
