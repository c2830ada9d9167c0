"""The provider of a bulk connection: what a requester may say, and what is due to it.

Sans I/O. The driver receives exactly `need` bytes and hands them to `receive`, which returns a request when one is
whole; it then plans the answer here, reads the bytes, and sends the header made here with the bytes behind it. One
request is answered before the next is read, so that what waits is bounded by the socket's buffer.

    state     may come                    due
    opening   open                        opening with the first flight, or refuse
    answering -                           the answer: nothing is read before
    serving   want, ask                   chunks and refuse that name the wanted chunks in order; blobs
    dead      -                           -

Source: proto/transfer.md §3 and §4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum, auto

import msgspec

from p2phub import limits
from p2phub.content import ChunkRef, ChunkTable, Digest, RangeSet, length_of
from p2phub.errors import HubError, Malformed, ProtocolViolation
from p2phub.wire.codec import BulkRequest, decode_bulk_request, encode
from p2phub.wire.framing import LENGTH_BYTES, header_length
from p2phub.wire.messages import Ask, BlobsFollow, Chunks, Open, Opening, Refuse, Want
from p2phub.wire.requester import runs_of


class State(IntEnum):  # As in the requester.
    OPENING = auto()
    ANSWERING = auto()
    SERVING = auto()
    DEAD = auto()


MAY_COME: dict[State, frozenset[type]] = {
    State.OPENING: frozenset({Open}),
    State.ANSWERING: frozenset(),
    State.SERVING: frozenset({Want, Ask}),
    State.DEAD: frozenset(),
}


class Stretch(msgspec.Struct, frozen=True):
    """Wanted chunks of one kind, in order: of one file and held (`refused` is None), or to be refused for a reason."""

    refs: tuple[ChunkRef, ...]
    refused: str | None = None


def _refused(kind: int) -> str | None:
    return "not-held" if kind < 0 else None


class BulkProvider:
    """One bulk connection, from the provider's side. `peer` is the requester, whom errors name."""

    def __init__(self, *, peer: str | None = None) -> None:
        self._peer = peer
        self._state = State.OPENING
        self._need = LENGTH_BYTES
        self._in_header = False
        self._prefix_bytes = 0
        self._table: ChunkTable | None = None
        self._held = RangeSet()

    @property
    def state(self) -> State:
        return self._state

    @property
    def need(self) -> int:
        """How many bytes `receive` takes next; 0 while an answer is due."""
        return self._need

    def receive(self, data: memoryview | bytes) -> BulkRequest | None:
        """Take exactly `need` bytes. Returns a request if one is whole. Raises ProtocolViolation."""
        assert len(data) == self._need > 0, f"{len(data)} bytes received, {self._need} due"
        try:
            return self._receive(data)
        except HubError:
            self._state, self._need = State.DEAD, 0
            raise

    def _receive(self, data: memoryview | bytes) -> BulkRequest | None:
        try:
            if not self._in_header:
                self._need, self._in_header = header_length(data), True
                return None
            request = decode_bulk_request(bytes(data))
        except Malformed as exc:
            raise ProtocolViolation(str(exc), peer=self._peer) from exc
        self._in_header = False
        if type(request) not in MAY_COME[self._state]:
            raise self._violation("out-of-order", f"{type(request).__name__} is not due")
        if isinstance(request, Open):
            self._prefix_bytes = request.prefix_bytes
        self._state, self._need = State.ANSWERING, 0
        return request

    def opened(self, request: Open) -> None:
        """Begin with an Open that somebody else read: whoever had to tell a bulk from a control connection."""
        assert self._state is State.OPENING
        assert not self._in_header
        self._prefix_bytes = request.prefix_bytes
        self._state, self._need = State.ANSWERING, 0

    def serve(self, table: ChunkTable, held: RangeSet) -> None:
        """Say what is served: the chunks of `table` that are `held`. Anew, as often as that grows, with one table."""
        self._table, self._held = table, held

    def holds(self, want: Want) -> bool:
        """Whether all of it can be served by what was last said to be held."""
        return all(self._held.covers((first, first + count)) for first, count in want.ranges)

    # --- the first flight --------------------------------------------------------------------------------------------

    def flight_blobs(self, order: Sequence[Digest], blob: Callable[[Digest], bytes | None]) -> tuple[bytes, ...]:
        """Return the blobs of the first flight: those of `order`, up to the first that is missing or does not fit."""
        blobs: list[bytes] = []
        room = self._prefix_bytes
        for digest in order[: limits.FLIGHT_BLOBS_MAX]:
            found = blob(digest)
            if found is None or len(found) > room:
                break
            room -= len(found)
            blobs.append(found)
        return tuple(blobs)

    def flight_chunks(self, blobs: Sequence[bytes], order: Sequence[Digest]) -> tuple[ChunkRef, ...]:
        """Return the chunks of the first flight: from number 0 on while held and fitting, if all blobs are in it.

        Of large content none: to who stays for long they come a moment sooner, and a crowd would all get the same."""
        assert self._table is not None
        if len(blobs) < len(order) or not order or self._table.bytes_total > limits.PREFIX_CONTENT_BYTES_MAX:
            return ()
        room = self._prefix_bytes - sum(len(blob) for blob in blobs)
        refs: list[ChunkRef] = []
        for ref in self._table.chunks(0, len(self._table)):
            if ref.length > room or ref.index not in self._held:
                break
            room -= ref.length
            refs.append(ref)
        return tuple(refs)

    def opening(self, blobs: Sequence[bytes], refs: Sequence[ChunkRef]) -> bytes:
        """Return the frame of the first flight; `blobs`, then the bytes of `refs`, follow it."""
        lengths = tuple(len(blob) for blob in blobs)
        return encode(Opening(self._held, lengths, len(refs), length_of(refs)))

    # --- chunks and blobs --------------------------------------------------------------------------------------------

    def stretches(self, want: Want) -> tuple[Stretch, ...]:
        """Return what to do about the wanted chunks, in order. Raises ProtocolViolation for chunks that do not exist or
        more than one batch."""
        table = self._table
        assert table is not None
        refs: list[ChunkRef] = []
        for first, count in want.ranges:
            if first + count > len(table):
                raise self._violation("chunk-number", f"chunks beyond the {len(table)} of the manifest")
            refs += table.chunks(first, count)
        length = length_of(refs)
        if length > limits.BATCH_BYTES_MAX:
            raise self._violation("batch-bytes", f"{length} bytes wanted at once")
        if self.holds(want):
            kinds = [ref.file for ref in refs]
        else:
            kinds = [ref.file if ref.index in self._held else -1 for ref in refs]
        stretches: list[Stretch] = []
        begin = 0
        if not refs:
            return ()
        for at, kind in enumerate(kinds[1:], 1):
            if kind != kinds[begin]:
                stretches.append(Stretch(tuple(refs[begin:at]), _refused(kinds[begin])))
                begin = at
        stretches.append(Stretch(tuple(refs[begin:]), _refused(kinds[begin])))
        return tuple(stretches)

    def chunks(self, refs: Sequence[ChunkRef]) -> bytes:
        """Return the frame that announces the bytes of `refs`."""
        return encode(Chunks(runs_of(refs), length_of(refs)))

    def refuse(self, refs: Sequence[ChunkRef], reason: str) -> bytes:
        """Return the frame that says that `refs` will not come (none: the Open, or the blobs asked for)."""
        return encode(Refuse(runs_of(refs), reason))

    def blobs(self, lengths: Sequence[int]) -> bytes:
        """Return the frame that announces blobs of these lengths, in the order asked; 0: not held."""
        return encode(BlobsFollow(tuple(lengths)))

    def answered(self) -> None:
        """Say that the whole answer was sent: the next request may be read."""
        assert self._state is State.ANSWERING
        self._state, self._need = State.SERVING, LENGTH_BYTES

    def _violation(self, rule: str, message: str) -> ProtocolViolation:
        self._state, self._need = State.DEAD, 0
        return ProtocolViolation(f"{message} [{rule}]", peer=self._peer)
