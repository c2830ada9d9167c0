"""The requester's machine: each state against each thing that can come, and each lie."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from p2phub import limits
from p2phub.content import ChunkRef, RangeSet, digest_of
from p2phub.errors import ChunkMismatch, Damaged, Malformed, PeerError, PeerRefused, ProtocolViolation
from p2phub.wire import BulkRequester, codec
from p2phub.wire import messages as m
from p2phub.wire.framing import LENGTH_BYTES, frame
from p2phub.wire.requester import (
    MAY_COME,
    MAY_SAY,
    BlobArrived,
    ChunksArrived,
    ChunksRefused,
    FlightArrived,
    RequesterEvent,
    State,
)
from tests.support.content import Content, content_of, random_files
from tests.support.covers import covers

CONTENT = content_of(random_files(1, a=50_000, b=10, d=70_001), chunk_bytes=10_000)
TABLE = CONTENT.table
PREFIX = 1 << 20


def feed(machine: BulkRequester, data: bytes) -> list[RequesterEvent]:
    """Give `data` to the machine as it needs it."""
    events: list[RequesterEvent] = []
    while data:
        need = machine.need
        assert need, "more bytes than are due"
        assert len(data) >= need, "too few bytes"
        events += machine.receive(memoryview(data[:need]))
        data = data[need:]
    return events


def refs(*indices: int) -> list[ChunkRef]:
    return [TABLE.chunk(index) for index in indices]


def chunks_frame(indices: Sequence[int], *, payload: bytes | None = None, length: int | None = None) -> bytes:
    if payload is None:
        payload = b"".join(CONTENT.chunk(index) for index in indices)
    ranges = tuple((index, 1) for index in indices)
    return codec.encode(m.Chunks(ranges, len(payload) if length is None else length)) + payload


def flight(content: Content = CONTENT, chunks: int = 3, *, blobs: Sequence[bytes] | None = None) -> bytes:
    if blobs is None:
        blobs = [content.blobs[digest] for digest in content.order]
    payload = b"".join(content.chunk(index) for index in range(chunks))
    opening = m.Opening(content.whole, tuple(map(len, blobs)), chunks, len(payload))
    return codec.encode(opening) + b"".join(blobs) + payload


def new(prefix_bytes: int = PREFIX) -> BulkRequester:
    machine = BulkRequester(CONTENT.root, prefix_bytes, peer="ann")
    machine.open()
    return machine


def serving() -> BulkRequester:
    machine = new()
    feed(machine, codec.encode(m.Opening(CONTENT.whole, (), 0, 0)))
    machine.use(TABLE, CONTENT.path_of)
    return machine


# --- what goes well ----------------------------------------------------------------------------------------------


def test_the_first_flight_gives_blobs_and_chunks() -> None:
    blobs = tuple(CONTENT.blobs[digest] for digest in CONTENT.order)
    prefix = tuple((index, CONTENT.chunk(index)) for index in range(3))
    assert feed(new(), flight()) == [FlightArrived(blobs, prefix, CONTENT.whole)]


def test_answers_give_what_was_wanted_in_order() -> None:
    machine = serving()
    machine.want(refs(3, 4))
    machine.want(refs(0))
    machine.ask([(CONTENT.order[1], 10_000)])
    blob = CONTENT.blobs[CONTENT.order[1]]
    events = feed(machine, chunks_frame([3, 4]) + chunks_frame([0]) + codec.encode(m.BlobsFollow((len(blob),))) + blob)
    assert [type(event) for event in events] == [ChunksArrived, ChunksArrived, BlobArrived]
    assert isinstance(events[0], ChunksArrived)
    assert events[0].refs == tuple(refs(3, 4))
    assert events[0].data == CONTENT.chunk(3) + CONTENT.chunk(4)
    assert machine.need == 0
    assert machine.bytes_outstanding == 0


def test_one_want_may_be_answered_in_parts() -> None:
    machine = serving()
    machine.want(refs(0, 1, 2, 3))
    events = feed(machine, chunks_frame([0]) + codec.encode(m.Refuse(((1, 2),), "changed")) + chunks_frame([3]))
    assert [type(event) for event in events] == [ChunksArrived, ChunksRefused, ChunksArrived]
    assert events[1] == ChunksRefused(tuple(refs(1, 2)), "changed")
    assert machine.need == 0


def test_several_blobs_come_one_by_one_and_missing_ones_are_told() -> None:
    machine = serving()
    machine.ask([(CONTENT.order[0], 65_536), (digest_of(b"none"), 10), (CONTENT.order[1], 10_000)])
    first, second = CONTENT.blobs[CONTENT.order[0]], CONTENT.blobs[CONTENT.order[1]]
    events = feed(machine, codec.encode(m.BlobsFollow((len(first), 0, len(second)))) + first + second)
    assert events == [BlobArrived(first), ChunksRefused((), "not-held"), BlobArrived(second)]


def test_a_refused_open_says_why() -> None:
    with pytest.raises(PeerRefused) as caught:
        feed(new(), codec.encode(m.Refuse((), "busy")))
    assert caught.value.reason == "busy"


# --- the table ---------------------------------------------------------------------------------------------------

ANSWERS: dict[type, bytes] = {
    m.Opening: codec.encode(m.Opening(CONTENT.whole, (), 0, 0)),
    m.Chunks: chunks_frame([0]),
    m.BlobsFollow: codec.encode(m.BlobsFollow((5,))),
    m.Refuse: codec.encode(m.Refuse((), "busy")),
}


def in_state(state: State) -> BulkRequester:
    machine = BulkRequester(CONTENT.root, PREFIX, peer="ann")
    if state is State.NEW:
        return machine
    machine.open()
    if state is State.FLIGHT:
        feed(machine, flight()[: LENGTH_BYTES + int.from_bytes(flight()[:4], "big")])
    if state in (State.SERVING, State.PAYLOAD, State.BLOBS):
        machine = serving()
    if state is State.PAYLOAD:
        machine.want(refs(0))
        feed(machine, codec.encode(m.Chunks(((0, 1),), 10_000)))
    if state is State.BLOBS:
        machine.ask([(CONTENT.order[1], 10_000)])
        feed(machine, codec.encode(m.BlobsFollow((500,))))
    if state is State.DEAD:
        with pytest.raises(ProtocolViolation):
            feed(machine, frame(b"\xc1"))
    assert machine.state is state
    return machine


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.__name__)
def test_every_answer_has_an_answer_in_every_state(state: State, answer: type) -> None:
    machine = in_state(state)
    if state in (State.FLIGHT, State.PAYLOAD, State.BLOBS):
        return  # Bytes are payload there, whatever they look like; the lies below are about those.
    if state in (State.NEW, State.SERVING, State.DEAD):
        assert machine.need == 0  # Nothing is due, so nothing is received.
        assert isinstance(machine.unasked(), ProtocolViolation)
        assert machine.state is State.DEAD
        return
    if answer in MAY_COME[state]:
        try:
            feed(machine, ANSWERS[answer])
        except PeerRefused:
            assert answer is m.Refuse
    else:
        with pytest.raises(ProtocolViolation, match="out-of-order"):
            feed(machine, ANSWERS[answer])
        assert machine.state is State.DEAD


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("message", [m.Open, m.Want, m.Ask], ids=lambda message: message.__name__)
def test_what_may_be_said_stands_in_the_table(state: State, message: type) -> None:
    machine = in_state(state)
    say = {
        m.Open: machine.open,
        m.Want: lambda: machine.want(refs(1)),
        m.Ask: lambda: machine.ask([(CONTENT.order[0], 1)]),
    }[message]
    if message in MAY_SAY[state]:
        assert say()
    else:
        with pytest.raises(AssertionError):
            say()


@pytest.mark.parametrize("wanted", ["chunks", "blobs"])
@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.__name__)
def test_an_answer_of_another_kind_than_the_oldest_request_is_refused(wanted: str, answer: type) -> None:
    machine = serving()
    if wanted == "chunks":
        machine.want(refs(0))
    else:
        machine.ask([(CONTENT.order[1], 10_000)])
    fits = {"chunks": [m.Chunks], "blobs": [m.BlobsFollow, m.Refuse]}[wanted]
    if answer in fits:
        header = ANSWERS[answer][: LENGTH_BYTES + int.from_bytes(ANSWERS[answer][:4], "big")]
        feed(machine, header)
    else:
        with pytest.raises(ProtocolViolation):
            feed(machine, ANSWERS[answer])


# --- lies --------------------------------------------------------------------------------------------------------


def refused(machine: BulkRequester, data: bytes) -> PeerError:
    with pytest.raises((ProtocolViolation, ChunkMismatch)) as caught:
        feed(machine, data)
    assert machine.state is State.DEAD
    assert machine.need == 0
    error = caught.value
    assert error.peer == "ann"
    return error


def flipped(data: bytes, at: int = -1) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


@covers("T33")
@pytest.mark.parametrize("at", range(3))
def test_a_flipped_byte_in_a_blob_of_the_flight_is_named(at: int) -> None:
    blobs = [CONTENT.blobs[digest] for digest in CONTENT.order]
    blobs[at] = flipped(blobs[at])
    error = refused(new(), flight(blobs=blobs))
    assert isinstance(error, ChunkMismatch)
    assert (error.file, error.chunk) == (["manifest", "chunk list", "chunk list"][at], 0)


@covers("T33")
@pytest.mark.parametrize("chunk", range(3))
def test_a_flipped_byte_in_a_chunk_of_the_flight_is_named(chunk: int) -> None:
    data = flight()
    error = refused(new(), flipped(data, len(data) - 30_000 + 10_000 * chunk + 5))
    assert isinstance(error, ChunkMismatch)
    assert (error.file, error.chunk) == ("a.bin", chunk)


@covers("T33")
def test_a_flipped_byte_in_a_wanted_chunk_is_named_by_its_file() -> None:
    machine = serving()
    machine.want(refs(5, 6, 7))
    error = refused(machine, flipped(chunks_frame([5, 6, 7])))
    assert isinstance(error, ChunkMismatch)
    assert (error.file, error.chunk) == ("d.bin", 1)


@covers("T33")
def test_swapped_chunks_are_refused() -> None:
    machine = serving()
    machine.want(refs(0, 1))
    swapped = chunks_frame([0, 1], payload=CONTENT.chunk(1) + CONTENT.chunk(0))
    assert isinstance(refused(machine, swapped), ChunkMismatch)


@pytest.mark.parametrize("indices", [[1, 0], [0, 0], [1], [2], [0, 1, 2], [0, 2]])
def test_chunks_other_than_the_next_due_are_refused_before_their_payload(indices: list[int]) -> None:
    machine = serving()
    machine.want(refs(0, 1))
    rule = "[ranges]" if len(set(indices)) < len(indices) else "[chunks-order]"
    assert rule in str(refused(machine, chunks_frame(indices)))


@covers("T15")
@pytest.mark.parametrize("length", [9_999, 10_001, 1])
def test_a_length_other_than_the_chunks_have_is_refused_before_the_payload(length: int) -> None:
    machine = serving()
    machine.want(refs(0))
    assert "chunks-length" in str(refused(machine, chunks_frame([0], length=length, payload=b"")))


def test_a_refusal_cannot_name_chunks_that_are_not_due() -> None:
    machine = serving()
    machine.want(refs(0))
    assert "chunks-order" in str(refused(machine, codec.encode(m.Refuse(((1, 1),), "changed"))))


@covers("T15")
def test_a_blob_longer_than_asked_is_refused_before_it_comes() -> None:
    machine = serving()
    machine.ask([(CONTENT.order[1], 10)])
    assert "blob-length" in str(refused(machine, codec.encode(m.BlobsFollow((11,)))))


def test_more_or_fewer_blobs_than_asked_are_refused() -> None:
    for lengths in ((), (5, 5)):
        machine = serving()
        machine.ask([(CONTENT.order[1], 10)])
        assert "blobs-count" in str(refused(machine, codec.encode(m.BlobsFollow(lengths))))


def test_a_false_blob_that_was_asked_for_is_named_by_its_kind() -> None:
    for digest, kind in ((CONTENT.order[0], "page"), (CONTENT.order[1], "chunk list")):
        machine = serving()
        machine.ask([(digest, 10_000)])
        blob = flipped(CONTENT.blobs[digest])
        error = refused(machine, codec.encode(m.BlobsFollow((len(blob),))) + blob)
        assert isinstance(error, ChunkMismatch)
        assert error.file == kind


FLIGHTS = {
    "more than the limit": (m.Opening(CONTENT.whole, (900_000,), 1, 200_000), "prefix-length"),
    "chunks without bytes": (m.Opening(CONTENT.whole, (), 3, 0), "prefix-chunks"),
    "bytes without chunks": (m.Opening(CONTENT.whole, (), 0, 3), "prefix-chunks"),
    "chunks without blobs": (m.Opening(CONTENT.whole, (), 1, 10_000), "prefix-chunks"),
    "a manifest too long": (m.Opening(CONTENT.whole, (limits.MANIFEST_ROOT_BYTES_MAX + 1,), 0, 0), "blob-length"),
}


@covers("T15")
@pytest.mark.parametrize("says", FLIGHTS)
def test_a_flight_that_breaks_a_rule_is_refused_before_its_payload(says: str) -> None:
    opening, rule = FLIGHTS[says]
    assert rule in str(refused(new(), codec.encode(opening)))


def test_a_flight_is_refused_where_nothing_was_allowed() -> None:
    assert "prefix-length" in str(refused(new(0), codec.encode(m.Opening(CONTENT.whole, (5,), 0, 0))))


def headed(opening: m.Opening, *blobs: bytes) -> bytes:
    return codec.encode(opening) + b"".join(blobs)


def test_blobs_that_the_manifest_does_not_name_and_wrong_chunk_counts_are_refused() -> None:
    blobs = [CONTENT.blobs[digest] for digest in CONTENT.order]
    lengths = tuple(map(len, blobs))
    extra = m.Opening(CONTENT.whole, (*lengths, 7), 0, 0)
    assert "flight-blobs" in str(refused(new(), headed(extra, *blobs)))
    longer = m.Opening(CONTENT.whole, (lengths[0], lengths[1] + 36, lengths[2]), 0, 0)
    assert "blob-length" in str(refused(new(), headed(longer, blobs[0])))
    for count, length, rule in ((len(TABLE) + 1, 10_000, "prefix-chunks"), (2, 10_000, "chunks-length")):
        opening = m.Opening(CONTENT.whole, lengths, count, length)
        assert rule in str(refused(new(), headed(opening, *blobs)))


def test_a_manifest_that_breaks_a_rule_of_its_own_is_not_the_peers_fault() -> None:
    bad = b"\x93not a manifest"
    machine = BulkRequester(digest_of(bad), PREFIX, peer="ann")
    machine.open()
    with pytest.raises(Malformed) as caught:
        feed(machine, headed(m.Opening(RangeSet(), (len(bad),), 0, 0), bad))
    assert isinstance(caught.value, Damaged)
    assert machine.state is State.DEAD


@covers("T27")
@pytest.mark.parametrize("prefix", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\1\0\1"])
def test_a_frame_length_out_of_bounds_ends_it_at_the_fourth_byte(prefix: bytes) -> None:
    assert "frame-length" in str(refused(new(), prefix))


@covers("T27")
def test_garbage_in_place_of_a_header_is_refused() -> None:
    for garbage in (b"\xc1", b"\x80", b"\x00" * 40, b"\x81\xa1t\xa4nope"):
        refused(new(), frame(garbage))
