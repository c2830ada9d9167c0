"""The blobs of a manifest in the order of the first flight: each is named by those before it, so each can be checked
when it comes, before the next.

    manifest root page | its further pages | for each file in order: its chunk list (of a list of lists: the top, then
    the lists below it)

A blob that is named twice (two equal files) is sent once, at its first mention. Source: proto/transfer.md §3.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

import msgspec

from p2phub import limits
from p2phub.content import ChunkTable, Digest, decode_lists, digest_of, list_digests
from p2phub.errors import ChunkMismatch, ProtocolViolation
from p2phub.manifest import Manifest, decode_manifest, lists_in_root, lists_on_page, manifest_pages


class Expected(msgspec.Struct, frozen=True):
    """The next blob: what it is called in an error, its digest, and the bounds of its length."""

    kind: str  # "manifest", "page", "chunk list"
    digest: Digest
    least: int
    most: int


class BlobChain:
    """Walks from a manifest's digest to its chunk table, a blob at a time.

    `expected` is the next blob, None when all are there; then `manifest` and `table` are set.
    """

    def __init__(self, digest: Digest) -> None:
        self.blobs: dict[Digest, bytes] = {}
        self.manifest: Manifest | None = None
        self.table: ChunkTable | None = None
        self._walk = self._steps(digest)
        self.expected: Expected | None = next(self._walk)

    def announce(self, length: int, *, peer: str | None = None) -> None:
        """Check the length that a peer announces for the next blob, before it is received. Raises ProtocolViolation."""
        if self.expected is None:
            raise ProtocolViolation("a blob that the manifest does not name [flight-blobs]", peer=peer)
        if not self.expected.least <= length <= self.expected.most:
            raise ProtocolViolation(f"a {self.expected.kind} of {length} bytes [blob-length]", peer=peer)

    def accept(self, blob: bytes, *, peer: str | None = None) -> None:
        """Take the next blob. Raises ChunkMismatch if it is another, ProtocolViolation if none is due, Malformed if it
        is the right one and breaks a rule: then its publisher is at fault, not the peer."""
        self.announce(len(blob), peer=peer)
        assert self.expected is not None
        if digest_of(blob) != self.expected.digest:
            kind = self.expected.kind
            raise ChunkMismatch(f"a {kind} that does not have its digest", file=kind, chunk=0, peer=peer)
        self.blobs[self.expected.digest] = blob
        try:
            self.expected = self._walk.send(blob)
        except StopIteration:
            self.expected = None

    def _steps(self, digest: Digest) -> Generator[Expected, bytes, None]:
        root = yield Expected("manifest", digest, 1, limits.MANIFEST_ROOT_BYTES_MAX)
        for page, length in manifest_pages(root):
            if page not in self.blobs:
                yield Expected("page", page, length, length)
        manifest = decode_manifest(root, self.blobs.get)
        for entry in manifest.files:
            if entry.chunks <= 1:
                continue
            if entry.root not in self.blobs:
                yield _list_expected(entry.root, _entries_of_top(entry.chunks))
            below = list_digests(entry.root, entry.chunks, self.blobs.get)[1:]
            for at, part in enumerate(below):
                left = entry.chunks - at * limits.CHUNKS_PER_LIST_MAX
                if part not in self.blobs:
                    yield _list_expected(part, min(left, limits.CHUNKS_PER_LIST_MAX))
        self.table = ChunkTable(
            decode_lists(entry.root, entry.size, entry.chunks, self.blobs.__getitem__) for entry in manifest.files
        )
        self.manifest = manifest


def flight_order(manifest: Digest, blob: Callable[[Digest], bytes | None]) -> tuple[Digest, ...]:
    """Return the digests of the blobs of `manifest` in the order of the first flight, up to the first not held.

    `blob` returns the bytes of a held blob. Raises Malformed; ChunkMismatch if what is held is not what its digest
    says. One blob at a time: of a manifest of a million files a provider needs the order, and no second copy.
    """
    order: dict[Digest, None] = {}

    def held(digest: Digest) -> bytes | None:
        data = blob(digest)
        if data is not None:
            if digest_of(data) != digest:
                raise ChunkMismatch("a held blob that does not have its digest", file="blob", chunk=0)
            order[digest] = None
        return data

    root = held(manifest)
    if root is None:
        return ()
    lists = lists_in_root(root)
    for page, _ in manifest_pages(root):
        data = held(page)
        if data is None:
            return tuple(order)
        lists += lists_on_page(data)
    for top, chunks in lists:
        if top not in order and held(top) is None:
            return tuple(order)
        for part in list_digests(top, chunks, blob)[1:]:
            if part not in order and held(part) is None:
                return tuple(order)
    return tuple(order)


def _entries_of_top(chunks: int) -> int:
    if chunks <= limits.CHUNKS_PER_LIST_MAX:
        return chunks
    return -(-chunks // limits.CHUNKS_PER_LIST_MAX)


def _list_expected(digest: Digest, entries: int) -> Expected:
    length = 16 + 36 * entries
    return Expected("chunk list", digest, length, length)
