"""The order of the first flight, and that each blob is checked against the one that names it."""

from __future__ import annotations

import pytest

from p2phub import limits
from p2phub.content import digest_of
from p2phub.errors import ChunkMismatch, ProtocolViolation
from p2phub.wire import BlobChain, flight_order
from tests.support.content import Content, content_of, random_files

EQUAL = bytes(range(250)) * 10


def walk(content: Content) -> list[tuple[str, bytes]]:
    chain = BlobChain(content.root)
    seen: list[tuple[str, bytes]] = []
    while chain.expected is not None:
        blob = content.blobs[chain.expected.digest]
        seen.append((chain.expected.kind, blob))
        chain.accept(blob)
    assert chain.manifest == content.manifest
    assert chain.table is not None
    assert chain.table.bytes_total == content.table.bytes_total
    return seen


def test_a_small_manifest_is_followed_by_the_lists_of_files_with_several_chunks() -> None:
    content = content_of({**random_files(1, a=3000, b=10, c=0), "d": EQUAL, "e": EQUAL}, chunk_bytes=1000)
    assert [kind for kind, _ in walk(content)] == ["manifest", "chunk list", "chunk list"]  # d and e share one.
    assert flight_order(content.root, content.blobs.get) == tuple(digest_of(blob) for _, blob in walk(content))


def test_pages_come_before_lists() -> None:
    content = content_of({f"dir/{n:05}": bytes([n % 256]) * 30 for n in range(2000)}, chunk_bytes=20)
    kinds = [kind for kind, _ in walk(content)]
    assert kinds[0] == "manifest"
    pages = kinds.count("page")
    assert pages >= 1
    assert set(kinds[1 : 1 + pages]) == {"page"}
    assert set(kinds[1 + pages :]) == {"chunk list"}
    assert flight_order(content.root, content.blobs.get) == tuple(digest_of(blob) for _, blob in walk(content))


def test_lists_of_lists_are_walked_from_the_top(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNKS_PER_LIST_MAX", 4)
    content = content_of(random_files(1, a=100), chunk_bytes=10)
    seen = walk(content)
    assert [kind for kind, _ in seen] == ["manifest"] + ["chunk list"] * 4
    assert [len(blob) for _, blob in seen[1:]] == [16 + 36 * 3, 16 + 36 * 4, 16 + 36 * 4, 16 + 36 * 2]


def test_order_ends_at_the_first_blob_that_is_not_held() -> None:
    content = content_of(random_files(1, a=3000, b=3000), chunk_bytes=1000)
    whole = flight_order(content.root, content.blobs.get)
    del content.blobs[whole[1]]
    assert flight_order(content.root, content.blobs.get) == whole[:1]


def test_another_blob_or_length_or_one_too_many_is_refused() -> None:
    content = content_of(random_files(1, a=3000), chunk_bytes=1000)
    root, chunks = (content.blobs[digest] for digest in content.order)
    chain = BlobChain(content.root)
    with pytest.raises(ProtocolViolation, match="blob-length"):
        chain.announce(limits.MANIFEST_ROOT_BYTES_MAX + 1)
    with pytest.raises(ChunkMismatch):
        chain.accept(chunks)
    chain = BlobChain(content.root)
    chain.accept(root)
    with pytest.raises(ProtocolViolation, match="blob-length"):
        chain.announce(len(chunks) - 1)
    chain.accept(chunks)
    with pytest.raises(ProtocolViolation, match="flight-blobs"):
        chain.announce(1)
