"""Chunk lists: what is written can be read, and nothing else can."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2phub import limits
from p2phub.content import (
    EMPTY_ROOT,
    ChunkList,
    Digest,
    chunk_list,
    decode_lists,
    digest_of,
    encode_lists,
    list_digests,
)
from p2phub.errors import Malformed
from tests.support.covers import covers

MIB = 1 << 20


def chunks_of(lengths: list[int]) -> ChunkList:
    return chunk_list(lengths, b"".join(digest_of(b"%d" % index).raw for index in range(len(lengths))))


def decoded(root: Digest, blobs: tuple[bytes, ...], chunks: ChunkList) -> ChunkList:
    held = {digest_of(blob): blob for blob in blobs}
    return decode_lists(root, sum(chunks.lengths), len(chunks), held.__getitem__)


@given(st.lists(st.integers(1, MIB), max_size=40))
def test_what_is_written_is_read(lengths: list[int]) -> None:
    chunks = chunks_of(lengths)
    root, blobs = encode_lists(chunks)
    assert decoded(root, blobs, chunks) == chunks
    assert len(blobs) == (len(lengths) > 1)
    assert (root == EMPTY_ROOT) == (not lengths)


@covers("T55", "T56")
@given(st.lists(st.integers(1, MIB), min_size=2, max_size=9), st.data())
def test_no_other_list_reads_as_the_same_chunks(lengths: list[int], data: st.DataObject) -> None:
    chunks = chunks_of(lengths)
    root, (blob,) = encode_lists(chunks)
    at = data.draw(st.integers(0, len(blob) - 1))
    flipped = blob[:at] + bytes([blob[at] ^ data.draw(st.integers(1, 255))]) + blob[at + 1 :]
    try:
        # A reader whose carrier does not check digests still cannot read other lengths or another shape.
        read = decode_lists(root, sum(lengths), len(lengths), lambda digest: flipped)
    except Malformed:
        return
    assert read != chunks
    assert sum(read.lengths) == sum(lengths)


@pytest.mark.parametrize("count", [32_768, 32_769, 65_536, 70_000])
def test_a_long_file_has_a_list_of_lists(count: int) -> None:
    chunks = chunk_list([1] * count, b"".join(index.to_bytes(32, "big") for index in range(count)))
    root, blobs = encode_lists(chunks)
    assert decoded(root, blobs, chunks) == chunks
    assert all(len(blob) <= limits.CHUNK_LIST_BYTES_MAX for blob in blobs)
    held: dict[Digest, bytes] = {}
    asked: list[Digest] = []
    while missing := [digest for digest in list_digests(root, count, held.get) if digest not in held]:
        asked.extend(missing)
        held.update({digest_of(blob): blob for blob in blobs if digest_of(blob) in missing})
    assert asked == [digest_of(blob) for blob in blobs]


@covers("T27")
@given(st.binary(max_size=200), st.integers(0, 5), st.integers(0, 3 * MIB))
def test_garbage_is_malformed_and_nothing_worse(blob: bytes, chunks: int, size: int) -> None:
    with contextlib.suppress(Malformed):
        decode_lists(digest_of(blob), size, chunks, lambda digest: blob)


@covers("T25")
def test_too_many_chunks_are_refused_before_they_are_counted() -> None:
    with pytest.raises(Malformed, match="chunk-count"):
        decode_lists(EMPTY_ROOT, 1 << 60, 1 << 40, lambda digest: b"")


def test_a_list_whose_digests_do_not_match_its_lengths_is_not_made() -> None:
    with pytest.raises(Malformed, match="chunk-list-length"):
        chunk_list([1, 2], bytes(32))
