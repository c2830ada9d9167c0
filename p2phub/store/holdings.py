"""What this home holds, in which folders: index, blobs and `state.log` together.

The index is asked first and may be lost; `state.log` says which folder was said to hold which manifest, the blobs what
that manifest is. A file is served only while it has the fingerprint under which its bytes were hashed.
"""

from __future__ import annotations

import os
import threading
import time
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from p2phub.content import (
    ChunkTable,
    Digest,
    InFolder,
    RangeSet,
    Readable,
    ReadPlan,
    Walker,
    decode_lists,
    digest_of,
)
from p2phub.errors import ContentChanged, Damaged, DiskError
from p2phub.manifest import Manifest, decode_manifest, encode_manifest
from p2phub.store.blobs import Blobs
from p2phub.store.database import DOUBTED, HELD, TRUSTED, Database, FileRow, HoldingRow
from p2phub.store.disk import disk_errors
from p2phub.store.fingerprints import Fingerprints
from p2phub.store.folders import FolderWalk, open_published
from p2phub.store.interface import Fingerprint, HashedFile, Holding
from p2phub.store.lists import list_of
from p2phub.store.rehash import is_equal
from p2phub.store.state_log import StateLog

HOLDING = "holding"
TABLES_REMEMBERED_MAX = 16  # Tables of chunks, 36 bytes a chunk and more: enough for what is served at one time.


class _Known(msgspec.Struct, frozen=True):
    """What a manifest is, from its blobs."""

    manifest: Manifest
    table: ChunkTable


