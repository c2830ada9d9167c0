"""What this home holds, in which folders: index, blobs and `state.log` together.

The index is asked first and may be lost; `state.log` says which folder was said to hold which manifest, the blobs what
that manifest is. A file is served only while it has the fingerprint under which its bytes were hashed. Files of a
manifest that is held can be had alone, too (`manifest.alone`). Where chunks lie that are wanted: `local`.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Protocol

import msgspec

from p2phub import limits
from p2phub.content import (
    ChunkTable,
    Digest,
    RangeSet,
    Readable,
    ReadPlan,
    decode_lists,
    digest_of,
)
from p2phub.errors import ContentChanged, Damaged, DiskError
from p2phub.manifest import (
    FileEntry,
    Manifest,
    alone_digest,
    alone_root,
    decode_manifest,
    encode_manifest,
    is_alone,
    pack,
    unpack,
)
from p2phub.store.blobs import Blobs
from p2phub.store.database import DOUBTED, HELD, TRUSTED, Begun
from p2phub.store.disk import disk_errors
from p2phub.store.folders import OpenFile, open_place, open_published
from p2phub.store.index import FileRow, HoldingRow, Index
from p2phub.store.index_keeping import KeepingIndex
from p2phub.store.interface import Fingerprint, HashedFile, Holding, Origin, Provenance
from p2phub.store.needs import blobs_of
from p2phub.store.opening import Alone, Borrower, Opener, below
from p2phub.store.rehash import is_equal
from p2phub.store.state_log import StateLog
from p2phub.store.whose import NOT_OURS, READ_ONLY, files_of_others

HOLDING = "holding"
WHOLE = ["whole"]  # In the place of a provenance: what was fetched is all of the manifest, not a selection.
USE_NOTED_S = 3600.0  # To the hour is good enough to tell what was not used for longest, and costs a write an hour.
TABLES_REMEMBERED_MAX = 16  # Tables of chunks, 36 bytes a chunk and more: enough for what is served at one time.


Row = tuple[int, Fingerprint | None, bytes | None]
"""How a file stands, its fingerprint, and its place, as the index has them."""


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


class Holdings:
    """Thread-safe. Methods raise DiskError. `lender`: what stands in for blobs that the home has not."""

    def __init__(self, home: Path, blobs: Blobs, log: StateLog, lender: Lender | None = None) -> None:
        self._blobs = blobs
        self._lender = lender
        self._log = log
        self.index = Index(home, self._begin_again)
        self._mutex = threading.Lock()
        self._loading = threading.Lock()  # One manifest at a time: two who ask for the same must not both hold it.
        self._tables: OrderedDict[Digest, Known] = OrderedDict()
        self.keeping = KeepingIndex(self.index.database)
        self._used: dict[int, float] = {}  # When it was last noted of a holding that it is used.

    def hold(
        self,
        manifest: Manifest,
        digest: Digest,
        folder: Path,
        files: Callable[[], Iterable[tuple[Fingerprint, bool, Path | None]]],
        *,
        origin: Origin,
        source: Provenance | None = None,
    ) -> None:
        """Record that `folder` holds `manifest`: `files` yields (fingerprint, trusted, place) of each file, in the
        manifest's order, each time that it is called."""
        folder = Path(os.path.abspath(folder))

        def rows() -> Iterable[Row]:
            return map(_row, files())

        if origin is Origin.ADOPTED and self._is_held_so(digest, folder, rows()):
            return  # As it was at the last look: a cache may have thousands of files, and is looked at often.
        packed = [] if source is None else [source.cache, source.name, source.revision or ""]
        self._record(manifest, digest, folder, rows, origin, packed or ([] if origin in READ_ONLY else WHOLE))

    def hold_some(
        self,
        manifest: Manifest,
        digest: Digest,
        folder: Path,
        files: Mapping[int, tuple[Fingerprint, bool, Path | None]],
        *,
        origin: Origin,
    ) -> None:
        """Record that `folder` holds these files of `manifest`, by number, beside those of it that it is known to hold;
        of the others nothing is held."""
        folder = Path(os.path.abspath(folder))
        row = self._row(digest, folder)
        # What is in doubt stays so, and stays recorded: it is not the same as what was left out.
        before = {} if row is None else {file.number: file for file in self._recorded(row)}

        def rows() -> Iterable[Row]:
            for number in range(len(manifest.files)):
                if number in files:
                    yield _row(files[number])
                else:
                    was = before.get(number)
                    yield (DOUBTED, None, None) if was is None else (was.standing, was.fingerprint, was.place)

        self._record(manifest, digest, folder, rows, origin, [] if row is None else _packed_source(row))

    def _record(
        self,
        manifest: Manifest,
        digest: Digest,
        folder: Path,
        rows: Callable[[], Iterable[Row]],
        origin: Origin,
        packed: Sequence[object],
    ) -> None:
        if self._blobs.get(digest) is None:
            blobs = encode_manifest(manifest)
            assert digest_of(blobs[0]) == digest, "a manifest held under the digest of another"
            self._blobs.put(blobs)
        value = [os.fsencode(folder), len(manifest.files), origin.value, list(packed)]
        self._log.set(HOLDING, holding_key(digest, folder), value)
        self._drop_chunks(digest, folder)
        self.index.hold(digest, folder, rows, origin=origin, source=pack(list(packed)))
        if origin is Origin.OWN:
            for row in self.index.holdings(digest):
                self._note_used(row)
        self.index_chunks()

    def _is_held_so(self, digest: Digest, folder: Path, wanted: Iterable[Row]) -> bool:
        """Whether `folder` is held with these files, just as they are."""
        rows = [row for row in self.index.holdings(digest) if row.folder == folder and row.origin is Origin.ADOPTED]
        if not rows:
            return False
        known = ((row.standing, row.fingerprint, row.place) for row in self.index.files(rows[0].id))
        return all(one == two for one, two in zip_longest(wanted, known))

    def origin_at(self, digest: Digest, folder: Path) -> tuple[Origin, Provenance | None] | None:
        """Return whose `folder` holds a manifest, and where that was found; None if it does not hold it."""
        row = self._row(digest, Path(os.path.abspath(folder)))
        return None if row is None else (row.origin, _source(row))

    def recorded(self, digest: Digest, folder: Path) -> RangeSet:
        """Return which files of a manifest were recorded in `folder`, in doubt by now or not: of a selection not those
        that were left out, as long as the index was not lost, and then none until `check` has found them again."""
        row, known = self._row(digest, Path(os.path.abspath(folder))), self.known(digest)
        if row is None or known is None:
            return RangeSet()
        every = RangeSet.whole(len(known.manifest.files))
        if row.origin in NOT_OURS or _packed_source(row) == WHOLE:
            return every
        return RangeSet.ascending(file.number for file in self._recorded(row)) & every

    def _recorded(self, row: HoldingRow) -> Iterator[FileRow]:
        return (file for file in self.index.files(row.id) if file.fingerprint is not None)

    def read_only(self, digest: Digest, folder: Path) -> RangeSet:
        """Return which files of a manifest stand in `folder` as files of something that is published or adopted."""
        known = self.known(digest)
        if known is None:
            return RangeSet()
        rows = (row for row in self.index.holdings() if row.origin in NOT_OURS)
        # What is one folder is so by whatever name: a link may have led to either.
        others = ((Path(os.path.realpath(row.folder)), row) for row in rows)
        return files_of_others(known.manifest, Path(os.path.realpath(folder)), others, self._manifest_of)

    def _manifest_of(self, row: HoldingRow) -> Manifest | None:
        known = self.known(row.manifest)
        return None if known is None else known.manifest

    def _row(self, digest: Digest, folder: Path) -> HoldingRow | None:
        return next((row for row in self.index.holdings(digest) if row.folder == folder), None)

    def release(self, digest: Digest, folder: Path | None = None) -> None:
        if folder is not None:
            folder = Path(os.path.abspath(folder))
        with self._log.changing():
            for key in self._log.all(HOLDING):
                if key[0] == digest.raw.hex() and (folder is None or key == holding_key(digest, folder)):
                    self._log.remove(HOLDING, key)
        for row in self.index.holdings(digest):  # But for what a place lists: that is for its catalogue to say.
            if folder in (None, row.folder) and row.origin is not Origin.SHARED:
                self._drop_chunks(digest, row.folder)
                self.index.release(digest, row.folder)

    def index_chunks(self) -> None:
        """Note the chunks of all holdings whose chunks are not noted yet, and their large files alone."""
        waiting = self.index.without_chunks()
        if not waiting:
            return
        rows = {row.id: row for row in self.rows()}
        for number in waiting:
            row = rows.get(number)
            known = None if row is None else self.known(row.manifest)
            if row is None or known is None:
                continue  # Its metadata is missing: once it is here again, it is noted.
            parts = list(_parts(known.manifest))
            self._blobs.put([alone_root(known.manifest.files[file]) for _, file in parts])
            digests = known.table.digests(0, len(known.table))
            self.index.index_chunks(number, digests, parts, blobs_of(row.manifest, self._get))

    def _drop_chunks(self, digest: Digest, folder: Path | None) -> None:
        known: Known | None = None
        for row in self.index.holdings(digest):
            if folder in (None, row.folder):
                known = known or self.known(digest)
                if known is None:  # Nobody knows which its chunks are: a collection reads all.
                    self.keeping.retire(row)
                else:
                    self.index.drop_chunks(row.id, known.table.digests(0, len(known.table)))

    def rows(self, digest: Digest | None = None) -> list[HoldingRow]:
        """Return all holdings, or those of one manifest, newest first; of attached places only those that are there."""
        return [row for row in self.index.holdings(digest) if row.origin is not Origin.SHARED or self._is_here(row)]

    def _is_here(self, row: HoldingRow) -> bool:
        place = place_of(row)
        return place is not None and self._lender is not None and self._lender.is_here(place)

    def _own_word(self) -> list[HoldingRow]:
        """Return the holdings that were ever held by the word of this home. What a place lists may be terabytes that it
        never read, and are hashed when somebody asks for it."""
        return [row for row in self.index.holdings() if row.origin is not Origin.SHARED]

    def hold_shared(self, digest: Digest, folder: str, place: Path, *, files: int, chunks: int) -> str | None:
        """Note that an attached place says to have a manifest in a folder below it. All of it is in doubt.

        Returns why not, if it is not noted: where the user holds that folder themselves, or what describes it is
        missing, or says something else of it.
        """
        where = place / folder
        if any(row.folder == where and row.origin is not Origin.SHARED for row in self.index.holdings(digest)):
            return None
        known = self.known(digest)
        if known is None:
            return "what describes it is missing, or damaged"
        if (len(known.manifest.files), len(known.table)) != (files, chunks):
            return "it is not as large as is said there"
        rows: Callable[[], Iterable[Row]] = lambda: ((DOUBTED, None, None) for _ in range(files))  # noqa: E731
        self._drop_chunks(digest, where)
        self.index.hold(
            digest, where, rows, origin=Origin.SHARED, source=shared_source(place, folder, files=files, chunks=chunks)
        )
        return None

    def release_shared(self, row: HoldingRow) -> None:
        """Forget what an attached place lists. The log never knew of it."""
        assert row.origin is Origin.SHARED
        self._drop_chunks(row.manifest, row.folder)
        self.index.release(row.manifest, row.folder)

    def all(self, digest: Digest | None = None) -> tuple[Holding, ...]:
        return tuple(self.of_row(row) for row in self.rows(digest))

    def remembered(self, folder: Path) -> dict[str, HashedFile]:
        """Return what is known of the files of `folder` by a trusted fingerprint; the newest word on each path."""
        folder = Path(os.path.abspath(folder))
        found: dict[str, HashedFile] = {}
        for row in self.rows():
            known = self.known(row.manifest) if row.folder == folder else None
            if known is None:
                continue
            for file in self.index.files(row.id):
                if file.place is None and file.standing == TRUSTED and file.fingerprint is not None:
                    if file.number >= known.table.files:
                        break
                    entry = known.manifest.files[file.number]
                    if entry.path not in found:
                        chunks = known.table.list_of(file.number) if entry.chunks > 1 else None
                        found[entry.path] = HashedFile(entry, chunks, file.fingerprint, True)
        return found

    def read_plan(self, digest: Digest) -> ReadPlan | None:
        """Return how to serve a manifest, from the folder that holds most of it; or a file alone that is in one."""
        known = self.known(digest)
        if known is None:
            return None
        best: tuple[int, HoldingRow, RangeSet] | None = None
        for row in self.rows(digest):
            held = self._held(row, known.table)
            if not held and row.origin is Origin.SHARED:
                continue  # By a place's word alone nothing is held.
            if best is None or len(held) > best[0]:
                best = (len(held), row, held)
        if best is not None and (best[0] == len(known.table) or not is_alone(known.manifest)):
            _, row, held = best
            self._note_used(row)
            opener = Opener(self.index.files(row.id), known.manifest, row.folder)
            return ReadPlan(digest, known.table, held, opener, None if opener.places else opener.walks)
        if is_alone(known.manifest):
            whole = RangeSet.whole(len(known.table))
            for row, number in self._where_part(digest):
                files = self.opener(row)
                if files is not None and files.has(number):
                    self._note_used(row)
                    return ReadPlan(digest, known.table, whole, Alone(files, number))
        return None

    def _note_used(self, row: HoldingRow) -> None:
        """Note that a holding of the home's own store is used: what was not for longest is collected first."""
        now = time.time()
        if row.origin is not Origin.OWN or abs(now - self._used.get(row.id, 0)) < USE_NOTED_S:
            return
        self._used[row.id] = now
        with contextlib.suppress(DiskError):  # Whoever reads needs no note of it.
            self.keeping.note_used(row.id, int(now))

    def open_held(self, digest: Digest, folder: Path, file: int) -> Readable:
        """Open a file of a holding as it stands now. Raises ContentChanged, DiskError."""
        folder = Path(os.path.abspath(folder))
        known = self.known(digest)
        rows = [row for row in self.rows(digest) if row.folder == folder]
        if known is None or not rows:
            raise ContentChanged(f"{folder} is not held any more")
        return _open(rows[0], known.manifest.files[file], self.index.file(rows[0].id, file))

    def parts(self, digest: Digest) -> tuple[Digest, ...]:
        rows = self.rows(digest)
        return tuple(dict.fromkeys(part for row in rows for part in self.index.parts(row.id)))

    def manifests_with(self, part: Digest) -> tuple[Digest, ...]:
        found = [row.manifest for row, _ in self._where_part(part)]
        if found and self.rows(part):
            found.append(part)
        return tuple(dict.fromkeys(found))

    def _where_part(self, part: Digest) -> list[tuple[HoldingRow, int]]:
        found = self.index.with_part(part)
        rows = {row.id: row for row in self.rows()} if found else {}
        return [
            (rows[holding], number)
            for holding, number in found
            if holding in rows and (rows[holding].origin is not Origin.SHARED or self._is_held(holding, number))
        ]

    def _is_held(self, holding: int, number: int) -> bool:
        file = self.index.file(holding, number)
        return file is not None and file.standing != DOUBTED

    def mark_changed(self, digest: Digest, file: int) -> None:
        """Doubt a file: where several folders hold it, in those where it really is not what was hashed."""
        places = [(row, file) for row in self.rows(digest)]
        places += self._where_part(digest) if file == 0 else []
        for row, number in places:
            if len(places) == 1 or not self._is_unchanged(row, number):
                self.index.doubt(row.id, number)

    def mark_damaged(self, digest: Digest, folder: Path, file: int) -> None:
        """Doubt a file that was read and is wrong, under whatever manifest its folder holds it."""
        folder = Path(os.path.abspath(folder))
        known = self.known(digest)
        if known is None:
            return
        path = known.manifest.files[file].path
        for row in self.rows():
            other = self.known(row.manifest) if row.folder == folder else None
            if other is not None and (number := other.manifest.number_of(path)) is not None:
                self.index.doubt(row.id, number)

    def mark_right(self, digest: Digest, folder: Path, file: int, found: Fingerprint) -> None:
        folder = Path(os.path.abspath(folder))
        for row in self.rows(digest):
            known = self.index.file(row.id, file) if row.folder == folder else None
            if known is not None and known.standing == DOUBTED:
                standing = TRUSTED if found.settled(time.time_ns()) else HELD
                self.index.stand(row.id, file, FileRow(file, standing, found, known.place))

    def look_again(self, digest: Digest, file: int) -> tuple[str, ...]:
        places = [(row, file) for row in self.rows(digest)]
        places += self._where_part(digest) if file == 0 else []
        lost: list[str] = []
        for row, number in places:
            known, found = self.known(row.manifest), self.index.file(row.id, number)
            if known is None or found is None or found.standing != DOUBTED:
                continue
            if found.fingerprint is None and row.origin is Origin.SHARED:
                continue  # Never looked at by us, so not lost either.
            self._look_again(row, known, number)
            now = self.index.file(row.id, number)
            if now is None or now.standing == DOUBTED:
                entry = known.manifest.files[number]
                lost.append(str(_place(row, known.manifest, entry, found) or row.folder / entry.path))
        return tuple(lost)

    def check(self) -> list[str]:
        """Mend what can be mended: index, blobs, files in doubt (hashed again). Returns what was done, in words."""
        self.index.database.check()
        rotted = self._blobs.scrub()
        for row in self._own_word():
            known = self.known(row.manifest)
            if known is not None:
                for file in self._doubted(row, known):
                    self._look_again(row, known, file)
        said = self.index.database.mended[:]
        self.index.database.mended.clear()
        if rotted:
            said.append(f"{rotted} blobs had rotted and were dropped")
        for row in self._own_word():
            where = f"{row.manifest} in {row.folder}"
            known = self.known(row.manifest)
            if known is None:
                said.append(f"{where} is not served: its metadata is missing; publish or fetch it again")
            elif doubted := self._doubted(row, known):
                said.append(f"{where}: {len(doubted)} files are not what was hashed, or not there, and not served")
        return said

    def close(self) -> None:
        self.index.database.close()

    # --- parts -----------------------------------------------------------------------------------------------------

    def _begin_again(self) -> Iterable[Begun]:
        """What a new index starts with: every holding ever recorded and not released, all of it in doubt."""
        for (manifest, _), value in self._log.all(HOLDING).items():
            match value:
                case [bytes(folder), int(files), str(origin), list(source)]:
                    pass
                case [bytes(folder), int(files)]:  # As it was written before it was noted whose they are.
                    origin, source = Origin.PUBLISHED.value, []
                case _:
                    continue
            known = origin if origin in _ORIGINS else Origin.PUBLISHED.value
            where = Path(os.fsdecode(folder))
            yield Begun(Digest(bytes.fromhex(manifest)), where, files, Origin(known), pack(source))

    def known(self, digest: Digest) -> Known | None:
        """Return what `digest` is, from the blobs; None if a blob is missing."""
        with self._mutex:
            if digest in self._tables:
                self._tables.move_to_end(digest)
                return self._tables[digest]
        with self._loading:
            return self._load(digest)

    def _load(self, digest: Digest) -> Known | None:
        with self._mutex:
            if digest in self._tables:  # Loaded by whoever was before us.
                return self._tables[digest]
        root = self._get(digest)
        if root is None:
            return None
        try:
            manifest = decode_manifest(root, self._get)
            table = ChunkTable(
                decode_lists(entry.root, entry.size, entry.chunks, self._blob) for entry in manifest.files
            )
        except Damaged:
            return None
        known = Known(manifest, table)
        with self._mutex:
            self._tables[digest] = known
            while len(self._tables) > TABLES_REMEMBERED_MAX:
                self._tables.popitem(last=False)
        return known

    def _blob(self, digest: Digest) -> bytes:
        blob = self._get(digest)
        if blob is None:
            raise Damaged(f"blob {digest} is missing")
        return blob

    def _get(self, digest: Digest) -> bytes | None:
        blob = self._blobs.get(digest)
        return self._lender.blob(digest) if blob is None and self._lender is not None else blob

    def _held(self, row: HoldingRow, table: ChunkTable) -> RangeSet:
        # What is held, not what is doubted: of a holding that vanished this moment nothing must be claimed.
        files = RangeSet.ascending(file for file in self.index.held(row.id) if file < table.files)
        return RangeSet.of((table.span(start)[0], table.span(stop - 1)[1]) for start, stop in files.runs)

    def _doubted(self, row: HoldingRow, known: Known) -> list[int]:
        held = RangeSet.ascending(self.index.held(row.id))
        return list(RangeSet.whole(known.table.files) - held)

    def of_row(self, row: HoldingRow) -> Holding:
        """Return a holding as it stands now."""
        known = self.known(row.manifest)
        if known is None:
            return Holding(row.manifest, row.folder, RangeSet(), False, 0, 0, row.origin, _source(row))
        held = self._held(row, known.table)
        complete = not self._doubted(row, known)
        files = known.manifest.files
        total = known.manifest.bytes_total
        return Holding(row.manifest, row.folder, held, complete, total, len(files), row.origin, _source(row))

    def _is_unchanged(self, row: HoldingRow, file: int) -> bool:
        known, found = self.known(row.manifest), self.index.file(row.id, file)
        if known is None or found is None or found.standing == DOUBTED:
            return False
        try:
            _open(row, known.manifest.files[file], found, expected=found.fingerprint).close()
        except DiskError:
            return False
        return True

    def _look_again(self, row: HoldingRow, known: Known, file: int) -> None:
        """Hash a doubted file; it is held again if it is what it should be."""
        entry = known.manifest.files[file]
        was = self.index.file(row.id, file)
        place = _place(row, known.manifest, entry, was)
        try:
            found = _open(row, entry, was) if place is None else open_place(place)
        except DiskError:
            return
        try:
            with disk_errors(f"read {row.folder / entry.path}"):
                right = found.expected.size == entry.size and is_equal(found.descriptor, known.table, file)
                if right and found.unchanged():
                    standing = TRUSTED if found.expected.settled(time.time_ns()) else HELD
                    where = None if place is None else os.fsencode(place)
                    self.index.stand(row.id, file, FileRow(file, standing, found.expected, where))
        finally:
            found.close()

    def opener(self, row: HoldingRow) -> Opener | None:
        """Return what opens the files of a holding; None if its metadata is missing."""
        known = self.known(row.manifest)
        return None if known is None else Opener(self.index.files(row.id), known.manifest, row.folder)

    def copied_from(self, row: HoldingRow) -> Opener | None:
        """The same for whoever hashes what it reads: of an attached place all files, in doubt or not."""
        known, place = self.known(row.manifest), place_of(row)
        if known is None or place is None:
            return self.opener(row)
        return Borrower(self.index.files(row.id), known.manifest, place, _below(row, place))


