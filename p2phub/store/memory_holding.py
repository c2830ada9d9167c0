"""A holding of the store in memory: what a row of the index is on a disk, with all that follows from it at hand."""

from __future__ import annotations

from pathlib import Path

import msgspec

from p2phub.content import ChunkTable, Digest, RangeSet
from p2phub.manifest import Manifest
from p2phub.store.holding import Origin, Provenance
from p2phub.store.interface import HashedFile
from p2phub.store.whose import READ_ONLY


class Held(msgspec.Struct, eq=False):
    """What a folder holds of a manifest. `doubted`: files by number."""

    manifest: Manifest
    digest: Digest
    folder: Path
    files: list[HashedFile]
    table: ChunkTable
    origin: Origin
    source: Provenance | None = None
    doubted: set[int] = msgspec.field(default_factory=set)
    left_out: set[int] = msgspec.field(default_factory=set)  # Of a selection, or replaced: not held, so in doubt.
    replaced: bool = False
    made_bytes: int = 0  # Of files that were made of a selection.

    @property
    def held(self) -> RangeSet:
        return RangeSet.whole(len(self.table)) - RangeSet.of(self.table.span(file) for file in self.doubted)

    @property
    def bytes_selected(self) -> int | None:
        """Of a selection, of how many bytes it is."""
        if not self.left_out or self.replaced or self.origin in READ_ONLY:
            return None
        recorded = (entry.size for number, entry in enumerate(self.manifest.files) if number not in self.left_out)
        return sum(recorded) + self.made_bytes

    def where(self, file: int) -> tuple[Path, str]:
        """Return (folder, path) of a file."""
        known = self.files[file]
        return (self.folder, known.entry.path) if known.place is None else (known.place.parent, known.place.name)
