"""What this home holds, in which folders: index, blobs and `state.log` together.

The index is asked first and may be lost; `state.log` says which folder was said to hold which manifest, the blobs what
that manifest is. Here it is recorded, forgotten, and told. Beside it:

    logged        what `state.log` says is held
    known         what a manifest is              noting      what is noted of a holding beside its files
    serving       how it is served                doubting    what is in doubt, and looked at again
    earlier       what newer versions of a folder left of it
    local         where chunks lie                remembering what is known of a folder's files without reading them
    usage         what takes how much             collecting  what may go
    sharing       what other homes list, in doubt until it is hashed here
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from functools import partial
from itertools import zip_longest
from pathlib import Path

from msgspec.structs import replace

from p2phub.content import ChunkTable, Digest, RangeSet, digest_of
from p2phub.errors import DiskError
from p2phub.manifest import Manifest, encode_manifest, pack
from p2phub.store.blobs import Blobs
from p2phub.store.database import DOUBTED, HELD, TRUSTED, Begun
from p2phub.store.fingerprints import Fingerprint
from p2phub.store.holding import HeldAt, Holding, Origin, Provenance
from p2phub.store.index import FileRow, FileState, HoldingRow, Index
from p2phub.store.index_content import ContentIndex
from p2phub.store.index_earlier import EarlierIndex
from p2phub.store.index_keeping import KeepingIndex
from p2phub.store.keeping import UPSTREAM_FOLDER
from p2phub.store.known import Known, KnownManifests, Lender
from p2phub.store.logged import folders_logged, log_holding, log_release, log_source, logged, logged_for_a_new_index
from p2phub.store.noting import Noting, root_key
from p2phub.store.opening import Borrower, Opener
from p2phub.store.source import (
    WHOLE,
    folder_below,
    is_replaced,
    made_of_selection,
    packed_source,
    place_of,
    selection,
    shared_source,
    source_of,
)
from p2phub.store.state_log import StateLog
from p2phub.store.whose import NOT_OURS, READ_ONLY, files_of_others

USE_NOTED_S = 3600.0  # To the hour is good enough to tell what was not used for longest, and costs a write an hour.


class Holdings:
    """Thread-safe. Methods raise DiskError. `lender`: attached places, for blobs that the home has not."""

    def __init__(self, home: Path, blobs: Blobs, log: StateLog, lender: Lender | None = None) -> None:
        self.blobs = blobs
        self._lender = lender
        self._log = log
        self.index = Index(home, partial(logged_for_a_new_index, home))
        self.contents = ContentIndex(self.index.database)
        self.keeping = KeepingIndex(self.index.database, self.contents)
        self.earlier = EarlierIndex(self.index.database)
        self.manifests = KnownManifests(blobs, lender)
        self.noting = Noting(self.index, self.contents, blobs, self.manifests)
        upstream = Path(os.path.abspath(home)) / UPSTREAM_FOLDER
        self._upstream = tuple(os.path.join(at, "") for at in {os.fspath(upstream), os.path.realpath(upstream)})
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

        def rows() -> Iterable[FileState]:
            return (_state(root_key(entry), *file) for entry, file in zip(manifest.files, files(), strict=True))

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
        made_bytes: int = 0,
    ) -> None:
        """Record that `folder` holds these files of `manifest`, by number, beside those of it that it is known to hold;
        of the others nothing is held. `made_bytes`: of files that no manifest has, made of what was selected."""
        folder = Path(os.path.abspath(folder))
        row = self._row(digest, folder)
        # What is in doubt stays so, and stays recorded: it is not the same as what was left out.
        before = {} if row is None else {file.number: file for file in self._recorded(row)}

        def rows() -> Iterable[FileState]:
            for number, entry in enumerate(manifest.files):
                if number in files:
                    yield _state(root_key(entry), *files[number])
                else:
                    was = before.get(number)
                    standing, found, place = (
                        (DOUBTED, None, None) if was is None else (was.standing, was.fingerprint, was.place)
                    )
                    yield FileState(standing, found, place, root_key(entry))

        made_before = 0 if row is None else made_of_selection(row)
        is_selection = made_before is not None and origin not in READ_ONLY
        packed = (
            selection(made_bytes or made_before or 0) if is_selection else [] if row is None else packed_source(row)
        )
        self._record(manifest, digest, folder, rows, origin, packed)

    def _record(
        self,
        manifest: Manifest,
        digest: Digest,
        folder: Path,
        rows: Callable[[], Iterable[FileState]],
        origin: Origin,
        packed: Sequence[object],
    ) -> None:
        blobs = encode_manifest(manifest)
        assert digest_of(blobs[0]) == digest, "a manifest held under the digest of another"
        self.blobs.put(blobs)  # Though they are here: only what is young is nobody's to remove until it is noted.
        log_holding(self._log, digest, folder, len(manifest.files), origin, packed)
        made = self.index.hold(digest, folder, rows, origin=origin, source=pack(list(packed)))
        if origin is Origin.OWN:
            for row in self.index.holdings(digest):
                self.note_used(row)
        self.noting.note(made, digest, manifest)

    def _is_held_so(self, digest: Digest, folder: Path, wanted: Iterable[FileState]) -> bool:
        """Whether `folder` is held with these files, just as they are."""
        rows = [row for row in self.index.holdings(digest) if row.folder == folder and row.origin is Origin.ADOPTED]
        if not rows:
            return False
        known = ((row.standing, row.fingerprint, row.place) for row in self.index.files(rows[0].id))
        return all(one == two for one, two in zip_longest((state[:3] for state in wanted), known))

    def origin_at(self, digest: Digest, folder: Path) -> tuple[Origin, Provenance | None] | None:
        """Return whose `folder` holds a manifest, and where that was found; None if it does not hold it."""
        row = self._row(digest, Path(os.path.abspath(folder)))
        return None if row is None else (row.origin, source_of(row))

    def recorded(self, digest: Digest, folder: Path) -> RangeSet:
        """Return which files of a manifest were recorded in `folder`, in doubt by now or not: of a selection not those
        that were left out, as long as the index was not lost, and then none until `check` has found them again."""
        row, known = self._row(digest, Path(os.path.abspath(folder))), self.known(digest)
        return RangeSet() if row is None or known is None else self.meant(row, known.manifest)

    def meant(self, row: HoldingRow, manifest: Manifest) -> RangeSet:
        """Return the same of a holding."""
        every = RangeSet.whole(len(manifest.files))
        if not is_replaced(row) and (row.origin in NOT_OURS or packed_source(row) == WHOLE):
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

    def note_source(self, row: HoldingRow, packed: Sequence[object]) -> None:
        """Note in the log, too, what a holding is from, if it is still held."""
        log_source(self._log, row.manifest, row.folder, row.origin, packed)

    def release(self, digest: Digest, folder: Path | None = None) -> None:
        if folder is not None:
            folder = Path(os.path.abspath(folder))
        log_release(self._log, digest, folder)
        for row in self.index.holdings(digest):  # But for what a place lists: that is for its catalogue to say.
            if folder in (None, row.folder) and row.origin is not Origin.SHARED:
                self.index.release(digest, row.folder)
        self.noting.drop_unheld()

    # --- what attached places list ---------------------------------------------------------------------------------

    def hold_shared(self, digest: Digest, folder: str, place: Path, *, files: int, chunks: int) -> str | None:
        """Note that an attached place says to have a manifest in a folder below it. All of it is in doubt; where its
        chunks are is still to be noted.

        Returns why not, if it is not noted: where the user holds that folder themselves, or what describes it is
        missing, or says something else of it.
        """
        where = place / folder
        if any(row.folder == where and row.origin is not Origin.SHARED for row in self.index.holdings(digest)):
            return None
        known = self.known(digest)
        if known is None:
            return "what describes it is missing, or damaged"
        manifest = known.manifest
        if (len(manifest.files), len(known.table)) != (files, chunks):
            return "it is not as large as is said there"

        def rows() -> Iterable[FileState]:
            return (FileState(DOUBTED, None, None, root_key(entry)) for entry in manifest.files)

        source = shared_source(place, folder, files=files, chunks=chunks)
        self.index.hold(digest, where, rows, origin=Origin.SHARED, source=source)
        return None

    def release_shared(self, row: HoldingRow) -> None:
        """Forget what an attached place lists. The log never knew of it."""
        assert row.origin is Origin.SHARED
        self.index.release(row.manifest, row.folder)
        self.noting.drop_unheld()

    # --- telling it ------------------------------------------------------------------------------------------------

    def rows(self, digest: Digest | None = None) -> list[HoldingRow]:
        """Return all holdings, or those of one manifest, newest first; of attached places only those that are there."""
        return [row for row in self.index.holdings(digest) if row.origin is not Origin.SHARED or self._is_here(row)]

    def _is_here(self, row: HoldingRow) -> bool:
        place = place_of(row)
        return place is not None and self._lender is not None and self._lender.is_here(place)

    def own_word(self) -> list[HoldingRow]:
        """Return the holdings that were ever held by the word of this home. What a place lists may be terabytes that it
        never read, and are hashed when somebody asks for it."""
        return [row for row in self.index.holdings() if row.origin is not Origin.SHARED]

    def all(self, digest: Digest | None = None) -> tuple[Holding, ...]:
        rows = self.rows(digest)
        if digest is not None and rows:
            self.known(digest)  # Raises what among all would be this one's problem alone.
        return tuple(self.of_row(row) for row in rows)

    def held_at(self, digest: Digest | None = None) -> tuple[HeldAt, ...]:
        """Return the same without a look at what each is, and how its files stand."""
        return tuple(HeldAt(row.manifest, row.folder, row.origin, source_of(row)) for row in self.rows(digest))

    def of_row(self, row: HoldingRow) -> Holding:
        """Return a holding as it stands now; with a problem where it cannot be known what it is."""
        problem = "what describes it is missing, or damaged"
        try:
            known = self.known(row.manifest)
        except DiskError as error:  # Of this one: whoever lists all is told of the others.
            known, problem = None, error.message
        if known is None:
            unknown = Holding(
                row.manifest, row.folder, RangeSet(), False, 0, 0, row.origin, source_of(row), problem=problem
            )
            return replace(unknown, replaced=is_replaced(row))
        held = self.held(row, known.table)
        doubted = self.doubted(row, known.manifest)
        files, total = len(known.manifest.files), known.manifest.bytes_total
        # What this index never saw right, as after it was lost, or in an attached place, is in doubt, and not damaged.
        recorded = {file.number: file.fingerprint for file in self._recorded(row)} if doubted else {}
        seen, made_bytes = RangeSet.ascending(recorded), made_of_selection(row) if doubted else None
        selected = sum(known.size for known in recorded.values() if known is not None)
        damaged = RangeSet.ascending(doubted) & seen
        return Holding(
            row.manifest,
            row.folder,
            held,
            not doubted,
            total,
            files,
            row.origin,
            source_of(row),
            files - len(doubted),
            len(damaged),
            is_replaced(row),
            None if made_bytes is None else selected + made_bytes,
        )

    def known(self, digest: Digest) -> Known | None:
        """Return what `digest` is, from the blobs; None if a blob is missing."""
        return self.manifests.known(digest)

    def held(self, row: HoldingRow, table: ChunkTable) -> RangeSet:
        """Return which chunks of a holding are in files that are not in doubt."""
        # What is held, not what is doubted: of a holding that vanished this moment nothing must be claimed.
        files = RangeSet.ascending(file for file in self.index.held(row.id) if file < table.files)
        return RangeSet.of((table.span(start)[0], table.span(stop - 1)[1]) for start, stop in files.runs)

    def doubted(self, row: HoldingRow, manifest: Manifest) -> list[int]:
        """Return which files of a holding are in doubt."""
        held = RangeSet.ascending(self.index.held(row.id))
        return list(RangeSet.whole(len(manifest.files)) - held)

    def opener(self, row: HoldingRow) -> Opener | None:
        """Return what opens the files of a holding; None if its metadata is missing."""
        manifest = self.manifests.manifest(row.manifest)
        return None if manifest is None else Opener(self.index.files(row.id), manifest, row.folder)

    def copied_from(self, row: HoldingRow) -> Opener | None:
        """The same for whoever hashes what it reads: of an attached place all files, in doubt or not."""
        manifest, place = self.manifests.manifest(row.manifest), place_of(row)
        if manifest is None or place is None:
            return self.opener(row)
        return Borrower(self.index.files(row.id), manifest, place, folder_below(row, place))

    def where_part(self, part: Digest) -> list[tuple[HoldingRow, int]]:
        """Return (holding, number of the file) of each place where a file alone is, of the newest holdings first."""
        found = self.contents.with_part(part)
        rows = {row.id: row for row in self.rows()} if found else {}
        return [
            (rows[holding], number)
            for holding, number in found
            if holding in rows and (rows[holding].origin is not Origin.SHARED or self._is_held(holding, number))
        ]

    def _is_held(self, holding: int, number: int) -> bool:
        file = self.index.file(holding, number)
        return file is not None and file.standing != DOUBTED

    def note_used(self, row: HoldingRow) -> None:
        """Note that a holding of what may be collected is used: what was not for longest goes first."""
        now = time.time()
        if not self._may_be_collected(row) or abs(now - self._used.get(row.id, 0)) < USE_NOTED_S:
            return
        self._used[row.id] = now
        with contextlib.suppress(DiskError):  # Whoever reads needs no note of it.
            self.keeping.note_used(row.id, int(now))

    def upstream_rows(self, digest: Digest) -> list[HoldingRow]:
        """Return the holdings of a manifest that stand in a copy of an upstream hub."""
        return [row for row in self.index.holdings(digest) if self._is_of_upstream(row)]

    def _is_of_upstream(self, row: HoldingRow) -> bool:
        return row.origin is Origin.ADOPTED and os.fspath(row.folder).startswith(self._upstream)

    def _may_be_collected(self, row: HoldingRow) -> bool:
        return row.origin is Origin.OWN or self._is_of_upstream(row)

    def close(self) -> None:
        self.index.database.close()

    # --- what the log says -----------------------------------------------------------------------------------------

    def logged(self) -> Iterable[Begun]:
        """Yield what the log says is held."""
        return logged(self._log)

    def logged_in(self, manifests: Set[Digest]) -> set[bytes]:
        """Return in which folders the log says these manifests are held, as `os.fsencode` has them: an index that was
        cut off from what was recorded last may not know."""
        return folders_logged(self._log, manifests)

    def recall(self) -> int:
        """Hold again, in doubt, what the log says is held and the index does not know: whoever recorded it may have
        done so in an index that was put aside. Returns how many that were."""
        if not self._not_known():
            return 0
        with self._log.changing():  # Who forgets something does so in both.
            missing = self._not_known()
            self.index.database.add(missing)
        return len(missing)

    def _not_known(self) -> list[Begun]:
        known = {(row.manifest, row.folder) for row in self.index.holdings()}
        return [begun for begun in self.logged() if (begun.manifest, begun.folder) not in known]


def _state(root: int | None, found: Fingerprint, trusted: bool, place: Path | None) -> FileState:
    return FileState(TRUSTED if trusted else HELD, found, None if place is None else os.fsencode(place), root)