class Holdings:
    """Thread-safe. Methods raise DiskError."""

    def __init__(self, home: Path, blobs: Blobs, log: StateLog) -> None:
        self._blobs = blobs
        self._log = log
        self._index = Database(home, self._begin_again)
        self._mutex = threading.Lock()
        self._loading = threading.Lock()  # One manifest at a time: two who ask for the same must not both hold it.
        self._tables: OrderedDict[Digest, _Known] = OrderedDict()

    def hold(
        self,
        manifest: Manifest,
        digest: Digest,
        folder: Path,
        files: Callable[[], Iterable[tuple[Fingerprint, bool]]],
    ) -> None:
        """Record that `folder` holds `manifest`: `files` yields (fingerprint, trusted) of each file, in the manifest's
        order, each time that it is called."""
        folder = Path(os.path.abspath(folder))
        rows = lambda: ((TRUSTED if trusted else HELD, known) for known, trusted in files())  # noqa: E731
        self._record(manifest, digest, folder, rows)

    def _record(
        self,
        manifest: Manifest,
        digest: Digest,
        folder: Path,
        rows: Callable[[], Iterable[tuple[int, Fingerprint | None]]],
    ) -> None:
        if self._blobs.get(digest) is None:
            blobs = encode_manifest(manifest)
            assert digest_of(blobs[0]) == digest, "a manifest held under the digest of another"
            self._blobs.put(blobs)
        self._log.set(HOLDING, _key(digest, folder), [os.fsencode(folder), len(manifest.files)])
        self._index.hold(digest, folder, rows)

    def hold_some(
        self, manifest: Manifest, digest: Digest, folder: Path, files: Mapping[int, tuple[Fingerprint, bool]]
    ) -> None:
        """Record that `folder` holds these files of `manifest`, by number, beside those of it that it is known to hold;
        of the others nothing is held."""
        folder = Path(os.path.abspath(folder))
        before = {
            file.number: file
            for row in self._index.holdings()
            if (row.manifest, row.folder) == (digest, folder)
            for file in self._index.files(row.id)
            if file.fingerprint is not None and file.standing != DOUBTED
        }

        def rows() -> Iterable[tuple[int, Fingerprint | None]]:
            for number in range(len(manifest.files)):
                if number in files:
                    known, trusted = files[number]
                    yield TRUSTED if trusted else HELD, known
                elif number in before:
                    yield before[number].standing, before[number].fingerprint
                else:
                    yield DOUBTED, None

        self._record(manifest, digest, folder, rows)

    def release(self, digest: Digest, folder: Path | None = None) -> None:
        if folder is not None:
            folder = Path(os.path.abspath(folder))
        with self._log.changing():
            for key in self._log.all(HOLDING):
                if key[0] == digest.raw.hex() and (folder is None or key == _key(digest, folder)):
                    self._log.remove(HOLDING, key)
        self._index.release(digest, folder)

    def all(self) -> tuple[Holding, ...]:
        return tuple(self._holding(row) for row in self._index.holdings())

    def remembered(self, folder: Path) -> dict[str, HashedFile]:
        """Return what is known of the files of `folder` by a trusted fingerprint; the newest word on each path."""
        folder = Path(os.path.abspath(folder))
        found: dict[str, HashedFile] = {}
        for row in self._index.holdings():
            known = self._known(row.manifest) if row.folder == folder else None
            if known is None:
                continue
            for file in self._index.files(row.id):
                if file.standing == TRUSTED and file.fingerprint is not None and file.number < known.table.files:
                    entry = known.manifest.files[file.number]
                    if entry.path not in found:
                        chunks = list_of(known.table, file.number) if entry.chunks > 1 else None
                        found[entry.path] = HashedFile(entry, chunks, file.fingerprint, True)
        return found

    def read_plan(self, digest: Digest) -> ReadPlan | None:
        """Return how to serve a manifest, from the folder that holds most of it."""
        known = self._known(digest)
        if known is None:
            return None
        best: tuple[int, HoldingRow, RangeSet] | None = None
        for row in self._index.holdings():
            if row.manifest == digest:
                held = self._held(row, known.table)
                if best is None or len(held) > best[0]:
                    best = (len(held), row, held)
        if best is None:
            return None
        _, row, held = best
        opener = _Opener(self._index.files(row.id), known.manifest, row.folder)
        return ReadPlan(digest, known.table, held, opener, opener.walks)

    def mark_changed(self, digest: Digest, file: int) -> None:
        """Doubt a file: where several folders hold it, in those where it really is not what was hashed."""
        known = self._known(digest)
        rows = [row for row in self._index.holdings() if row.manifest == digest]
        for row in rows:
            if len(rows) == 1 or known is None or not self._is_unchanged(row, known.manifest, file):
                self._index.doubt(row.id, file)

    def check(self) -> list[str]:
        """Mend what can be mended: index, blobs, files in doubt (hashed again). Returns what was done, in words."""
        self._index.check()
        rotted = self._blobs.scrub()
        for row in self._index.holdings():
            known = self._known(row.manifest)
            if known is not None:
                for file in self._doubted(row, known):
                    self._look_again(row, known, file)
        said = self._index.mended[:]
        self._index.mended.clear()
        if rotted:
            said.append(f"{rotted} blobs had rotted and were dropped")
        for row in self._index.holdings():
            where = f"{row.manifest} in {row.folder}"
            known = self._known(row.manifest)
            if known is None:
                said.append(f"{where} is not served: its metadata is missing; publish or fetch it again")
            elif doubted := self._doubted(row, known):
                said.append(f"{where}: {len(doubted)} files are not what was hashed, or not there, and not served")
        return said

    def close(self) -> None:
        self._index.close()

    # --- parts -----------------------------------------------------------------------------------------------------

    def _begin_again(self) -> Iterable[tuple[Digest, Path, int]]:
        """What a new index starts with: every holding ever recorded and not released, all of it in doubt."""
        for (manifest, _), (folder, files) in self._log.all(HOLDING).items():
            if isinstance(folder, bytes) and isinstance(files, int):
                yield Digest(bytes.fromhex(manifest)), Path(os.fsdecode(folder)), files

    def _known(self, digest: Digest) -> _Known | None:
        """Return what `digest` is, from the blobs; None if a blob is missing."""
        with self._mutex:
            if digest in self._tables:
                self._tables.move_to_end(digest)
                return self._tables[digest]
        with self._loading:
            return self._load(digest)

    def _load(self, digest: Digest) -> _Known | None:
        with self._mutex:
            if digest in self._tables:  # Loaded by whoever was before us.
                return self._tables[digest]
        root = self._blobs.get(digest)
        if root is None:
            return None
        try:
            manifest = decode_manifest(root, self._blobs.get)
            table = ChunkTable(
                decode_lists(entry.root, entry.size, entry.chunks, self._blob) for entry in manifest.files
            )
        except Damaged:
            return None
        known = _Known(manifest, table)
        with self._mutex:
            self._tables[digest] = known
            while len(self._tables) > TABLES_REMEMBERED_MAX:
                self._tables.popitem(last=False)
        return known

    def _blob(self, digest: Digest) -> bytes:
        blob = self._blobs.get(digest)
        if blob is None:
            raise Damaged(f"blob {digest} is missing")
        return blob

    def _held(self, row: HoldingRow, table: ChunkTable) -> RangeSet:
        # What is held, not what is doubted: of a holding that vanished this moment nothing must be claimed.
        files = RangeSet.ascending(file for file in self._index.held(row.id) if file < table.files)
        return RangeSet.of((table.span(start)[0], table.span(stop - 1)[1]) for start, stop in files.runs)

    def _doubted(self, row: HoldingRow, known: _Known) -> list[int]:
        held = RangeSet.ascending(self._index.held(row.id))
        return list(RangeSet.whole(known.table.files) - held)

    def _holding(self, row: HoldingRow) -> Holding:
        known = self._known(row.manifest)
        if known is None:
            return Holding(row.manifest, row.folder, RangeSet(), False, 0, 0)
        held = self._held(row, known.table)
        complete = not self._doubted(row, known)
        files = known.manifest.files
        return Holding(row.manifest, row.folder, held, complete, known.manifest.bytes_total, len(files))

    def _is_unchanged(self, row: HoldingRow, manifest: Manifest, file: int) -> bool:
        known = self._index.file(row.id, file)
        if known is None or known.standing == DOUBTED:
            return False
        try:
            open_published(row.folder, manifest.files[file].path, known.fingerprint).close()
        except DiskError:
            return False
        return True

    def _look_again(self, row: HoldingRow, known: _Known, file: int) -> None:
        """Hash a doubted file; it is held again if it is what it should be."""
        entry = known.manifest.files[file]
        try:
            found = open_published(row.folder, entry.path)
        except DiskError:
            return
        try:
            with disk_errors(f"read {row.folder / entry.path}"):
                right = found.expected.size == entry.size and is_equal(found.descriptor, known.table, file)
                if right and found.unchanged():
                    standing = TRUSTED if found.expected.settled(time.time_ns()) else HELD
                    self._index.stand(row.id, file, standing, found.expected)
        finally:
            found.close()


