"""The provider's machine: what a requester may say, and what is due to it."""

from __future__ import annotations

import pytest

from p2phub.content import RangeSet, digest_of
from p2phub.errors import ProtocolViolation
from p2phub.wire import BulkProvider, codec
from p2phub.wire import messages as m
from p2phub.wire.framing import frame
from p2phub.wire.provider import MAY_COME, State
from tests.support.content import content_of, random_files
from tests.support.covers import covers

CONTENT = content_of(random_files(1, a=50_000, b=10, d=70_001), chunk_bytes=10_000)
OPEN = m.Open(CONTENT.root, 1 << 20)


def feed(machine: BulkProvider, data: bytes) -> list[codec.BulkRequest]:
    requests: list[codec.BulkRequest] = []
    while data:
        need = machine.need
        assert need, "nothing is due"
        request = machine.receive(data[:need])
        data = data[need:]
        if request is not None:
            requests.append(request)
    return requests


def serving(held: RangeSet | None = None, prefix_bytes: int = 1 << 20) -> BulkProvider:
    machine = BulkProvider(peer="bob")
    feed(machine, codec.encode(m.Open(CONTENT.root, prefix_bytes)))
    machine.serve(CONTENT.table, CONTENT.whole if held is None else held)
    machine.answered()
    return machine


def test_a_request_is_given_once_it_is_whole_and_the_next_waits_for_its_answer() -> None:
    machine = BulkProvider(peer="bob")
    assert feed(machine, codec.encode(OPEN)) == [OPEN]
    assert machine.need == 0
    machine.serve(CONTENT.table, CONTENT.whole)
    machine.answered()
    assert feed(machine, codec.encode(m.Want(((0, 1),)))) == [m.Want(((0, 1),))]
    assert machine.need == 0


REQUESTS: dict[type, bytes] = {
    m.Open: codec.encode(OPEN),
    m.Want: codec.encode(m.Want(((0, 1),))),
    m.Ask: codec.encode(m.Ask((CONTENT.root,))),
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("request_kind", REQUESTS, ids=lambda kind: kind.__name__)
def test_every_request_has_an_answer_in_every_state(state: State, request_kind: type) -> None:
    machine = BulkProvider(peer="bob")
    if state is State.ANSWERING:
        machine.opened(OPEN)
    elif state is State.SERVING:
        machine = serving()
    elif state is State.DEAD:
        with pytest.raises(ProtocolViolation):
            feed(machine, frame(b"\xc1"))
    assert machine.state is state
    if state in (State.ANSWERING, State.DEAD):
        assert machine.need == 0  # Nothing is read, whatever waits.
    elif request_kind in MAY_COME[state]:
        assert len(feed(machine, REQUESTS[request_kind])) == 1
    else:
        with pytest.raises(ProtocolViolation, match="out-of-order"):
            feed(machine, REQUESTS[request_kind])
        assert machine.state is State.DEAD


@covers("T27")
@pytest.mark.parametrize("data", [b"\0\0\0\0", b"\xff\xff\xff\xff", frame(b"\xc1"), codec.encode(m.Ping())])
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        feed(BulkProvider(peer="bob"), data)
    assert caught.value.peer == "bob"


def test_the_first_flight_takes_what_fits_in_order() -> None:
    lengths = [len(CONTENT.blobs[digest]) for digest in CONTENT.order]
    for room, blobs, chunks in (
        (0, 0, 0),
        (lengths[0] - 1, 0, 0),
        (lengths[0], 1, 0),
        (sum(lengths) + 9_999, 3, 0),
        (sum(lengths) + 10_000, 3, 1),
        (sum(lengths) + 49_999, 3, 4),
        (1 << 20, 3, 14),
    ):
        machine = serving(prefix_bytes=room)
        sent = machine.flight_blobs(CONTENT.order, CONTENT.blobs.get)
        assert len(sent) == blobs
        assert [ref.index for ref in machine.flight_chunks(sent, CONTENT.order)] == list(range(chunks))


def test_chunks_of_the_first_flight_end_before_the_first_that_is_not_held() -> None:
    machine = serving(held=RangeSet(((0, 2), (3, 14))))
    blobs = machine.flight_blobs(CONTENT.order, CONTENT.blobs.get)
    assert [ref.index for ref in machine.flight_chunks(blobs, CONTENT.order)] == [0, 1]


def test_a_missing_blob_ends_the_first_flight() -> None:
    machine = serving()
    held = dict(CONTENT.blobs)
    del held[CONTENT.order[1]]
    blobs = machine.flight_blobs(CONTENT.order, held.get)
    assert [digest_of(blob) for blob in blobs] == [CONTENT.root]
    assert machine.flight_chunks(blobs, CONTENT.order) == ()


def test_wanted_chunks_are_cut_by_file_and_by_what_is_held() -> None:
    machine = serving(held=RangeSet(((0, 3), (4, 14))))
    stretches = machine.stretches(m.Want(((2, 5), (0, 1))))
    assert [([ref.index for ref in each.refs], each.refused) for each in stretches] == [
        ([2], None),
        ([3], "not-held"),
        ([4], None),
        ([5], None),
        ([6], None),
        ([0], None),
    ]


@pytest.mark.parametrize("ranges", [((14, 1),), ((13, 2),), ((0, 1), (500, 1))])
def test_chunks_that_do_not_exist_end_the_connection(ranges: tuple[tuple[int, int], ...]) -> None:
    machine = serving()
    with pytest.raises(ProtocolViolation, match="chunk-number"):
        machine.stretches(m.Want(ranges))


@covers("T40")
def test_more_bytes_than_a_batch_end_the_connection() -> None:
    content = content_of(random_files(1, a=3 << 20))
    machine = BulkProvider(peer="bob")
    machine.opened(OPEN)
    machine.serve(content.table, content.whole)
    with pytest.raises(ProtocolViolation, match="batch-bytes"):
        machine.stretches(m.Want(((0, 2),)))
