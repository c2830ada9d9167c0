"""The store of a home on a real disk: metadata in the home, content in the user's own folders, as ordinary files.

    HOME/blobs/          manifest pages, chunk lists, layouts          (blobs)
    HOME/index.sqlite    what stands where, with fingerprints          (database, can be made again)
    HOME/state.log       which folders hold what, and the ledger       (state_log, cannot)
    HOME/files/          the home's own store: what may be collected   (collecting)
    HOME/published/      what was published of drafts, and drafts      (drafting)
    HOME/journal.key     what tells our own journals from others       (secret)
    PLACE/.p2phub-shared/ what is listed for other homes, by whom      (sharing)
    DIR/.p2phub/         one fetch into DIR, while it is written       (destination, journal, arrival)
Several processes may use one home. Nothing of a user's file is ever changed, unless a fetch was told to (`force`).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from p2phub.content import ChunkTable, Digest, RangeSet, Readable, ReadPlan, encode_lists
from p2phub.manifest import Manifest
from p2phub.store.arriving import begin_arrival
from p2phub.store.blobs import Blobs
from p2phub.store.collecting import Collector, own_folder
from p2phub.store.database import INDEX
from p2phub.store.destination import discard_unfinished, unfinished_bytes
from p2phub.store.disk import Disk, disk_errors
from p2phub.store.doubting import away, check, in_doubt, look_again, mark_changed, mark_damaged, mark_right
from p2phub.store.drafting import Drafts
from p2phub.store.earlier import end, ended, settle_earlier
from p2phub.store.fingerprints import Fingerprint, Fingerprints
from p2phub.store.folders import OWN_FOLDER, fingerprint, open_place, open_published
from p2phub.store.hashed import hashed_at, note_hashed
from p2phub.store.holding import DRAFT, Away, HeldAt, Holding, LookedAgain, Origin, Provenance
from p2phub.store.holdings import Holdings
from p2phub.store.hub_lock import in_use as copy_in_use
from p2phub.store.hub_lock import repository_at
from p2phub.store.interface import Arrival, DraftFolder, HashedFile, Judge, LocalRun, PartHashed, Scan
from p2phub.store.keeping import Collectable, Keep, Spare, SpareSnapshot, Swept, Usage
from p2phub.store.local import find_local
from p2phub.store.mapped import shows_writes
from p2phub.store.own_folder import in_use
from p2phub.store.part_hashed import note_parts, part_hashed
from p2phub.store.remembering import is_as_hashed, remembered
from p2phub.store.scanning import Ignore, scan_folder
from p2phub.store.secret import load_or_make
from p2phub.store.selected import Selected
from p2phub.store.serving import files_of, manifests_with, open_held, parts, read_plan
from p2phub.store.sharing import Places
from p2phub.store.sharing.attached import Attached
from p2phub.store.state_log import LOG, StateLog, open_home
from p2phub.store.tmpfs import is_in_memory
from p2phub.store.usage import usage_of
from p2phub.store.whose import READ_ONLY

if TYPE_CHECKING:
    from p2phub.store.linking import Linker


class FilesystemStore:
    """The `Store` of `home`. Thread-safe; raises DiskError where the home cannot be used."""

    def __init__(self, home: Path, disk: Disk | None = None) -> None:
        self._disk = disk or Disk()
        self._home = home
        with contextlib.ExitStack() as undo:
            with disk_errors(f"use {home}", option="--home"):
                home_fd = open_home(self._disk, home)
                try:
                    self._blobs = Blobs(home_fd, self._disk, home)
                finally:
                    os.close(home_fd)
            undo.callback(self._blobs.close)
            self._log = StateLog(home, self._disk)
            undo.pop_all()
        self._attached = Attached()
        self._holdings = Holdings(home, self._blobs, self._log, self._attached)
        self.places = Places(home, self._disk, self._blobs, self._log, self._holdings, self._attached)
        self._drafts = Drafts(home, self._disk, self._holdings)
        self._collector = Collector(home, self._disk, self._blobs, self._log, self._holdings, self._drafts)

    def get_ready(self) -> None:
        self._holdings.index.database.get_ready()

    # --- metadata --------------------------------------------------------------------------------------------------

    def put_blobs(self, blobs: Sequence[bytes]) -> None:
        self._blobs.put(blobs)

    def blob(self, digest: Digest) -> bytes | None:
        blob = self._blobs.get(digest)
        return self._attached.blob(digest) if blob is None else blob

    # --- folders in place ------------------------------------------------------------------------------------------

    def scan(self, folder: Path, ignore: Ignore) -> Scan:
        with disk_errors(f"read {folder}"):
            return scan_folder(folder, ignore)

    def open_in_place(self, folder: Path, path: str) -> Readable:
        return open_published(folder, path)

    def open_place(self, place: Path) -> Readable:
        return open_place(place)

    def fingerprint_of(self, file: Readable) -> Fingerprint:
        return fingerprint(os.fstat(file.descriptor))

    def shows_writes(self, file: Readable) -> bool:
        return shows_writes(file.descriptor)

    def remembered(self, folder: Path) -> dict[str, HashedFile]:
        return remembered(self._holdings, folder)

    def hold(
        self,
        manifest: Manifest,
        digest: Digest,
        folder: Path,
        files: Sequence[HashedFile],
        *,
        origin: Origin = Origin.PUBLISHED,
        source: Provenance | None = None,
    ) -> None:
        assert len(files) == len(manifest.files)
        assert all(file.entry == entry for file, entry in zip(files, manifest.files, strict=True))
        self.put_blobs([blob for file in files if file.chunks is not None for blob in encode_lists(file.chunks)[1]])
        self._holdings.hold(
            manifest,
            digest,
            folder,
            lambda: ((file.fingerprint, file.trusted, file.place) for file in files),
            origin=origin,
            source=source,
        )
        # The holding says it from here on; what stands elsewhere is asked for by its place.
        if self._holdings.index.has_hashed():
            self._holdings.index.forget_hashed(
                os.fsencode(folder / file.entry.path) for file in files if file.place is None
            )
        if origin is Origin.PUBLISHED and source is None:
            settle_earlier(self._holdings, manifest, digest, folder)

    def open_draft(self) -> DraftFolder:
        def record(manifest: Manifest, digest: Digest, folder: Path, files: Sequence[HashedFile]) -> None:
            self.hold(manifest, digest, folder, files, source=DRAFT)

        with disk_errors(f"write in {self._drafts.folder}"):
            return self._drafts.open(record)

    def whole(self, manifest: Digest) -> tuple[Manifest, list[HashedFile]] | None:
        known = self._holdings.known(manifest)
        if known is None:
            return None
        for row in self._holdings.own_word():
            if row.manifest == manifest and not self._holdings.doubted(row, known.manifest):
                return known.manifest, files_of(row, known.manifest, self._holdings)
        return None

    def release(self, manifest: Digest, folder: Path | None = None) -> None:
        self._holdings.release(manifest, folder)

    def holdings(self, manifest: Digest | None = None) -> tuple[Holding, ...]:
        return self._holdings.all(manifest)

    def held_at(self, manifest: Digest | None = None) -> tuple[HeldAt, ...]:
        return self._holdings.held_at(manifest)

    def recorded(self, manifest: Digest, folder: Path) -> RangeSet:
        return self._holdings.recorded(manifest, folder)

    def read_only(self, manifest: Digest, folder: Path) -> RangeSet:
        return self._holdings.read_only(manifest, folder)

    def read_plan(self, manifest: Digest) -> ReadPlan | None:
        return read_plan(self._holdings, manifest)

    def open_held(self, manifest: Digest, folder: Path, file: int) -> Readable:
        return open_held(self._holdings, manifest, folder, file)

    def parts(self, manifest: Digest) -> tuple[Digest, ...]:
        return parts(self._holdings, manifest)

    def manifests_with(self, part: Digest) -> tuple[Digest, ...]:
        return manifests_with(self._holdings, part)

    def local(self, table: ChunkTable, wanted: RangeSet) -> list[LocalRun]:
        return find_local(self._holdings, table, wanted)

    def note_hashed(self, files: Mapping[Path, HashedFile]) -> None:
        note_hashed(files, self._holdings.index, self._blobs)

    def hashed_at(self, places: Iterable[Path]) -> dict[Path, HashedFile]:
        return hashed_at(places, self._holdings.index, self._blobs)

    def note_parts(self, parts: Mapping[Path, PartHashed]) -> None:
        note_parts(parts, self._holdings.index)

    def part_hashed(self, place: Path) -> PartHashed | None:
        return part_hashed(place, self._holdings.index)

    def look_again(self, manifest: Digest, file: int) -> LookedAgain:
        return look_again(self._holdings, manifest, file)

    def in_doubt(self, manifest: Digest, folder: Path) -> RangeSet:
        return in_doubt(self._holdings, manifest, folder)

    def away(self) -> tuple[Away, ...]:
        return tuple(away(self._holdings))

    def mark_changed(self, manifest: Digest, file: int) -> None:
        mark_changed(self._holdings, manifest, file)

    def mark_damaged(self, manifest: Digest, folder: Path, file: int) -> None:
        mark_damaged(self._holdings, manifest, folder, file)

    def mark_right(self, manifest: Digest, folder: Path, file: int, found: Fingerprint, *, trusted: bool) -> bool:
        return mark_right(self._holdings, manifest, folder, file, found, trusted=trusted)

    # --- fetches ---------------------------------------------------------------------------------------------------

    def arrive(
        self,
        manifest: Manifest,
        digest: Digest,
        table: ChunkTable,
        destination: Path,
        *,
        force: bool,
        selected: Selected | None = None,
        judge: Judge | None = None,
        link: bool = False,
    ) -> Arrival:
        before = remembered(self._holdings, destination)

        def known(path: str, found: Fingerprint) -> Digest | None:
            file = before.get(path)
            return file.entry.root if file is not None and file.fingerprint == found else None

        def record(standing: Sequence[int], found: Fingerprints, made_bytes: int) -> None:
            now_ns = time.time_ns()
            with disk_errors(f"finish {destination}"):
                on_a_disk = not is_in_memory(destination)
            lists = (table.list_of(file) for file, entry in enumerate(manifest.files) if entry.chunks > 1)
            self.put_blobs([blob for chunks in lists for blob in encode_lists(chunks)[1]])

            def rows() -> Iterator[tuple[Fingerprint, bool, Path | None]]:
                return ((known, on_a_disk and known.settled(now_ns), None) for known in found)

            origin, source = self._origin_at(digest, destination)
            if selected is None:
                self._holdings.hold(manifest, digest, destination, rows, origin=origin, source=source)
            else:
                some = dict(zip(standing, rows(), strict=True))
                self._holdings.hold_some(manifest, digest, destination, some, origin=origin, made_bytes=made_bytes)
            settle_earlier(self._holdings, manifest, digest, destination)

        return begin_arrival(
            self._disk,
            manifest,
            digest,
            table,
            destination,
            force=force,
            known=known,
            as_hashed=lambda path, found: is_as_hashed(self._holdings, destination, path, found),
            record=record,
            secret=self._secret(),
            selected=selected,
            judge=judge,
            linker=self._linker(judge) if link else None,
        )

    def _linker(self, judge: Judge | None) -> Linker:
        from p2phub.store.linking import Linker  # Few ask for it.

        return Linker(self._holdings, self._disk, judge)

    def _origin_at(self, manifest: Digest, destination: Path) -> tuple[Origin, Provenance | None]:
        """Whose it is what is fetched to `destination`: by where that is alone, so that no caller can get it wrong, and
        by what it was before: what is only read stays so."""
        was = self._holdings.origin_at(manifest, destination)
        if was is not None and was[0] in READ_ONLY:
            return was
        is_own = Path(os.path.abspath(destination)) == self.own_folder(manifest)
        return (Origin.OWN if is_own else Origin.FETCHED), None

    # --- keeping ---------------------------------------------------------------------------------------------------

    def own_folder(self, manifest: Digest) -> Path:
        return own_folder(self._home, manifest)

    def own_bytes(self) -> int:
        return sum(row.bytes for row in self._holdings.keeping.own()) + self._drafts.bytes()

    def own_unfinished(self) -> dict[Digest, int]:
        with disk_errors(f"look over {self._home}"):
            return self._collector.unfinished()

    def upstream_bytes(self) -> int:
        with disk_errors(f"look over {self._home}"):
            return self._collector.upstream_bytes()

    def note_others(self, manifest: Digest, others: int) -> None:
        self._holdings.keeping.note_others(manifest, others)

    @contextlib.contextmanager
    def in_use(self, manifest: Digest) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            folder = self.own_folder(manifest)
            with disk_errors(f"use {folder}"), contextlib.suppress(FileNotFoundError):  # Nothing there to be kept.
                stack.enter_context(in_use(self._disk, folder, OWN_FOLDER))
            for row in self._holdings.upstream_rows(manifest):
                stack.enter_context(copy_in_use(repository_at(row.folder)))
            yield

    def collectable(self, keep: Keep) -> Collectable:
        with disk_errors(f"look over {self._home}"):
            return self._collector.collectable(keep)

    def collect(self, spare: Spare | SpareSnapshot, keep: Keep) -> int | None:
        with disk_errors(f"remove {spare.folder}"):
            return self._collector.collect(spare, keep)

    def sweep(self, keep: Keep, stopped: Callable[[], bool]) -> Swept:
        with disk_errors(f"remove what is left over in {self._home}"):
            return self._collector.sweep(keep, stopped)

    def end_earlier(self, folder: Path, keep: Keep) -> tuple[Digest, ...]:
        gone = end(self._holdings, self._log, ended(self._holdings, keep, folder))
        return tuple(row.manifest for row in gone)

    def unfinished_bytes(self, manifest: Digest, folder: Path) -> int:
        return unfinished_bytes(folder, manifest)

    def discard_unfinished(self, manifest: Digest, folder: Path) -> int | None:
        with disk_errors(f"remove what an unfinished fetch left in {folder}"):
            return discard_unfinished(self._disk, folder, manifest)

    def discard_opened(self, folder: Path) -> bool:
        with disk_errors(f"remove {folder}"):
            return self._collector.discard_opened(folder)

    def usage(self) -> Usage:
        with disk_errors(f"look over {self._home}"):
            holdings, bytes_files, bytes_content = usage_of(self._holdings)
            blobs = self._blobs.lengths()
            unfinished = self._collector.unfinished()
            keep = Keep(busy=frozenset(unfinished))
            copies = self._collector.look_at_copies(keep)
            left = [*self._collector.leftovers(keep), *copies.leftovers]
            return Usage(
                holdings,
                sum(each.bytes for each in holdings if each.holding.origin is not Origin.SHARED),
                bytes_files,
                bytes_content,
                len(blobs),
                sum(blobs),
                sum(_length(self._home / f"{INDEX}{suffix}") for suffix in ("", "-wal", "-shm")),
                _length(self._home / LOG),
                sum(each.bytes for each in left),
                sum(unfinished.values()),
                copies.usage,
            )

    def _secret(self) -> bytes:
        with disk_errors(f"use {self._home}"):
            home_fd = open_home(self._disk, self._home)
            try:
                return load_or_make(self._disk, home_fd)
            finally:
                os.close(home_fd)

    # --- the home --------------------------------------------------------------------------------------------------

    def check(self) -> tuple[str, ...]:
        with disk_errors(f"check {self._home}"):
            return tuple(check(self._holdings, self._blobs))

    @property
    def log(self) -> StateLog:
        """What the ledger of the same home is kept in, too. It ends with whoever closes it first."""
        return self._log

    def close(self) -> None:
        self._holdings.close()
        self._log.close()
        self._blobs.close()


def _length(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:  # Not there.
        return 0