def _parts(manifest: Manifest) -> Iterable[tuple[Digest, int]]:
    """Yield the large files of a manifest, alone, with their numbers. A file alone has no parts: it is itself one."""
    if not is_alone(manifest):
        for number, entry in enumerate(manifest.files):
            if entry.size >= limits.ALONE_BYTES_MIN:
                yield alone_digest(entry), number


def _place(row: HoldingRow, manifest: Manifest, entry: FileEntry, known: FileRow | None) -> Path | None:
    """Return where a file of a holding stands, if not below its folder. Of an adopted one it is found out anew when
    the index was lost: whatever a link leads to by then, only its content counts."""
    if known is not None and known.place is not None:
        return Path(os.fsdecode(known.place))
    if row.origin is not Origin.ADOPTED:
        return None
    return row.folder if is_alone(manifest) else Path(os.path.realpath(row.folder / entry.path))


def _open(row: HoldingRow, entry: FileEntry, known: FileRow | None, expected: Fingerprint | None = None) -> OpenFile:
    if known is not None and known.place is not None:
        return open_place(os.fsdecode(known.place), expected)
    place = place_of(row)
    if place is not None:  # Nothing in the place may lead out of it, the folder itself included.
        return open_published(place, below(_below(row, place), entry.path), expected)
    return open_published(row.folder, entry.path, expected)


