"""Drafts of the store in memory: `interface.DraftFolder` without a disk. Nothing crashes, so nothing is tidied."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from p2phub.content import Digest
from p2phub.errors import ContentChanged
from p2phub.manifest import Manifest
from p2phub.store.holding import DRAFT, Origin
from p2phub.store.interface import HashedFile

if TYPE_CHECKING:
    from p2phub.store.memory import MemoryStore

_PUBLISHED = Path("/published")
CONTENT = _PUBLISHED / "content"
_DRAFTS = _PUBLISHED / "drafts"
_numbers = itertools.count(1)


class MemoryDraft:
    """One draft."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.folder = _DRAFTS / str(next(_numbers))
        with store.lock:
            store.folders[self.folder] = {}

    def need_room(self, count: int) -> None:
        """There is never less than is asked for."""

    def hold(self, manifest: Manifest, digest: Digest, files: Sequence[HashedFile]) -> tuple[HashedFile, ...]:
        store = self._store
        with store.lock:
            for file in files:
                assert file.place is not None
                if store.standing(file.place.parent, file.place.name) != file.fingerprint:
                    raise ContentChanged(f"{file.place} has changed since it was hashed")
            standing = tuple(self._moved(file) for file in files)
            folder = _PUBLISHED / digest.raw.hex()
            store.hold(manifest, digest, folder, standing, origin=Origin.PUBLISHED, source=DRAFT)
        return standing

    def _moved(self, file: HashedFile) -> HashedFile:
        assert file.place is not None
        if _DRAFTS not in file.place.parents:
            return file
        content, name = self._store.folders.setdefault(CONTENT, {}), file.entry.sha256.hex()
        found = self._store.folders[file.place.parent].pop(file.place.name, None)  # None: of two paths the second.
        there = content.setdefault(name, found) if found is not None else content[name]
        return replace(file, place=CONTENT / name, fingerprint=there.fingerprint())

    def close(self) -> None:
        with self._store.lock:
            self._store.folders.pop(self.folder, None)
