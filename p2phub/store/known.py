"""What manifests that are held are, from their blobs: their pages, and the tables of their chunks.

A table takes 40 bytes a chunk and some ms for each 10,000, so a few are kept, and whoever needs the files alone asks
for `manifest`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from typing import Protocol

import msgspec

from p2phub.content import ChunkList, ChunkTable, Digest, decode_lists
from p2phub.errors import Damaged
from p2phub.manifest import FileEntry, Manifest, decode_manifest
from p2phub.store.blobs import Blobs

TABLES_REMEMBERED_MAX = 16  # Tables of chunks, 36 bytes a chunk and more: enough for what is served at one time.


class Known(msgspec.Struct, frozen=True):
    """What a manifest is, from its blobs."""

    manifest: Manifest
    table: ChunkTable


class Lender(Protocol):
    """Attached places (`sharing`), as holdings know them."""

    def blob(self, digest: Digest) -> bytes | None:
        """Return a blob that one of them has, its digest checked; None if none has it."""

    def is_here(self, place: Path) -> bool:
        """Whether a place was there when it was looked at last: of one that is not, nothing is told."""


class KnownManifests:
    """Thread-safe. Methods raise DiskError. `lender`: what stands in for blobs that the home has not."""

    def __init__(self, blobs: Blobs, lender: Lender | None = None) -> None:
        self._blobs = blobs
        self._lender = lender
        self._mutex = threading.Lock()
        self._loading = threading.Lock()  # One manifest at a time: two who ask for the same must not both hold it.
        self._tables: OrderedDict[Digest, Known] = OrderedDict()

    def known(self, digest: Digest) -> Known | None:
        """Return what `digest` is; None if a blob is missing."""
        return self._remembered(digest) or self._load(digest)

    def manifest(self, digest: Digest) -> Manifest | None:
        """Return its files alone; None if a page is missing."""
        known = self._remembered(digest)
        if known is not None:
            return known.manifest
        root = self.blob(digest)
        try:
            return None if root is None else decode_manifest(root, self.blob)
        except Damaged:
            return None

    def chunks_of(self, entry: FileEntry) -> ChunkList:
        """Return the chunks of a file. Raises Damaged if a list is missing, or is none of this file."""
        return decode_lists(entry.root, entry.size, entry.chunks, self._blob)

    def chunks(self, digest: Digest, size: int, count: int) -> ChunkList:
        """The same of a file of `size` bytes in `count` chunks, whose root `digest` is."""
        return decode_lists(digest, size, count, self._blob)

    def blob(self, digest: Digest) -> bytes | None:
        """Return a blob of the home's, or one that stands in for it; None if there is none."""
        found = self._blobs.get(digest)
        return self._lender.blob(digest) if found is None and self._lender is not None else found

    def _remembered(self, digest: Digest) -> Known | None:
        with self._mutex:
            if digest in self._tables:
                self._tables.move_to_end(digest)
            return self._tables.get(digest)

    def _load(self, digest: Digest) -> Known | None:
        with self._loading:
            if (known := self._remembered(digest)) is not None:  # Loaded by whoever was before us.
                return known
            manifest = self.manifest(digest)
            if manifest is None:
                return None
            try:
                table = ChunkTable(self.chunks_of(entry) for entry in manifest.files)
            except Damaged:
                return None
            known = Known(manifest, table)
            with self._mutex:
                self._tables[digest] = known
                while len(self._tables) > TABLES_REMEMBERED_MAX:
                    self._tables.popitem(last=False)
            return known

    def _blob(self, digest: Digest) -> bytes:
        blob = self.blob(digest)
        if blob is None:
            raise Damaged(f"blob {digest} is missing")
        return blob
