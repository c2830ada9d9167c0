"""Collection: what of a home may go, and how it goes, so that no crash leaves a claim without its files.

    forget in the index -> forget in state.log (both durable) -> rename the files aside -> remove them
What a crash leaves behind is named by nothing, and the next collection finds it. A pin is looked for under the log's
own lock, and whoever writes to a folder has its lock: so neither is overtaken. Nothing here is held while files are
removed, and what is open stays readable. Source: docs/decisions/0093-keep-and-collect.md.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from p2phub.content import Digest
from p2phub.errors import Malformed, Occupied
from p2phub.store.blobs import YOUNG_S, Blobs
from p2phub.store.destination import Destination, is_unfinished_in, unfinished_bytes
from p2phub.store.disk import FOLDER_FLAGS, Disk, names_if_any
from p2phub.store.drafting import Drafts
from p2phub.store.earlier import end, ended
from p2phub.store.hashed import lists_of_hashed
from p2phub.store.holding import Origin
from p2phub.store.holdings import Holdings
from p2phub.store.index import HoldingRow, key_of
from p2phub.store.keeping import (
    UPSTREAM_FOLDER,
    Collectable,
    Keep,
    Leftover,
    Spare,
    SpareSnapshot,
    Swept,
    UpstreamLook,
    in_order,
)
from p2phub.store.ledger import PIN, mark_key
from p2phub.store.logged import HOLDING, holding_key
from p2phub.store.needs import blobs_of
from p2phub.store.noting import root_key
from p2phub.store.opened import OpenedFolders
from p2phub.store.removing import GOING, Unlinked, bytes_taken, remove_tree, set_aside, tree_bytes
from p2phub.store.state_log import StateLog

if TYPE_CHECKING:
    from p2phub.store.hub_collecting import HubCollector

T = TypeVar("T")

OWN_FILES = "files"
"""Below the home: the own store, a folder for each manifest, named by its digest (64 hex digits)."""

BLOBS_AT_ONCE = 256  # Removed before others get their turn.


def own_folder(home: Path, manifest: Digest) -> Path:
    """Return where the own store of a home has a manifest."""
    return Path(os.path.abspath(home)) / OWN_FILES / manifest.raw.hex()


class Collector:
    """Collects in one home. Thread-safe, as what it is made of is. Methods raise OSError, DiskError."""

    def __init__(self, home: Path, disk: Disk, blobs: Blobs, log: StateLog, holdings: Holdings, drafts: Drafts) -> None:
        self._home = home
        self._files = Path(os.path.abspath(home)) / OWN_FILES
        self._disk = disk
        self._blobs = blobs
        self._log = log
        self._holdings = holdings
        self._index = holdings.keeping
        self._opened = OpenedFolders(home, disk)
        self._drafts = drafts

    # --- what may go -----------------------------------------------------------------------------------------------

    def collectable(self, keep: Keep) -> Collectable:
        self._holdings.noting.note_blobs()
        kept = keep.pinned | keep.busy
        needed = self._needed_by_others()
        rows = [row for row in self._index.own() if row.manifest not in kept and row.manifest not in needed]
        spare = [Spare(row.manifest, Path(os.fsdecode(row.place)), row.bytes, row.used_at, row.others) for row in rows]
        lengths = [length for _, length in self._unneeded(keep, frozenset(row.id for row in rows))]
        stale = len(self._index.gone()) + len(self._holdings.contents.unheld()) + len(self._places_gone())
        stale += len(ended(self._holdings, keep))
        copies = self.look_at_copies(keep)
        leftovers = (*self.leftovers(keep), *copies.leftovers)
        return Collectable(in_order(spare), leftovers, len(lengths), sum(lengths), stale, in_order(copies.spare))

    def _copies(self) -> HubCollector | None:
        """Return what collects the copies of an upstream hub; None where there never were any."""
        if not os.path.isdir(self._home / UPSTREAM_FOLDER):
            return None
        from p2phub.store.hub_collecting import HubCollector  # Few have one.

        return HubCollector(self._home, self._disk, self._log, self._holdings)

    def look_at_copies(self, keep: Keep) -> UpstreamLook:
        """Return what came from an upstream hub, what of it may go, and what crashes left of it."""
        copies = self._copies()
        return UpstreamLook() if copies is None else copies.look(keep)

    def upstream_bytes(self) -> int:
        if self._copies() is None:
            return 0
        from p2phub.store.hub_copies import bytes_in

        return bytes_in(self._home)

    def _needed_by_others(self) -> set[Digest]:
        """Return the manifests whose folder in the own store was published from, adopted, or fetched to, too: `_remove`
        would refuse them."""
        found: set[Digest] = set()
        for files in {self._files, Path(os.path.realpath(self._files))}:
            places, below = self._index.used_by_others(files)
            if any(os.fsencode(at) in places for at in (files, *files.parents)):
                return {row.manifest for row in self._index.own()}  # Something around all of them.
            start = len(os.fsencode(files)) + 1
            named = {_named(os.fsdecode(place[start:].partition(b"/")[0])) for place in below}
            found |= {manifest for manifest in named if manifest is not None}
        return found

    def _unneeded(self, keep: Keep, without: frozenset[int] = frozenset()) -> Iterator[tuple[Digest, int]]:
        """Yield (digest, length) of the blobs that nothing needs but holdings whose ids are in `without`."""
        put_before = time.time() - YOUNG_S
        described: frozenset[int] | None = None
        by_first_byte: dict[bytes, list[bytes]] = {}
        for raw in self._blobs.all():
            by_first_byte.setdefault(raw[:1], []).append(raw)
        without |= {holding for holding, _ in self._index.gone()}
        for first, raws in by_first_byte.items():
            needed = self._index.needed(first, without)
            for raw in raws:
                if key_of(raw) in needed:
                    continue
                digest = Digest(raw)
                if described is None:  # Reads all that was ever accepted, so only where something could go.
                    described = self._described(keep, without)
                length = None if key_of(digest.raw) in described else self._blobs.length_if_old(digest, put_before)
                if length is not None:
                    yield digest, length

    def _described(self, keep: Keep, without: frozenset[int]) -> frozenset[int]:
        """Return the blobs, by key, that are needed though no holding says so in the index."""
        index = self._holdings.index
        rows, unindexed = index.manifests(), set(self._holdings.contents.without_blobs())
        held = frozenset(manifest for holding, manifest in rows if holding not in without)
        wanted = {manifest for holding, manifest in rows if holding in unindexed}
        logged = frozenset(each.manifest for each in self._holdings.logged()) - {manifest for _, manifest in rows}
        wanted |= (logged | keep.busy | keep.pinned | frozenset(keep.described(held))) - held
        found = {key_of(blob.raw) for manifest in wanted for blob in blobs_of(manifest, self._blobs.get)}
        return frozenset(found | {key_of(blob.raw) for blob in lists_of_hashed(index, self._blobs)})

    def leftovers(self, keep: Keep) -> Iterator[Leftover]:
        """Yield what lies in the own store and nothing names, what tensors were read from that nobody uses, and what
        was published of drafts and nothing that is held has."""
        for name in self._unnamed(keep):
            yield Leftover(self._files / name, tree_bytes(self._files / name))
        yield from self._opened.leftovers()
        yield from self._drafts.leftovers()

    def unfinished(self) -> dict[Digest, int]:
        """Return what fetches into the own store take that did not end; of those that repair something only what is
        beside it."""
        in_index = self._index.folders()
        found = {}
        for name in names_if_any(self._files):
            folder, manifest = self._files / name, _named(name)
            if manifest is not None and is_unfinished_in(folder, manifest):
                is_held = os.fsencode(folder) in in_index
                found[manifest] = unfinished_bytes(folder, manifest) if is_held else bytes_taken(folder)
        return found

    def discard_opened(self, folder: Path) -> bool:
        return self._opened.discard(folder.name)

    def _unnamed(self, keep: Keep) -> list[str]:
        in_log = set(self._log.all(HOLDING))
        in_index = self._index.folders()
        found = []
        for name in sorted(names_if_any(self._files)):
            manifest = _named(name)
            if name.startswith(GOING):
                found.append(name)
            elif manifest is not None and manifest not in keep.pinned and manifest not in keep.busy:
                folder = self._files / name
                # One that the log names and the index does not is half forgotten.
                if os.fsencode(folder) not in in_index or holding_key(manifest, folder) not in in_log:
                    found.append(name)
        return found

    def _own_rows(self, manifest: Digest) -> list[HoldingRow]:
        folder = own_folder(self._home, manifest)
        return [row for row in self._holdings.index.holdings(manifest) if row.folder == folder]

    def _places_gone(self) -> list[bytes]:
        """Return which hashed files are not there any more, though their folder is: a disk may be away for a while."""
        places = self._holdings.index.hashed_places()
        return [place for place in places if not self._may_stand(place) and os.path.isdir(os.path.dirname(place))]

    def _may_stand(self, place: bytes) -> bool:
        try:
            return self._disk.is_there(os.fsdecode(place))
        except OSError:  # What was hashed there is hashed only once more if this disk is to fail for good.
            return True

    # --- how it goes -----------------------------------------------------------------------------------------------

    def collect(self, spare: Spare | SpareSnapshot, keep: Keep) -> int | None:
        if isinstance(spare, Spare):
            freed = self._collect_own(spare, keep)
        else:
            copies = self._copies()
            freed = None if copies is None else copies.collect(spare, keep)
        if freed is not None:
            self._drop_rows_of_gone()
        return freed

    def _collect_own(self, spare: Spare, keep: Keep) -> int | None:
        if spare.manifest in keep.pinned or spare.manifest in keep.busy:
            return None
        if spare.folder != own_folder(self._home, spare.manifest):
            return None
        rows = [row for row in self._own_rows(spare.manifest) if row.origin is Origin.OWN]
        if not rows:
            return None
        return self._remove(spare.manifest, rows)

    def sweep(self, keep: Keep, stopped: Callable[[], bool]) -> Swept:
        removed: list[Leftover] = []
        for name in self._unnamed(keep):
            if stopped():
                break
            manifest = _named(name)
            rows_of = [] if manifest is None else [r for r in self._own_rows(manifest) if r.origin is Origin.OWN]
            freed = self._take_apart(name) if manifest is None else self._remove(manifest, rows_of)
            if freed is not None:
                removed.append(Leftover(self._files / name, freed))
        for name in self._opened.names():
            if not stopped() and (gone_there := self._opened.remove(name)) is not None:
                removed.append(gone_there)
        copies = self._copies()
        if copies is not None:
            removed += copies.sweep(stopped)
        rows = len(end(self._holdings, self._log, ended(self._holdings, keep)))
        rows += self._drop_rows_of_gone()
        removed += self._drafts.sweep(stopped)
        gone = self._places_gone()
        self._holdings.index.forget_hashed(gone)
        blobs = blob_bytes = 0
        for some in _batches(self._unneeded(keep), BLOBS_AT_ONCE):
            if stopped():
                break
            put_before = time.time() - YOUNG_S
            blob_bytes += self._blobs.remove([digest for digest, _ in some], put_before=put_before)
            blobs += len(some)
        return Swept(tuple(removed), blobs, blob_bytes, rows + len(gone))

    def _remove(self, manifest: Digest, rows: list[HoldingRow]) -> int | None:
        """Forget what the own store has of a manifest and remove it. None if it is pinned or written to by now."""
        folder = own_folder(self._home, manifest)
        if self._is_needed(folder, rows):
            return None
        if not _is_folder(folder):
            self._forget(manifest, rows)  # Somebody removed it: there is nothing to claim, nor to remove.
            return 0
        try:
            destination = Destination(self._disk, folder, manifest)
        except Occupied:
            return None
        try:
            if not self._forget(manifest, rows):
                if destination.fresh:
                    destination.clear()
                return None
            with self._opened_files() as files:
                aside = set_aside(self._disk, folder.name, dir_fd=files)
        finally:
            destination.close()
        unlinked: list[Unlinked] = []
        try:
            return self._take_apart(aside, unlinked.append)
        finally:
            self._renew(manifest, unlinked)

    def _is_needed(self, folder: Path, rows: Sequence[HoldingRow]) -> bool:
        """Whether anything but `rows` is held in a folder of the own store."""
        ids = [row.id for row in rows]
        # Where links lead on the way to it, too: what was adopted from there is known by that place.
        return any(self._index.is_needed_by_others(at, ids) for at in {folder, Path(os.path.realpath(folder))})

    def _renew(self, manifest: Digest, unlinked: Sequence[Unlinked]) -> None:
        """Note how files are now that are held elsewhere, too, by another name: given to another program, say."""
        known = self._holdings.manifests.manifest(manifest) if unlinked else None
        if known is None:
            return
        found = ((known.number_of(file.path), file) for file in unlinked)
        files = [(root_key(known.files[number]), file.was, file.now) for number, file in found if number is not None]
        self._holdings.index.renew(files, empty_of=manifest)

    def _forget(self, manifest: Digest, rows: list[HoldingRow]) -> bool:
        """Forget a holding, durably, unless it is pinned by now, was recorded anew meanwhile, or something else in its
        folder was."""
        with self._log.changing():
            if self._log.get(PIN, mark_key(manifest)) is not None:
                return False
            if {row.id for row in self._own_rows(manifest)} != {row.id for row in rows}:
                return False
            if self._is_needed(own_folder(self._home, manifest), rows):
                return False
            for row in rows:
                self._index.retire(row)
            self._log.remove(HOLDING, holding_key(manifest, own_folder(self._home, manifest)))
        return True

    def _take_apart(self, name: str, unlinked: Callable[[Unlinked], None] = lambda file: None) -> int:
        with self._opened_files() as files:
            try:
                return remove_tree(self._disk, name, dir_fd=files, unlinked=unlinked)
            except FileNotFoundError:  # Another collection is at it.
                return 0

    @contextlib.contextmanager
    def _opened_files(self) -> Iterator[int]:
        fd = os.open(self._files, FOLDER_FLAGS & ~os.O_NOFOLLOW)  # A user may have it on another disk, by a link.
        try:
            yield fd
        finally:
            os.close(fd)

    def _drop_rows_of_gone(self) -> int:
        """Remove the rows of what was forgotten, and of contents that nothing has any more. Returns of how many."""
        gone = self._index.gone()
        for holding, _ in gone:
            self._index.drop_rows(holding)
        return len(gone) + self._holdings.noting.drop_unheld()


def _is_folder(path: Path) -> bool:
    """Whether a folder stands there itself. Raises OSError where the disk does not say: then it may."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _batches(items: Iterable[T], count: int) -> Iterator[list[T]]:
    waiting = iter(items)
    while some := list(islice(waiting, count)):
        yield some


def _named(name: str) -> Digest | None:
    """Return the manifest that a folder of the own store is named by, None if by none."""
    try:
        digest = Digest(bytes.fromhex(name))
    except (ValueError, Malformed):
        return None
    return digest if digest.raw.hex() == name else None
