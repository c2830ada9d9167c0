"""What is noted of a holding beside its files: which blobs it needs, its large files alone, where its chunks lie; and
how rows go that nothing has any more.

Recorded is a holding first, and noted what follows from its metadata afterwards: whoever is killed between notes it at
the next look. The chunks of a file are noted with the first holding that has it, so that of a new version only new
files cost anything. Source: docs/decisions/0096-rows-by-file.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from p2phub import limits
from p2phub.content import Digest
from p2phub.errors import Damaged
from p2phub.manifest import FileEntry, Manifest, alone_digest, alone_root, is_alone
from p2phub.store.blobs import Blobs
from p2phub.store.index import Index, key_of
from p2phub.store.index_content import Content, ContentIndex
from p2phub.store.known import KnownManifests
from p2phub.store.needs import blobs_of

LOOKED_UP_AFTER = 1 << 20
"""Chunks that are noted before some are looked up, some 5 s of it: what an upgrade left to note of a large home is
noted over several fetches, the newest first."""

AS_CHUNKS = 1000  # What a holding counts as beside its chunks: a commit takes as long as some thousand rows.
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
            self._note_chunks(holding, manifest)

    def note_blobs(self) -> None:
        """Note which blobs are needed by all holdings of which it is not noted yet."""
        for holding, digest, manifest in self._of_those(self._contents.without_blobs()):
            self._note_blobs(holding, digest, manifest)

    def note_chunks(self, most: int | None = None) -> None:
        """Note all of all holdings of which anything is not noted yet, the newest first; of chunks about `most`,
        a holding counted as `AS_CHUNKS` more."""
        waiting = self._contents.without_chunks()
        without_blobs = set(self._contents.without_blobs()) if waiting else set()
        noted = 0
        for holding, digest, manifest in self._of_those(waiting):
            if holding in without_blobs:
                self._note_blobs(holding, digest, manifest)
            noted += AS_CHUNKS + self._note_chunks(holding, manifest)
            if most is not None and noted >= most:
                return

    def drop_unheld(self) -> int:
        """Remove the rows of contents that no file has any more. Returns of how many."""
        gone = self._contents.unheld()
        unknown: list[Content] = []
        for content in gone:
            try:
                digests = self._known.chunks(content.digest, content.size, content.chunks).digests
            except Damaged:  # Its list is not here any more: nobody knows which its chunks are.
                unknown.append(content)
            else:
                self._contents.forget(content, digests)
        for at in range(0, len(unknown), UNKNOWN_AT_ONCE):
            self._contents.forget_unknown(unknown[at : at + UNKNOWN_AT_ONCE])
        return len(gone)

    def _of_those(self, holdings: Sequence[int]) -> Iterator[tuple[int, Digest, Manifest]]:
        """Yield (id, digest, manifest) of these holdings, but of those that are gone or whose metadata is missing: once
        it is here again, it is noted."""
        rows = {row.id: row for row in self._index.holdings()} if holdings else {}
        for holding in holdings:
            row = rows.get(holding)
            manifest = None if row is None else self._known.manifest(row.manifest)
            if row is not None and manifest is not None and self._can_be_told(manifest):
                yield holding, row.manifest, manifest

    def _can_be_told(self, manifest: Manifest) -> bool:
        """Whether the lists are here that name lists: else nobody could tell which blobs it needs."""
        tops = (entry.root for entry in manifest.files if entry.chunks > limits.CHUNKS_PER_LIST_MAX)
        return all(self._blobs.get(top) is not None for top in tops)

    def _note_blobs(self, holding: int, digest: Digest, manifest: Manifest) -> None:
        parts = list(_parts(manifest))
        self._blobs.put([alone_root(manifest.files[file]) for _, file in parts])
        self._contents.note_blobs(holding, parts, blobs_of(digest, self._blobs.get, manifest))

    def _note_chunks(self, holding: int, manifest: Manifest) -> int:
        """Note the chunks of those files of a holding that no other had before. Returns how many; none if lists are
        missing: the rest is noted once they are here again."""
        large = {key_of(entry.root.raw): entry for entry in manifest.files if entry.chunks > 1}
        fresh = (large[root] for root in self._contents.not_noted(large))
        contents = (
            (Content(entry.root, entry.size, entry.chunks), self._known.chunks_of(entry).digests) for entry in fresh
        )
        try:
            return self._contents.note_chunks(holding, [root_key(entry) for entry in manifest.files], contents)
        except Damaged:
            return 0


def root_key(entry: FileEntry) -> int | None:
    """Return what the index knows the content of a file by, None if it has none."""
    return key_of(entry.root.raw) if entry.chunks else None


def _parts(manifest: Manifest) -> Iterable[tuple[Digest, int]]:
    """Yield the large files of a manifest, alone, with their numbers. A file alone has no parts: it is itself one."""
    if not is_alone(manifest):
        for number, entry in enumerate(manifest.files):
            if entry.size >= limits.ALONE_BYTES_MIN:
                yield alone_digest(entry), number