def _packed_source(row: HoldingRow) -> list[object]:
    """Return what is noted of where a holding is from: three texts of an adopted one, WHOLE, what `shared_source` gives
    of one that a place lists, or nothing."""
    try:
        found = unpack(row.source or b"\x90")
    except Damaged:  # Malformed: nothing that we wrote.
        return []
    return found if isinstance(found, list) else []


def _source(row: HoldingRow) -> Provenance | None:
    match _packed_source(row):
        case [str(cache), str(name), str(revision)]:
            return Provenance(cache, name, revision or None)
        case [str(), str(place), str(), int(), int()]:
            return Provenance(SHARED_SOURCE, place)
    return None


SHARED_SOURCE = "shared"


def shared_source(place: Path, folder: str, *, files: int, chunks: int) -> bytes:
    """Return what the index has as the source of what an attached place lists."""
    return pack([SHARED_SOURCE, str(place), folder, files, chunks])


def place_of(row: HoldingRow) -> Path | None:
    """Return the attached place that lists this; None of what the home holds by its own word."""
    source = _source(row) if row.origin is Origin.SHARED else None
    return None if source is None else Path(source.name)


def _below(row: HoldingRow, place: Path) -> str:
    """Return the folder of a holding, from the place on that lists it."""
    folder = row.folder.relative_to(place).as_posix()
    return "" if folder == "." else folder


_ORIGINS = frozenset(origin.value for origin in Origin)


def _row(file: tuple[Fingerprint, bool, Path | None]) -> Row:
    found, trusted, place = file
    return TRUSTED if trusted else HELD, found, None if place is None else os.fsencode(place)


def holding_key(digest: Digest, folder: Path) -> tuple[str, str]:
    """Return the key under which the log says that `folder` holds a manifest."""
    # A folder's name need not be text: a key is, so the name itself stands in the value.
    return digest.raw.hex(), digest_of(os.fsencode(folder)).raw.hex()[:32]
