"""What is noted of a holding beside its files: which blobs it needs, its large files alone, where its chunks lie; and
how rows go that nothing has any more.

Recorded is a holding first, and noted what follows from its metadata afterwards: whoever is killed between notes it at
the next look. The chunks of a file are noted with the first holding that has it, so that of a new version only new
files cost anything. Source: docs/decisions/0096-rows-by-file.md.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from p2phub import limits
from p2phub.content import Digest
from p2phub.errors import Damaged, DiskError
from p2phub.manifest import FileEntry, Manifest, alone_digest, alone_root, is_alone
from p2phub.store.blobs import Blobs
from p2phub.store.index import Index, key_of
from p2phub.store.index_content import CHUNKS_AT_ONCE, Content, ContentIndex, Roots
from p2phub.store.known import KnownManifests
from p2phub.store.needs import blobs_of

log = logging.getLogger(__name__)
LOOKED_UP_AFTER = 1 << 20
"""Chunks that are noted before some are looked up, some 10 s of it: what an upgrade left to note of a large home is
noted over several fetches, the newest first."""

HOLDINGS_AT_ONCE = 256  # Noted in one step: a commit each takes longer than all else where they are small.
UNKNOWN_AT_ONCE = 256  # Contents whose chunks are looked for in one reading of all.


class Noting:
    """Thread-safe. Methods raise DiskError."""

    def __init__(self, index: Index, contents: ContentIndex, blobs: Blobs, known: KnownManifests) -> None:
        self._index = index
        self._contents = contents
        self._blobs = blobs
        self._known = known

    def note(self, holding: int, digest: Digest, manifest: Manifest) -> None:
        """Note all of a holding that was just recorded."""
        if self._can_be_told(manifest):
            self._note_blobs(holding, digest, manifest)
            some = _Batch()
            self._add(some, holding, manifest)
            self._contents.note_chunks(some.holdings, some.contents.values())

    def note_blobs(self) -> None:
        """Note which blobs are needed by all holdings of which it is not noted yet."""
        for holding, digest, manifest in self._of_those(self._contents.without_blobs()):
            self._note_blobs(holding, digest, manifest)

    def note_chunks(self, most: int | None = None) -> None:
        """Note all of all holdings of which anything is not noted yet, the newest first; of chunks about `most`."""
        waiting = self._contents.without_chunks()
        without_blobs = set(self._contents.without_blobs()) if waiting else set()
        some = _Batch()
        noted = 0
        for holding, digest, manifest in self._of_those(waiting):
            if holding in without_blobs:
                self._note_blobs(holding, digest, manifest)
            self._add(some, holding, manifest)
            if some.chunks >= CHUNKS_AT_ONCE or len(some.holdings) >= HOLDINGS_AT_ONCE:
                self._contents.note_chunks(some.holdings, some.contents.values())
                noted, some = noted + some.chunks, _Batch()
            if most is not None and noted + some.chunks >= most:
                break
        self._contents.note_chunks(some.holdings, some.contents.values())

    def drop_unheld(self) -> int:
        """Remove the rows of contents that no file has any more. Returns of how many."""
        gone = self._contents.unheld()
        unknown: list[Content] = []
        for content in gone:
            try:
                digests = self._known.chunks(content.digest, content.size, content.chunks).digests
            except (Damaged, DiskError):  # Its list is not here, or not to be read: nobody knows which its chunks are.
                unknown.append(content)
            else:
                self._contents.forget(content, digests)
        for at in range(0, len(unknown), UNKNOWN_AT_ONCE):
            self._contents.forget_unknown(unknown[at : at + UNKNOWN_AT_ONCE])
        return len(gone)

    def _of_those(self, holdings: Sequence[int]) -> Iterator[tuple[int, Digest, Manifest]]:
        """Yield (id, digest, manifest) of these holdings, but of those that are gone or whose metadata is missing, or
        cannot be read: once it is here again, it is noted."""
        rows = {row.id: row for row in self._index.holdings()} if holdings else {}
        for holding in holdings:
            row = rows.get(holding)
            if row is None:
                continue
            try:
                manifest = self._known.manifest(row.manifest)
                can_be_told = manifest is not None and self._can_be_told(manifest)
            except DiskError as error:  # Of one: nobody who looks for anything else is kept from it.
                log.info("not noted what %s needs: %s", row.manifest, error)
                continue
            if manifest is not None and can_be_told:
                yield holding, row.manifest, manifest

    def _can_be_told(self, manifest: Manifest) -> bool:
        """Whether the lists are here that name lists: else nobody could tell which blobs it needs."""
        tops = (entry.root for entry in manifest.files if entry.chunks > limits.CHUNKS_PER_LIST_MAX)
        return all(self._known.blob(top) is not None for top in tops)

    def _note_blobs(self, holding: int, digest: Digest, manifest: Manifest) -> None:
        parts = list(_parts(manifest))
        self._blobs.put([alone_root(manifest.files[file]) for _, file in parts])
        self._contents.note_blobs(holding, parts, blobs_of(digest, self._known.blob, manifest))

    def _add(self, some: _Batch, holding: int, manifest: Manifest) -> None:
        """Add a holding, and the chunks of those of its files that no other had before; nothing if a list is missing,
        or cannot be read: it is noted once that is here again."""
        large = {key_of(entry.root.raw): entry for entry in manifest.files if entry.chunks > 1}
        fresh: dict[int, tuple[Content, bytes]] = {}
        for root in self._contents.not_noted(large.keys() - some.contents.keys()):
            entry = large[root]
            try:
                digests = self._known.chunks_of(entry).digests
            except (Damaged, DiskError):
                return
            fresh[root] = Content(entry.root, entry.size, entry.chunks), digests
            some.chunks += entry.chunks
        some.contents |= fresh
        some.holdings[holding] = [root_key(entry) for entry in manifest.files]


class _Batch(msgspec.Struct):
    """Holdings that are noted together, with the roots of their files, and the contents that they add, by root."""

    holdings: dict[int, Roots] = msgspec.field(default_factory=dict)
    contents: dict[int, tuple[Content, bytes]] = msgspec.field(default_factory=dict)
    chunks: int = 0


def root_key(entry: FileEntry) -> int | None:
    """Return what the index knows the content of a file by, None if it has none."""
    return key_of(entry.root.raw) if entry.chunks else None


def _parts(manifest: Manifest) -> Iterable[tuple[Digest, int]]:
    """Yield the large files of a manifest, alone, with their numbers. A file alone has no parts: it is itself one."""
    if not is_alone(manifest):
        for number, entry in enumerate(manifest.files):
            if entry.size >= limits.ALONE_BYTES_MIN:
                yield alone_digest(entry), number
