"""What the store in memory keeps and collects: the second implementation of `keeping.Keeper`.

Nothing crashes and nobody else uses it, so there are neither leftovers nor rows, and one lock is enough. Time does not
pass for blobs: none is young.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from p2phub.content import Digest
from p2phub.errors import Occupied
from p2phub.formats import is_selected_name
from p2phub.store.holding import Holding, Origin
from p2phub.store.keeping import Collectable, HoldingUsage, Keep, Spare, SpareSnapshot, Swept, Usage, in_order
from p2phub.store.memory_drafting import CONTENT
from p2phub.store.needs import blobs_of
from p2phub.store.whose import NOT_OURS

if TYPE_CHECKING:
    from p2phub.store.memory import MemoryStore

OWN_FILES = Path("/own")


class MemoryKeeper:
    """Keeps and collects in a `MemoryStore`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.used_at: dict[Digest, int] = {}
        self._others: dict[Digest, int] = {}

    def own_folder(self, manifest: Digest) -> Path:
        return OWN_FILES / manifest.raw.hex()

    def own_bytes(self) -> int:
        own = sum(held.bytes_total for held in self._store.holdings() if held.origin is Origin.OWN)
        with self._store.lock:
            published = self._store.folders.get(CONTENT, {})
            return own + sum(file.fingerprint().size for file in published.values())

    def own_unfinished(self) -> dict[Digest, int]:
        with self._store.lock:
            begun = [(folder, manifest) for folder, manifest in self._store.unfinished]
        ours = (manifest for folder, manifest in begun if folder == self.own_folder(manifest))
        return {manifest: self.unfinished_bytes(manifest, self.own_folder(manifest)) for manifest in ours}

    def upstream_bytes(self) -> int:
        return 0  # Nothing in memory comes from a hub.

    def note_used(self, manifest: Digest) -> None:
        self.used_at[manifest] = int(time.time())

    def note_others(self, manifest: Digest, others: int) -> None:
        self._others[manifest] = others

    @contextmanager
    def in_use(self, manifest: Digest) -> Iterator[None]:
        with self._store.lock:
            folder = self.own_folder(manifest)
            if folder in self._store.being_written:
                raise Occupied(f"{folder} is written to at the moment")
            self._store.in_use_at[folder] += 1
        try:
            yield
        finally:
            with self._store.lock:
                self._store.in_use_at[folder] -= 1

    def collectable(self, keep: Keep) -> Collectable:
        own = [held for held in self._store.holdings() if held.origin is Origin.OWN]
        spare = [
            Spare(
                held.manifest,
                held.folder,
                held.bytes_total,
                self.used_at.get(held.manifest, 0),
                self._others.get(held.manifest),
            )
            for held in own
            if held.manifest not in keep.pinned | keep.busy
        ]
        blobs = self._unneeded(keep, {(each.manifest, each.folder) for each in spare})
        return Collectable(in_order(spare), (), len(blobs), sum(blobs.values()), self._store.ended(keep))

    def collect(self, spare: Spare | SpareSnapshot, keep: Keep) -> int | None:
        if not isinstance(spare, Spare):
            return None
        with self._store.lock:
            kept = spare.manifest in keep.pinned | keep.busy or spare.folder in self._store.being_written
            kept = kept or self._store.in_use_at[spare.folder] > 0
            if kept or spare.folder != self.own_folder(spare.manifest):
                return None
            if all(held.folder != spare.folder for held in self._store.holdings(spare.manifest)):
                return None
            self._store.release(spare.manifest, spare.folder)
            files = self._store.folders.pop(spare.folder, {})
        return sum(file.fingerprint().size for file in files.values())

    def sweep(self, keep: Keep, stopped: Callable[[], bool]) -> Swept:
        with self._store.lock:
            ended = self._store.end_earlier(None, keep)
            blobs = {} if stopped() else self._unneeded(keep, set())
            self._store.forget_blobs(blobs)
        return Swept((), len(blobs), sum(blobs.values()), len(ended))

    def _unneeded(self, keep: Keep, without: set[tuple[Digest, Path]]) -> dict[Digest, int]:
        held = frozenset(
            each.manifest for each in self._store.holdings() if (each.manifest, each.folder) not in without
        )
        wanted = held | keep.busy | keep.pinned | frozenset(keep.described(held))
        needed = {blob for manifest in wanted for blob in blobs_of(manifest, self._store.blob)}
        needed |= self._store.blobs_of_hashed()
        return {digest: length for digest, length in self._store.blob_lengths().items() if digest not in needed}

    def unfinished_bytes(self, manifest: Digest, folder: Path) -> int:
        left = self._store.unfinished.get((folder, manifest))
        return 0 if left is None else sum(file.fingerprint().size for file in left.files.values())

    def discard_unfinished(self, manifest: Digest, folder: Path) -> int | None:
        with self._store.lock:
            if folder in self._store.being_written:
                return None
            found = self.unfinished_bytes(manifest, folder)
            self._store.unfinished.pop((folder, manifest), None)
            return found

    def discard_opened(self, folder: Path) -> bool:
        with self._store.lock:
            return folder not in self._store.being_written

    def usage(self) -> Usage:
        tables = self._store.tables()
        times: dict[bytes, int] = {}
        inodes: dict[tuple[int, int], int] = {}
        lengths: dict[bytes, int] = {}
        sizes: dict[tuple[int, int], int] = {}
        for table, files in tables.values():
            for ref in table.chunks(0, len(table)):
                times[ref.digest] = times.get(ref.digest, 0) + 1
                lengths[ref.digest] = ref.length
            for known in files:
                key = (known.fingerprint.device, known.fingerprint.inode)
                inodes[key] = inodes.get(key, 0) + 1
                sizes[key] = known.fingerprint.size
        found, made = [], 0
        for held in self._store.holdings():
            table, files = tables[held.manifest, held.folder]
            total = sum(known.fingerprint.size for known in files)
            same_file = sum(
                known.fingerprint.size
                for known in files
                if inodes[known.fingerprint.device, known.fingerprint.inode] > 1
            )
            same = sum(ref.length for ref in table.chunks(0, len(table)) if times[ref.digest] > 1)
            selected = self._selected_bytes(held, {known.entry.path for known in files})
            made += selected
            found.append(HoldingUsage(held, total + selected, same_file, min(total, same), selected))
        blobs = self._store.blob_lengths()
        total = sum(each.bytes for each in found)
        content = sum(lengths.values()) + made
        return Usage(tuple(found), total, sum(sizes.values()) + made, content, len(blobs), sum(blobs.values()), 0, 0, 0)

    def _selected_bytes(self, held: Holding, paths: set[str]) -> int:
        """Return what files take that were made of selected parts of a holding, whose manifest has `paths`."""
        if held.origin in NOT_OURS:
            return 0
        files = self._store.folders.get(held.folder, {})
        made = [file for path, file in files.items() if is_selected_name(path) and path not in paths]
        return sum(file.fingerprint().size for file in made)
