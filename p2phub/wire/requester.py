"""The requester of a bulk connection: what may be said, what must come, and whether it is what was asked for.

Sans I/O. The driver sends what `open`, `want` and `ask` return, receives exactly `need` bytes into any buffer, hands
them to `receive` and carries out what that returns; `need` is 0 when nothing is due. Payload is checked where it lies
and never copied here. After an error the machine answers nothing more: the connection is to be closed.

    state     may say     may come
    new       open        -
    opening   -           opening, refuse (ends it)
    flight    -           payload of the first flight: each blob, then the chunks
    serving   want, ask   chunks, refuse (answers to the oldest want), blobs (answer to the oldest ask)
    payload   want, ask   the chunks announced
    blobs     want, ask   the blobs announced
    dead      -           -

Answers come in the order of the requests. A want is answered by one or more frames that together name exactly its
chunks, in its order. Source: proto/transfer.md §3 and §4.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum, auto

import msgspec
from blake3 import blake3

from p2phub import limits
from p2phub.content import ChunkRef, ChunkTable, Digest, RangeSet, digest_of, length_of, looks_like_lists
from p2phub.errors import ChunkMismatch, HubError, Malformed, PeerRefused, ProtocolViolation
from p2phub.wire.codec import decode_bulk_answer, encode
from p2phub.wire.flight import BlobChain
from p2phub.wire.framing import LENGTH_BYTES, header_length
from p2phub.wire.messages import Ask, BlobsFollow, Chunks, Open, Opening, Refuse, Want, refusal


class State(IntEnum):  # Not Enum, whose hash is a function of Python: states are looked up several times a request.
    NEW = auto()
    OPENING = auto()
    FLIGHT = auto()
    SERVING = auto()
    PAYLOAD = auto()
    BLOBS = auto()
    DEAD = auto()


MAY_SAY: dict[State, frozenset[type]] = {
    State.NEW: frozenset({Open}),
    State.OPENING: frozenset(),
    State.FLIGHT: frozenset(),
    State.SERVING: frozenset({Want, Ask}),
    State.PAYLOAD: frozenset({Want, Ask}),
    State.BLOBS: frozenset({Want, Ask}),
    State.DEAD: frozenset(),
}
MAY_COME: dict[State, frozenset[type]] = {
    State.NEW: frozenset(),
    State.OPENING: frozenset({Opening, Refuse}),
    State.FLIGHT: frozenset(),
    State.SERVING: frozenset({Chunks, BlobsFollow, Refuse}),
    State.PAYLOAD: frozenset(),
    State.BLOBS: frozenset(),
    State.DEAD: frozenset(),
}


class FlightArrived(msgspec.Struct, frozen=True):
    """The answer to Open, whole and checked. As `net.Opened`."""

    blobs: tuple[bytes, ...]
    prefix: tuple[tuple[int, bytes], ...]
    held: RangeSet


class ChunksArrived(msgspec.Struct, frozen=True):
    """Chunks whose digests were checked, one after the other in `data`, which is the buffer given to `receive`."""

    refs: tuple[ChunkRef, ...]
    data: memoryview


class BlobArrived(msgspec.Struct, frozen=True):
    """One blob that was asked for, its digest checked."""

    blob: bytes


class ChunksRefused(msgspec.Struct, frozen=True):
    """Chunks that will not come; `refs` is empty where blobs were asked for."""

    refs: tuple[ChunkRef, ...]
    reason: str


RequesterEvent = FlightArrived | ChunksArrived | BlobArrived | ChunksRefused


class _Flight(msgspec.Struct):
    """The first flight as it comes: blobs by their announced lengths, then `chunk_bytes` of chunks from number 0."""

    held: RangeSet
    lengths: deque[int]
    chunk_count: int
    chunk_bytes: int
    blobs: list[bytes]


class BulkRequester:
    """One bulk connection, from our side. `peer` is whom errors name."""

    def __init__(self, manifest: Digest, prefix_bytes: int, *, peer: str | None = None) -> None:
        assert 0 <= prefix_bytes <= limits.PREFIX_BYTES_MAX
        self._manifest, self._prefix_bytes, self._peer = manifest, prefix_bytes, peer
        self._state = State.NEW
        self._need = 0
        self._in_header = False
        self._outstanding: deque[deque[ChunkRef] | deque[tuple[Digest, int]]] = deque()
        self._bytes_wanted = 0
        self._flight: _Flight | None = None
        self._chain = BlobChain(manifest)
        self._coming: tuple[ChunkRef, ...] = ()
        self._blob_lengths: deque[int] = deque()
        self._name_of: Callable[[ChunkRef], tuple[str, int]] = lambda ref: (f"file {ref.file}", ref.index)

    @property
    def manifest(self) -> Digest:
        """What this is a conversation about."""
        return self._manifest

    @property
    def state(self) -> State:
        return self._state

    @property
    def may_request(self) -> bool:
        """Whether `want` and `ask` may be said now."""
        return Want in MAY_SAY[self._state]

    @property
    def need(self) -> int:
        """How many bytes `receive` takes next; 0 when nothing is due, so that whatever came would be too much."""
        return self._need

    @property
    def bytes_outstanding(self) -> int:
        """Bytes of chunks that were wanted and have not been answered."""
        return self._bytes_wanted

    @property
    def requests_outstanding(self) -> int:
        return len(self._outstanding)

    # --- what we say -------------------------------------------------------------------------------------------------

    def open(self) -> bytes:
        """Return the first frame."""
        self._say(Open)
        self._state = State.OPENING
        self._need = LENGTH_BYTES
        return encode(Open(self._manifest, self._prefix_bytes))

    def use(self, table: ChunkTable, path_of: Callable[[int], str]) -> None:
        """Say where chunks lie, for the errors that name them: by their place, since their numbers may be those of
        another manifest."""

        def name_of(ref: ChunkRef) -> tuple[str, int]:
            number, _ = table.covering(ref.file, ref.offset, ref.offset + ref.length)
            return path_of(ref.file), number - table.span(ref.file)[0]

        self._name_of = name_of

    def want(self, refs: Sequence[ChunkRef]) -> bytes:
        """Return the frame that asks for `refs`, distinct, in sending order, within the limits of one batch."""
        self._say(Want)
        length = length_of(refs)
        assert 0 < len(refs) <= limits.BATCH_CHUNKS_MAX
        assert length <= limits.BATCH_BYTES_MAX
        assert len(self._outstanding) < limits.REQUESTS_OUTSTANDING_MAX
        self._expect(deque(refs))
        self._bytes_wanted += length
        return encode(Want(runs_of(refs)))

    def ask(self, blobs: Sequence[tuple[Digest, int]]) -> bytes:
        """Return the frame that asks for blobs: (digest, most bytes) each; at most BLOBS_PER_REQUEST_MAX."""
        self._say(Ask)
        assert 0 < len(blobs) <= limits.BLOBS_PER_REQUEST_MAX
        assert len(self._outstanding) < limits.REQUESTS_OUTSTANDING_MAX
        self._expect(deque(blobs))
        return encode(Ask(tuple(digest for digest, _ in blobs)))

    def _say(self, message: type) -> None:
        assert message in MAY_SAY[self._state], f"{message.__name__} said in state {self._state.name}"

    def _expect(self, answer: deque[ChunkRef] | deque[tuple[Digest, int]]) -> None:
        self._outstanding.append(answer)
        if self._need == 0:
            self._need = LENGTH_BYTES

    # --- what comes --------------------------------------------------------------------------------------------------

    def receive(self, data: memoryview) -> tuple[RequesterEvent, ...]:
        """Take exactly `need` bytes. Returns what came of them; nothing if more is needed first.

        Raises PeerRefused (Open refused), ProtocolViolation, ChunkMismatch; Malformed where the manifest itself is bad.
        """
        assert len(data) == self._need > 0, f"{len(data)} bytes received, {self._need} due"
        try:
            return self._receive(data)
        except HubError:
            self._state, self._need = State.DEAD, 0
            raise

    def unasked(self) -> ProtocolViolation:
        """Return the error for bytes that came while nothing was due."""
        self._state, self._need = State.DEAD, 0
        return self._violation("unasked", "bytes that nobody asked for")

    def _receive(self, data: memoryview) -> tuple[RequesterEvent, ...]:
        if self._state is State.PAYLOAD:
            return self._receive_chunks(data)
        if self._state is State.FLIGHT:
            return self._receive_flight(data)
        if self._state is State.BLOBS:
            return self._receive_blob(data)
        try:
            if not self._in_header:
                self._need, self._in_header = header_length(data), True
                return ()
            message = decode_bulk_answer(bytes(data))
        except Malformed as exc:
            raise ProtocolViolation(str(exc), peer=self._peer) from exc
        self._in_header = False
        self._need = LENGTH_BYTES
        if type(message) not in MAY_COME[self._state]:
            raise self._violation("out-of-order", f"{type(message).__name__} in answer to nothing like it")
        match message:
            case Chunks():
                return self._begin_chunks(message)
            case Opening():
                return self._begin_flight(message)
            case BlobsFollow():
                return self._begin_blobs(message)
            case Refuse():
                return self._refused(message)

    # The first flight.

    def _begin_flight(self, message: Opening) -> tuple[RequesterEvent, ...]:
        total = sum(message.blob_lengths) + message.chunk_bytes
        if total > self._prefix_bytes:
            raise self._violation("prefix-length", f"a first flight of {total} bytes, {self._prefix_bytes} allowed")
        if (message.chunk_count == 0) != (message.chunk_bytes == 0):
            raise self._violation(
                "prefix-chunks", f"{message.chunk_count} chunks of {message.chunk_bytes} bytes in the first flight"
            )
        self._flight = _Flight(message.held, deque(message.blob_lengths), message.chunk_count, message.chunk_bytes, [])
        self._state = State.FLIGHT
        return self._next_of_flight()

    def _next_of_flight(self) -> tuple[RequesterEvent, ...]:
        flight = self._flight
        assert flight is not None
        if flight.lengths:
            self._chain.announce(flight.lengths[0], peer=self._peer)
            self._need = flight.lengths[0]
            return ()
        if flight.chunk_count:
            self._coming = self._prefix_refs(flight)
            self._need = flight.chunk_bytes
            return ()
        return self._end_flight(())

    def _prefix_refs(self, flight: _Flight) -> tuple[ChunkRef, ...]:
        table, manifest = self._chain.table, self._chain.manifest
        if table is None or manifest is None:
            raise self._violation("prefix-chunks", "chunks before all that names them")
        if flight.chunk_count > len(table):
            raise self._violation("prefix-chunks", f"{flight.chunk_count} chunks of a manifest of {len(table)}")
        expected = table.bytes_of(RangeSet.whole(flight.chunk_count))
        if expected != flight.chunk_bytes:
            raise self._violation("chunks-length", f"{flight.chunk_bytes} bytes for chunks of {expected}")
        self.use(table, lambda file: manifest.files[file].path)
        return tuple(table.chunks(0, flight.chunk_count))

    def _receive_flight(self, data: memoryview) -> tuple[RequesterEvent, ...]:
        flight = self._flight
        assert flight is not None
        if flight.lengths:
            blob = bytes(data)
            self._chain.accept(blob, peer=self._peer)
            flight.lengths.popleft()
            flight.blobs.append(blob)
            return self._next_of_flight()
        prefix = [(ref.index, bytes(part)) for ref, part in self._checked(self._coming, data)]
        return self._end_flight(tuple(prefix))

    def _end_flight(self, prefix: tuple[tuple[int, bytes], ...]) -> tuple[RequesterEvent, ...]:
        flight = self._flight
        assert flight is not None
        self._flight, self._coming, self._chain = None, (), BlobChain(self._manifest)  # Free what it held.
        self._serve_on()
        return (FlightArrived(tuple(flight.blobs), prefix, flight.held),)

    # Chunks.

    def _begin_chunks(self, message: Chunks) -> tuple[RequesterEvent, ...]:
        refs, expected = self._answered(message.ranges)
        if message.length != expected:
            raise self._violation("chunks-length", f"{message.length} bytes announced for chunks of {expected}")
        self._coming, self._need, self._state = refs, expected, State.PAYLOAD
        return ()

    def _receive_chunks(self, data: memoryview) -> tuple[RequesterEvent, ...]:
        refs, self._coming = self._coming, ()
        for _ in self._checked(refs, data):
            pass
        self._serve_on()
        return (ChunksArrived(refs, data),)

    def _refused(self, message: Refuse) -> tuple[RequesterEvent, ...]:
        if self._state is State.OPENING:
            if message.ranges:
                raise self._violation("out-of-order", "chunks refused that were not wanted")
            who = self._peer or "the provider"
            raise PeerRefused(refusal(who, message.reason), reason=message.reason, peer=self._peer)
        if message.ranges:
            refs, _ = self._answered(message.ranges)
        else:
            self._oldest_ask()
            self._outstanding.popleft()
            refs = ()
        self._serve_on()
        return (ChunksRefused(refs, message.reason),)

    def _answered(self, ranges: Sequence[tuple[int, int]]) -> tuple[tuple[ChunkRef, ...], int]:
        """Take from the oldest want the chunks that an answer names: they must be the next ones due. Returns them, and
        their bytes."""
        oldest = self._outstanding[0] if self._outstanding else None
        refs: list[ChunkRef] = []
        length = 0
        for first, count in ranges:
            for index in range(first, first + count):
                due = oldest.popleft() if oldest else None
                if not isinstance(due, ChunkRef) or due.index != index:
                    raise self._violation("chunks-order", f"an answer names chunk {index}, which is not the next due")
                refs.append(due)
                length += due.length
        if not oldest:
            self._outstanding.popleft()
        self._bytes_wanted -= length
        return tuple(refs), length

    def _checked(self, refs: Sequence[ChunkRef], data: memoryview) -> Iterator[tuple[ChunkRef, memoryview]]:
        at = 0
        for ref in refs:
            part = data[at : at + ref.length]
            if blake3(part).digest() != ref.digest:
                path, chunk = self._name_of(ref)
                raise ChunkMismatch(
                    f"chunk {chunk} of {path} does not have its digest", file=path, chunk=chunk, peer=self._peer
                )
            at += ref.length
            yield ref, part

    # Blobs.

    def _oldest_ask(self) -> deque[tuple[Digest, int]]:
        oldest = self._outstanding[0] if self._outstanding else None
        if not oldest or isinstance(oldest[0], ChunkRef):
            raise self._violation("out-of-order", "blobs in answer to nothing like it")
        return oldest  # type: ignore[return-value]  # A deque is of one kind, which its first item tells.

    def _begin_blobs(self, message: BlobsFollow) -> tuple[RequesterEvent, ...]:
        asked = self._oldest_ask()
        if len(message.lengths) != len(asked):
            raise self._violation("blobs-count", f"{len(message.lengths)} blobs in answer to {len(asked)}")
        for length, (_, most) in zip(message.lengths, asked, strict=True):
            if length > most:
                raise self._violation("blob-length", f"a blob of {length} bytes, at most {most} expected")
        self._blob_lengths = deque(message.lengths)
        self._state = State.BLOBS
        return self._next_blob()

    def _next_blob(self) -> tuple[RequesterEvent, ...]:
        """Go to the next blob that comes; those before it that are not held are told as one refusal."""
        asked = self._outstanding[0]
        missing = False
        while self._blob_lengths and not self._blob_lengths[0]:
            self._blob_lengths.popleft()
            asked.popleft()
            missing = True
        if self._blob_lengths:
            self._need = self._blob_lengths[0]
        else:
            self._outstanding.popleft()
            self._serve_on()
        return (ChunksRefused((), "not-held"),) if missing else ()

    def _receive_blob(self, data: memoryview) -> tuple[RequesterEvent, ...]:
        blob = bytes(data)
        self._blob_lengths.popleft()
        asked = self._outstanding[0]
        due = asked.popleft()
        assert isinstance(due, tuple)
        if digest_of(blob) != due[0]:
            kind = "chunk list" if looks_like_lists(blob) else "page"
            raise ChunkMismatch(f"a {kind} that does not have its digest", file=kind, chunk=0, peer=self._peer)
        return (BlobArrived(blob), *self._next_blob())

    def _serve_on(self) -> None:
        self._state = State.SERVING
        self._need = LENGTH_BYTES if self._outstanding else 0

    def _violation(self, rule: str, message: str) -> ProtocolViolation:
        return ProtocolViolation(f"{message} [{rule}]", peer=self._peer)


def runs_of(refs: Sequence[ChunkRef]) -> tuple[tuple[int, int], ...]:
    """Return the chunk numbers of `refs`, in their order, as (first, count) pairs."""
    runs: list[tuple[int, int]] = []
    for ref in refs:
        if runs and ref.index == runs[-1][0] + runs[-1][1]:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((ref.index, 1))
    return tuple(runs)
