"""Gather what describes a manifest (root page, pages, chunk lists) until the chunks can be numbered.

Fed with blobs whose digests were checked by whoever received them; says which are still missing. A plain value that the
coordinator of a fetch owns.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

import msgspec

from p2phub import limits
from p2phub.content import ChunkList, ChunkTable, Digest, decode_lists, digest_of, list_digests
from p2phub.errors import Damaged, DiskError
from p2phub.manifest import Manifest, decode_manifest, manifest_pages

Held = Callable[[Digest], bytes | None]


class Wanted(msgspec.Struct, frozen=True):
    """A blob to ask for: the most bytes that are taken of it, and how many it has if what names it is right."""

    digest: Digest
    most: int
    length: int


class Assembly:
    """Metadata of one manifest. `held` looks into the store, so that what is here already is not asked for."""

    def __init__(self, digest: Digest, held: Held) -> None:
        self.digest = digest
        self._held = held
        self._new: dict[Digest, bytes] = {}
        self._manifest: Manifest | None = None

    def add(self, blobs: Iterable[bytes]) -> set[Digest]:
        """Take blobs in; return their digests."""
        came = {digest_of(blob): blob for blob in blobs}
        self._new.update(came)
        return set(came)

    def blob(self, digest: Digest) -> bytes | None:
        return self._new.get(digest) or self._held(digest)

    def _readable(self, digest: Digest) -> bytes | None:
        """The same, to find what is to be asked for: what the disk fails at is missing, and written anew once it is
        here again."""
        try:
            return self.blob(digest)
        except DiskError:
            return None

    def take_new(self) -> tuple[bytes, ...]:
        """Return what was added, to be stored, and let go of it: a million files have 130 MB of pages. `held` is to
        have it before anything else is asked here."""
        taken, self._new = tuple(self._new.values()), {}
        return taken

    def missing_pages(self) -> list[Wanted]:
        """Return the pages to ask for next; empty when the manifest itself is whole.

        Raises Malformed, Damaged for more than a node can hold.
        """
        root = self._readable(self.digest)
        if root is None:
            return [Wanted(self.digest, limits.MANIFEST_ROOT_BYTES_MAX, limits.MANIFEST_ROOT_BYTES_MAX)]
        described = sum(length for _, length in manifest_pages(root))
        if described > limits.METADATA_BYTES_MAX:
            raise Damaged(f"what describes the manifest has {described} bytes, more than a node can hold")
        return [Wanted(page, length, length) for page, length in manifest_pages(root) if self._readable(page) is None]

    def missing(self) -> list[Wanted]:
        """The same of all that it takes to number the chunks: pages, then chunk lists."""
        pages = self.missing_pages()
        if pages:
            return pages
        lists: dict[Digest, Wanted] = {}
        for entry in self.manifest().files:
            for number, digest in enumerate(list_digests(entry.root, entry.chunks, self._readable)):
                if digest not in lists and self._readable(digest) is None:
                    length = list_bytes(entry.chunks, number)
                    lists[digest] = Wanted(digest, limits.CHUNK_LIST_BYTES_MAX, length)
        return list(lists.values())

    def missing_layouts(self, needed: Collection[Digest] | None = None) -> list[Wanted]:
        """The same of the layouts that files have, of those that are `needed` if that is given. Call when no page is
        missing."""
        named = {entry.layout for entry in self.manifest().files if entry.layout is not None}
        if needed is not None:
            named.intersection_update(needed)
        here = sum(len(self._new[digest]) for digest in named if digest in self._new)
        if here > limits.METADATA_BYTES_MAX:
            raise Damaged(f"the layouts of its files have more than {here} bytes, more than a node can hold")
        most = limits.CHUNK_LIST_BYTES_MAX
        return [Wanted(digest, most, most) for digest in sorted(named) if self._readable(digest) is None]

    def manifest(self) -> Manifest:
        """Return the manifest. Call when no page is missing. Raises Malformed."""
        if self._manifest is None:
            root = self.blob(self.digest)
            assert root is not None, "asked for a manifest whose root page is missing"
            self._manifest = decode_manifest(root, self.blob)
        return self._manifest

    def table(self) -> ChunkTable:
        """Return the numbered chunks. Call when nothing is missing. Raises Malformed."""
        return chunk_table(self.manifest(), self.blob)


def list_bytes(chunks: int, number: int) -> int:
    """Return how many bytes list `number` has of those that a file of `chunks` chunks has; 0 is the one it names."""
    step = limits.CHUNKS_PER_LIST_MAX
    if chunks <= step:
        entries = chunks
    else:
        entries = min(step, chunks - (number - 1) * step) if number else -(-chunks // step)
    return 16 + 36 * entries  # manifest.md §4.


def chunk_table(manifest: Manifest, blob: Held) -> ChunkTable:
    """Return the chunks of `manifest`, whose lists `blob` has. Raises Malformed if a list breaks a rule."""

    def must(digest: Digest) -> bytes:
        data = blob(digest)
        assert data is not None, f"chunk list {digest} is missing"
        return data

    def lists() -> Iterator[ChunkList]:
        # Equal files share one: else a few bytes could have us decode gigabytes. The table itself is bounded by the
        # manifest's CHUNKS_MAX. A file of one chunk has no list.
        decoded: dict[tuple[Digest, int, int], ChunkList] = {}
        for entry in manifest.files:
            key = (entry.root, entry.size, entry.chunks)
            if entry.chunks <= 1:
                yield decode_lists(*key, must)
                continue
            if key not in decoded:
                decoded[key] = decode_lists(*key, must)
            yield decoded[key]

    return ChunkTable(lists())
