"""Xet's chunks and shards: what was put together is found again, and what is none is refused, however it is broken."""

from __future__ import annotations

import random
import struct
import tracemalloc
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2phub import limits
from p2phub.gateway import lz4
from p2phub.gateway.lz4 import NotLz4, decode_frame
from p2phub.gateway.xet import Segment, Xorb, check_file, decode_chunks, read_shard
from p2phub.http.refusal import Refusal
from tests.support.xet_upload import chunk, file_entry, shard, xorb

HASH = "0123456789abcdef" * 4
CONTENTS = {
    "nothing": b"",
    "short": b"abc",
    "one letter": b"a" * 70_000,
    "text": b"".join(b"the same words again and again, but for %d\n" % number for number in range(4000)),
    "chance": random.Random(1).randbytes(70_000),
}


def compressed(content: bytes) -> bytes:
    found = pa.compress(content, codec="lz4", asbytes=True)
    assert isinstance(found, bytes)
    return found


@pytest.fixture(params=["liblz4", "ours"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "ours":
        monkeypatch.setattr(lz4, "_native", lambda: None)
    elif lz4._native() is None:
        pytest.skip("this system has no liblz4")


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_frames_are_decoded(content: bytes) -> None:
    assert decode_frame(memoryview(compressed(content)), len(content)) == content


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("content", [CONTENTS["text"], CONTENTS["chance"]], ids=["text", "chance"])
def test_a_frame_of_another_length_than_was_said_is_refused(content: bytes) -> None:
    packed = memoryview(compressed(content))
    for length in (0, len(content) - 1, len(content) + 1):
        with pytest.raises(NotLz4):
            decode_frame(packed, length)
    for cut in (0, 3, 7, 11, len(packed) // 2, len(packed) - 5):
        with pytest.raises(NotLz4):
            decode_frame(packed[:cut], len(content))


@given(st.data())
def test_a_damaged_frame_is_decoded_to_what_was_said_or_refused(data: st.DataObject) -> None:
    packed = bytearray(compressed(CONTENTS["text"]))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    native = lz4._native
    for way in (native, lambda: None):
        lz4._native = way  # type: ignore[assignment]
        try:
            assert len(decode_frame(memoryview(bytes(packed)), len(CONTENTS["text"]))) == len(CONTENTS["text"])
        except NotLz4:
            pass
        finally:
            lz4._native = native


def test_chunks_are_found_and_unpacked_by_every_scheme() -> None:
    content = struct.pack("<5000f", *(random.Random(2).gauss(0, 1) for _ in range(5000))) + b"odd"
    grouped = b"".join(content[first::4] for first in range(4))
    chunks = [chunk(content), chunk(content, compressed(content), 1), chunk(content, compressed(grouped), 2)]
    data = xorb(*chunks)
    for length in (1, 13, 4096, len(data)):
        found = Xorb()
        for at in range(0, len(data), length):
            found.feed(data[at : at + length])
        found.end()
        spans = list(found.spans(0, 3))
        assert b"".join(decode_chunks(data[span.start : span.stop]) for span in spans) == content * 3
        (one,) = found.spans(1, 2)
        assert decode_chunks(data[one.start : one.stop]) == content


@pytest.mark.parametrize(
    "data",
    [
        chunk(b"abc")[:-1],
        chunk(b"abc")[:5],
        b"\1" + chunk(b"abc")[1:],
    ],
)
def test_what_is_no_xorb_is_refused(data: bytes) -> None:
    def read() -> None:
        found = Xorb()
        found.feed(data)
        found.end()

    with pytest.raises(Refusal):
        read()


@pytest.mark.parametrize("data", [chunk(b"abc", b"ab"), chunk(b"abc", b"abc", 1), chunk(b"abc", b"abc", 9)])
def test_a_chunk_that_does_not_hold_what_it_says_is_refused(data: bytes) -> None:
    with pytest.raises(Refusal):
        decode_chunks(data)


@pytest.mark.usefixtures("_way")
def test_a_frame_of_very_many_blocks_takes_room_for_what_they_can_hold_alone() -> None:
    """Each block had room made for all that the frame may hold: a frame of some KiB kept a thread busy for minutes."""
    empty_blocks = (1).to_bytes(4, "little") + b"\0"
    frame = bytes.fromhex("04224d18400000") + empty_blocks * 100 + bytes(4)
    tracemalloc.start()
    try:
        with pytest.raises(NotLz4):
            decode_frame(memoryview(frame), 1 << 24)
        assert tracemalloc.get_traced_memory()[1] < 1 << 22
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [limits.GATEWAY_CHUNK_BYTES_MAX + 1, (1 << 24) - 1])
def test_a_chunk_that_says_it_holds_more_than_chunks_do_is_refused(size: int) -> None:
    header = b"\0" + (1).to_bytes(3, "little") + b"\1" + size.to_bytes(3, "little")
    with pytest.raises(Refusal):
        Xorb().feed(header)


def test_no_more_chunks_are_unpacked_at_once_than_fit_into_memory() -> None:
    found = Xorb()
    found.feed(xorb(*[chunk(b"a")] * 1000))
    spans = list(found.spans(0, 1000))
    assert (spans[0].start, spans[-1].stop) == (0, 9000)
    assert all(one.stop == other.start for one, other in pairwise(spans))
    assert max(span.stop - span.start for span in spans) // 9 * limits.GATEWAY_CHUNK_BYTES_MAX <= 64 * limits.MIB


def test_files_of_nothing_in_a_shard_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GATEWAY_SEGMENTS_MAX", 3)
    read_shard(shard(*[file_entry(b"", [])] * 3))
    with pytest.raises(Refusal):
        read_shard(shard(*[file_entry(b"", [])] * 4))


def test_a_shard_says_what_files_are_made_of() -> None:
    data = shard(file_entry(b"abc", [(HASH, 2, 0, 1), (HASH, 1, 3, 4)]), file_entry(b"", [], verified=False))
    first, second = read_shard(data)
    assert first.segments == (Segment(HASH, 2, 0, 1), Segment(HASH, 1, 3, 4))
    assert (first.size, second.size) == (3, 0)
    assert first.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("cut", range(0, 300, 7))
def test_a_shard_that_ends_early_is_refused(cut: int) -> None:
    with pytest.raises(Refusal):
        read_shard(shard(file_entry(b"abc", [(HASH, 2, 0, 1), (HASH, 1, 3, 4)]))[:cut])


def test_a_shard_with_more_segments_than_bytes_is_refused() -> None:
    entry = struct.pack("<32sII8x", b"n" * 32, 0, 0xFFFFFFFF)
    with pytest.raises(Refusal):
        read_shard(shard(entry))


@pytest.mark.parametrize("segment", [("ff" * 32, 1, 0, 1), (HASH, 1, 0, 2), (HASH, 1, 1, 1), (HASH, 1, 5, 1)])
def test_a_file_of_chunks_that_did_not_come_is_refused(segment: tuple[str, int, int, int]) -> None:
    found = Xorb()
    found.feed(xorb(chunk(b"a")))
    (file,) = read_shard(shard(file_entry(b"a", [segment])))
    with pytest.raises(Refusal):
        check_file(file, {HASH: found})
