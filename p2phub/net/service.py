"""The thread that serves one bulk connection: reads what is wanted and sends it, one request after the other.

The first flight lies in one buffer with its header and goes out in one write; of chunks the small header goes out
first, and then the buffer that they were read into: payload is never copied, and its records are full.
Files are read, not mapped: a mapped file that somebody truncates would kill the process. Source: proto/transfer.md §4.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from p2phub import limits
from p2phub.content import ChunkRef, length_of
from p2phub.errors import PeerGone, PeerRefused
from p2phub.net.buffer import PAGE_BYTES, new_buffer
from p2phub.net.channel import Channel
from p2phub.net.chunk_reader import ChunkReader
from p2phub.net.interface import Offer, Shelf
from p2phub.wire import LENGTH_BYTES, Ask, BulkProvider, Open, Stretch, Want

_ROOM = -(-(LENGTH_BYTES + limits.FRAME_HEADER_BYTES_MAX) // PAGE_BYTES) * PAGE_BYTES
"""Where a header ends and payload begins: at a page, so payload never moves and is read to an aligned address."""


class BulkService:
    """Serves `first` and what follows it to the peer of `channel`. `run` is the thread's work."""

    def __init__(self, channel: Channel, first: Open, shelf: Shelf) -> None:
        self._channel, self._shelf = channel, shelf
        self._manifest = first.manifest
        self._machine = BulkProvider(peer=str(channel.peer))
        self._machine.opened(first)
        self._buffer = new_buffer(_ROOM + limits.BATCH_BYTES_MAX)
        self._sent = 0
        self._told_at = time.monotonic()

    def run(self) -> None:
        """Serve until the requester goes, says nothing for IDLE_LINK_S, or breaks a rule. Raises PeerError."""
        try:
            try:
                offer = self._shelf.offer(self._manifest, self._channel.peer)
            except PeerRefused as exc:
                self._channel.send(self._machine.refuse((), exc.reason))
                return
            self._serve(offer)
        finally:
            self._channel.close()

    def _serve(self, offer: Offer) -> None:
        self._machine.serve(offer.plan.table, offer.held_now)
        reader = self._reader(offer)
        try:
            self._answer_open(offer, reader)
            self._channel.widen()
            while self._machine.need:
                if not self._next_request(offer, reader):
                    return
        finally:
            reader.close()
            self._tell_sent()

    def _reader(self, offer: Offer) -> ChunkReader:
        return ChunkReader(offer.plan, lambda file: self._shelf.changed(self._manifest, file))

    def _next_request(self, offer: Offer, reader: ChunkReader) -> bool:
        """Read and answer one request. Returns False if none came for so long that the connection may end."""
        if not self._channel.wait(limits.REPORT_S):
            self._tell_sent()
            if not self._channel.wait(limits.IDLE_LINK_S):
                return False
        request = None
        while request is None:
            header = self._buffer[: self._machine.need]
            self._channel.fill(header)
            request = self._machine.receive(header)
        match request:
            case Want():
                if offer.held is not None and not self._machine.holds(request):
                    self._machine.serve(offer.plan.table, offer.held_now)
                self._answer_want(request, reader)
            case Ask():
                self._answer_ask(request, offer)
            case Open():
                raise AssertionError("the machine lets no second Open through")
        self._machine.answered()
        return True

    def _answer_open(self, offer: Offer, reader: ChunkReader) -> None:
        blobs = self._machine.flight_blobs(offer.order, offer.blob)
        wanted = self._machine.flight_chunks(blobs, offer.order)
        at = _ROOM
        for blob in blobs:
            self._buffer[at : at + len(blob)] = blob
            at += len(blob)
        refs: list[ChunkRef] = []
        for run in _by_file(wanted):
            length = length_of(run)
            if reader.read(run, self._buffer[at : at + length]) is not None:
                break  # What follows a gap is not a prefix.
            refs += run
            at += length
        self._send(self._machine.opening(blobs, refs), at)
        self._count(length_of(refs))
        self._machine.answered()

    def _answer_want(self, want: Want, reader: ChunkReader) -> None:
        refs: list[ChunkRef] = []
        at = _ROOM
        stretches = self._machine.stretches(want)
        reader.expect([each.refs[0].file for each in stretches if not each.refused])  # Reads nothing yet.
        waiting = deque(stretches)
        while waiting:
            stretch = waiting.popleft()
            length = length_of(stretch.refs)
            refused = stretch.refused or self._read(reader, stretch.refs, self._buffer[at : at + length])
            if refused is None:
                refs += stretch.refs
                at += length
                continue
            if refused == "disk" and len(stretch.refs) > 1 and reader.gives(stretch.refs[0].file):
                waiting.extendleft(Stretch((ref,)) for ref in reversed(stretch.refs))  # At one of them.
                continue
            self._send_chunks(refs, at)
            refs, at = [], _ROOM
            self._channel.send(self._machine.refuse(stretch.refs, refused))
        self._send_chunks(refs, at)

    def _read(self, reader: ChunkReader, refs: Sequence[ChunkRef], into: memoryview) -> str | None:
        progress = self._channel.progress
        progress.begin_ours()  # However slow the disk, the connection is not idle.
        try:
            return reader.read(refs, into)
        finally:
            progress.end()

    def _answer_ask(self, ask: Ask, offer: Offer) -> None:
        # Their lengths go first, and who asks may be slow to take them: what is not kept meanwhile is looked up twice.
        kept: dict[int, bytes] = {}
        lengths: list[int] = []
        room = limits.BLOBS_KEPT_BYTES_MAX
        for number, digest in enumerate(ask.blobs):
            found = offer.blob(digest) or b""
            lengths.append(len(found))
            if len(found) <= room:
                kept[number] = found
                room -= len(found)
        self._channel.send(self._machine.blobs(lengths))
        for number, digest in enumerate(ask.blobs):
            blob = kept.pop(number) if number in kept else offer.blob(digest)
            if blob is None:
                raise PeerGone("a blob that was announced is no longer held", peer=str(self._channel.peer))
            if blob:
                self._channel.send(blob)
                self._count(len(blob))

    def _send_chunks(self, refs: Sequence[ChunkRef], end: int) -> None:
        if refs:
            self._channel.send(self._machine.chunks(refs), self._buffer[_ROOM:end])
            self._count(end - _ROOM)

    def _send(self, header: bytes, end: int) -> None:
        """Send `header` and the payload that lies in the buffer up to `end`, in one write."""
        begin = _ROOM - len(header)
        self._buffer[begin:_ROOM] = header
        self._channel.send(self._buffer[begin:end])

    def _count(self, length: int) -> None:
        self._sent += length
        if time.monotonic() - self._told_at >= limits.REPORT_S:
            self._tell_sent()

    def _tell_sent(self) -> None:
        self._told_at = time.monotonic()
        if self._sent:
            sent, self._sent = self._sent, 0
            self._shelf.sent(self._manifest, self._channel.peer, sent)


def _by_file(refs: Sequence[ChunkRef]) -> list[list[ChunkRef]]:
    runs: list[list[ChunkRef]] = []
    for ref in refs:
        if runs and runs[-1][0].file == ref.file:
            runs[-1].append(ref)
        else:
            runs.append([ref])
    return runs