class _Opener:
    """Opens files of a holding for serving, each as it was when it was hashed."""

    def __init__(self, files: Iterable[FileRow], manifest: Manifest, folder: Path) -> None:
        self._manifest = manifest
        self._folder = folder
        self._rows = Fingerprints()
        self._row_of = array("q", (-1,)) * len(manifest.files)  # -1 where a file is in doubt.
        for row in files:
            if row.standing != DOUBTED and row.fingerprint is not None and row.number < len(manifest.files):
                self._row_of[row.number] = len(self._rows)
                self._rows.append(row.fingerprint)

    def __call__(self, file: int) -> Readable:
        return open_published(self._folder, *self.expected(file))

    def expected(self, file: int) -> tuple[str, Fingerprint]:
        """Return the path of a file, and how it must be found. Raises ContentChanged for one in doubt."""
        row, path = self._row_of[file], self._manifest.files[file].path
        if row < 0:
            raise ContentChanged(f"{self._folder / path} is not known to be what was hashed")
        return path, self._rows[row]

    def walks(self) -> Walker:
        return _Walker(self, self._folder)


class _Walker:
    """`content.Walker` over the files of a holding."""

    def __init__(self, opener: _Opener, folder: Path) -> None:
        self._opener = opener
        self._walk = FolderWalk(folder)

    def expect(self, files: Sequence[int]) -> None:
        pass

    def open(self, file: int) -> Readable:
        return self._walk.open(*self._opener.expected(file))

    def in_folder(self, file: int) -> InFolder | None:
        path, expected = self._opener.expected(file)
        return self._walk.in_folder(path, expected)

    def close(self) -> None:
        self._walk.close()


def _key(digest: Digest, folder: Path) -> tuple[str, str]:
    # A folder's name need not be text: a key is, so the name itself stands in the value.
    return digest.raw.hex(), digest_of(os.fsencode(folder)).raw.hex()[:32]
