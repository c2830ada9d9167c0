"""Messages as bytes and back. What each rule refuses stands in proto/vectors/transfer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2phub import limits
from p2phub.content import Digest, RangeSet, pack
from p2phub.errors import Malformed
from p2phub.identity import Address, PeerAddress, PeerId
from p2phub.wire import codec
from p2phub.wire import messages as m
from p2phub.wire.fields import CHUNK_NUMBER_MAX
from p2phub.wire.framing import LENGTH_BYTES, header_length
from tests.support.covers import covers

DIGEST, PEER = Digest(bytes(range(32))), PeerId(bytes(range(32)))
MESSAGES: list[codec.Message] = [
    m.Open(DIGEST, 0),
    m.Open(DIGEST, limits.PREFIX_BYTES_MAX),
    m.Want(((7, 3), (0, 1))),
    m.Ask((DIGEST,)),
    m.Opening(RangeSet(((0, 5), (7, 9))), (10, 20), 3, 400),
    m.Opening(RangeSet(), (), 0, 0),
    m.Chunks(((7, 3),), 1000),
    m.BlobsFollow((0, 17)),
    m.Refuse((), "unknown"),
    m.Refuse(((3, 2),), "changed"),
    m.Ping(),
    m.Pong(),
    m.GetRelease(PEER, "minilm", "main"),
    m.ReleaseIs(b""),
    m.ReleaseIs(b"signed"),
    m.GetNews(DIGEST, 0, got=((PeerId(bytes(32)), 0), (PeerId(bytes([1] * 32)), (1 << 64) - 1))),
    m.Probe(4717),
    m.Probed("192.0.2.1", True, "reached"),
    m.GetNews(DIGEST, 0),
    m.GetNews(DIGEST, 4717, (1, (1 << 63) - 1), limits.NEWS_WAIT_MS_MAX),
    m.News(None, (), (0, 0)),
    m.News(RangeSet(), (), (1, 2)),
    m.News(RangeSet(((1, 2),)), (PeerAddress(PEER, Address("192.0.2.1", 4717)),), (3, 4)),
]
DECODERS = [
    codec.decode_bulk_request,
    codec.decode_bulk_answer,
    codec.decode_control_request,
    codec.decode_control_answer,
]


def header_of(message: codec.Message) -> bytes:
    data = codec.encode(message)
    assert header_length(data[:LENGTH_BYTES]) == len(data) - LENGTH_BYTES
    return data[LENGTH_BYTES:]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_as_it_was_and_only_for_who_may_receive_it(message: codec.Message) -> None:
    understood: list[codec.Message] = []
    for decode in DECODERS:
        with suppress(Malformed):
            understood.append(decode(header_of(message)))
    assert understood == [message]


def test_every_message_is_tried() -> None:
    assert {type(message) for message in MESSAGES} == {
        value for value in vars(m).values() if isinstance(value, type) and value.__module__ == m.__name__
    }


@covers("T27")
@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_malformed(data: bytes) -> None:
    for decode in DECODERS:
        with suppress(Malformed):
            decode(data)


@given(st.sampled_from(MESSAGES), st.integers(0, 400), st.integers(0, 255))
def test_a_message_with_a_changed_byte_is_a_message_or_malformed(message: codec.Message, at: int, byte: int) -> None:
    header = bytearray(header_of(message))
    header[at % len(header)] = byte
    for decode in DECODERS:
        with suppress(Malformed):
            decode(bytes(header))


ranges = st.lists(st.tuples(st.integers(0, 700), st.integers(0, 300)), max_size=4).map(lambda pairs: [*sum(pairs, ())])
odd_values = st.one_of(st.integers(-2, 1 << 33), st.booleans(), st.text(max_size=4), st.binary(max_size=4))
odd_maps = st.fixed_dictionaries(
    {},
    optional={
        "t": st.one_of(st.sampled_from(["want", "chunks", "ask"]), odd_values),
        "ranges": st.one_of(ranges, st.lists(odd_values, max_size=6), odd_values),
        "length": st.one_of(st.integers(-1, limits.MIB + 1), odd_values),
        "coding": st.one_of(st.just("raw"), odd_values),
        "u": odd_values,
    },
)
wants = st.builds(lambda ranges: {"t": "want", "ranges": ranges}, ranges)
chunks = st.builds(
    lambda ranges, length: {"t": "chunks", "ranges": ranges, "length": length, "coding": "raw"},
    ranges,
    st.integers(0, limits.MIB + 1),
)


@covers("T27")
@given(st.one_of(wants, chunks, odd_maps).map(pack), st.data())
def test_the_short_way_takes_and_refuses_what_reading_field_by_field_does(header: bytes, chance: st.DataObject) -> None:
    if chance.draw(st.booleans()):
        at = chance.draw(st.integers(0, len(header)))
        header = header[:at] + chance.draw(st.binary(max_size=3)) + header[at + chance.draw(st.integers(0, 3)) :]
    both_ways(header)


@covers("T27")
@given(st.integers(0, 1 << 16), st.sampled_from([b"\x91", b"\x81\xa1a", b"\x81", b"\xdd\xff\xff\xff\xff"]))
def test_however_deep_a_header_is_it_is_refused_alike(count: int, part: bytes) -> None:
    for begin in (b"", b"\x82\xa6ranges", b"\x81\xa1t", b"\x82\xa1u"):
        both_ways((begin + count * part)[: limits.FRAME_HEADER_BYTES_MAX])


def both_ways(header: bytes) -> None:
    for decode in (codec.decode_bulk_request, codec.decode_bulk_answer):
        found = outcome(decode, header)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(codec, "usual_want", lambda header: None)
            patch.setattr(codec, "usual_chunks", lambda header: None)
            assert outcome(decode, header) == found


def outcome(decode: Callable[[bytes], codec.Message], header: bytes) -> object:
    try:
        return decode(header)
    except Malformed as exc:
        return str(exc)


def test_the_usual_messages_go_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "_decode", None)
    want, answer = m.Want(((7, 3), (0, 1))), m.Chunks(((7, 3), (0, 1)), 1000)
    assert codec.decode_bulk_request(header_of(want)) == want
    assert codec.decode_bulk_answer(header_of(answer)) == answer


def test_the_longest_answers_fit_one_frame() -> None:
    far = CHUNK_NUMBER_MAX - 2 * limits.HAVE_RANGES_MAX
    held = RangeSet(tuple((far + 2 * run, far + 2 * run + 1) for run in range(limits.HAVE_RANGES_MAX)))
    lengths = (limits.PREFIX_BYTES_MAX,) * limits.FLIGHT_BLOBS_MAX
    assert codec.decode_bulk_answer(header_of(m.Opening(held, lengths, 0, 0))) == m.Opening(held, lengths, 0, 0)
    ranges = tuple((far + 2 * run, 1) for run in range(limits.BATCH_CHUNKS_MAX))
    assert codec.decode_bulk_request(header_of(m.Want(ranges))) == m.Want(ranges)
    assert len(header_of(m.Want(ranges))) * limits.REQUESTS_OUTSTANDING_MAX < 64 * limits.KIB


def test_of_a_scattered_holding_the_first_ranges_are_told() -> None:
    held = RangeSet(tuple((3 * run, 3 * run + 1) for run in range(limits.HAVE_RANGES_MAX + 5)))
    told = codec.decode_control_answer(header_of(m.News(held, (), (0, 0))))
    assert told == m.News(RangeSet(held.runs[: limits.HAVE_RANGES_MAX]), (), (0, 0))
