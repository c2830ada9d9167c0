"""Files in doubt: how one comes to be, and how it is looked at again.

A file that was read and is not what was hashed is doubted, and its chunks are not held, until it is hashed again and
found right. After the index was lost, all are. Functions raise DiskError.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from p2phub.content import Codec, Digest, RangeSet
from p2phub.errors import DiskError
from p2phub.manifest import FileEntry, Manifest, is_alone
from p2phub.store.blobs import Blobs
from p2phub.store.database import DOUBTED, HELD, TRUSTED
from p2phub.store.disk import disk_errors
from p2phub.store.earlier import settle_earlier
from p2phub.store.fingerprints import Fingerprint
from p2phub.store.folders import OpenFile, open_place
from p2phub.store.holding import DRAFT, Away, LookedAgain, Origin
from p2phub.store.holdings import Holdings
from p2phub.store.index import FileRow, HoldingRow
from p2phub.store.known import Known
from p2phub.store.mapped import shows_writes
from p2phub.store.opening import open_in
from p2phub.store.rehash import is_equal
from p2phub.store.source import is_replaced, source_of


def mark_changed(holdings: Holdings, digest: Digest, file: int) -> None:
    """Doubt a file: where several folders hold it, in those where it really is not what was hashed."""
    places = [(row, file) for row in holdings.rows(digest)]
    places += holdings.where_part(digest) if file == 0 else []
    for row, number in places:
        if len(places) == 1 or not _is_unchanged(holdings, row, number):
            holdings.index.doubt(row.id, number)


def mark_damaged(holdings: Holdings, digest: Digest, folder: Path, file: int) -> None:
    """Doubt a file that was read and is wrong, under whatever manifest its folder holds it, and in whatever other
    holding has it where it stands: repositories of a cache share their blobs."""
    manifest = holdings.manifests.manifest(digest)
    if manifest is None:
        return
    folder, path = Path(os.path.abspath(folder)), manifest.files[file].path
    places = {os.fsencode(folder / path)}
    for row in holdings.index.in_folder(folder):
        other = holdings.manifests.manifest(row.manifest)
        if other is not None and (number := other.number_of(path)) is not None:
            known = holdings.index.file(row.id, number)
            places |= {known.place} if known is not None and known.place is not None else set()
            holdings.index.doubt(row.id, number)
    for place in places:
        for holding, number in holdings.index.at_place(place):
            holdings.index.doubt(holding, number)


def mark_right(
    holdings: Holdings, digest: Digest, folder: Path, file: int, found: Fingerprint, *, trusted: bool
) -> bool:
    """Hold a file again that was read, as it is `found`, and is right. Returns whether that changed anything."""
    manifest = holdings.manifests.manifest(digest)
    rows = [row for row in holdings.index.in_folder(Path(os.path.abspath(folder))) if row.manifest == digest]
    if manifest is None or not rows:
        return False
    was = holdings.index.file(rows[0].id, file)
    if was is not None and was.standing != DOUBTED and was.fingerprint == found:
        return False
    place = _place(rows[0], manifest, manifest.files[file], was)
    _stand(holdings, rows[0], file, found, place, trusted=trusted)
    return True


def look_again(holdings: Holdings, digest: Digest, file: int) -> LookedAgain:
    """Read a file in doubt again, wherever it is held."""
    places = [(row, file) for row in holdings.rows(digest)]
    places += holdings.where_part(digest) if file == 0 else []
    restored, lost, gone = 0, list[str](), list[Path]()
    for row, number in places:
        known, found = holdings.known(row.manifest), holdings.index.file(row.id, number)
        if known is None or found is None or found.standing != DOUBTED:
            continue
        if found.fingerprint is None and row.origin is Origin.SHARED:
            continue  # Never looked at by us, so not lost either.
        opened = _hash_again(holdings, row, known, number)
        now = holdings.index.file(row.id, number)
        if now is None or now.standing == DOUBTED:
            entry = known.manifest.files[number]
            lost.append(str(_place(row, known.manifest, entry, found) or row.folder / entry.path))
            gone += [] if opened else [row.folder]
        else:
            restored += 1
    return LookedAgain(restored, tuple(lost), tuple(gone))


def in_doubt(holdings: Holdings, digest: Digest, folder: Path) -> RangeSet:
    """Return which files of a holding are in doubt that were held there."""
    known = holdings.known(digest)
    row = next((row for row in holdings.rows(digest) if row.folder == folder), None)
    if known is None or row is None:
        return RangeSet()
    return RangeSet.ascending(holdings.doubted(row, known.manifest)) & holdings.meant(row, known.manifest)


def away(holdings: Holdings) -> Iterator[Away]:
    """Yield what is held by this home's own word and, in part at least, not there."""
    for row in holdings.own_word():
        try:
            known = holdings.known(row.manifest)
        except DiskError:  # Of this one it is not known what to look for.
            continue
        if known is None:
            continue
        doubted = RangeSet.ascending(holdings.doubted(row, known.manifest)) & holdings.meant(row, known.manifest)
        gone = next((file for file in doubted if not _can_be_opened(holdings, row, known, file)), None)
        if gone is not None:
            yield Away(row.manifest, row.folder, gone)


def _can_be_opened(holdings: Holdings, row: HoldingRow, known: Known, file: int) -> bool:
    try:
        _open(holdings, row, known, file)[0].close()
    except DiskError:
        return False
    return True


def check(holdings: Holdings, blobs: Blobs) -> list[str]:
    """Mend what can be mended: index, blobs, files in doubt (hashed again). Returns what was done, in words."""
    holdings.index.database.check()
    recalled = holdings.recall()
    rotted, unread = blobs.scrub()
    holdings.noting.note_chunks()  # By what is noted of files it is told which of them versions have in common.
    seen: set[Path] = set()
    for row in holdings.own_word():
        with contextlib.suppress(DiskError):  # Of metadata, or a file, that the disk fails at: the others are mended.
            known = holdings.known(row.manifest)
            if known is None:
                continue
            for file in _to_look_at(holdings, row, known.manifest):
                with contextlib.suppress(DiskError):
                    _hash_again(holdings, row, known, file)
            if row.folder not in seen:  # The newest: what earlier ones share with it need not be read once more.
                seen.add(row.folder)
                settle_earlier(holdings, known.manifest, row.manifest, row.folder)
    said = holdings.index.database.mended[:]
    holdings.index.database.mended.clear()
    if recalled:
        said.append(f"the index did not know {recalled} of the folders that are held, and was told again")
    if rotted:
        said.append(f"{rotted} blobs had rotted and were dropped")
    if unread:
        said.append(f"{unread} blobs could not be read: check the disk")
    for row in holdings.own_word():
        where = f"{row.manifest.text(Codec.MSGPACK)} in {row.folder}"
        problem = "its metadata is missing"
        try:
            known = holdings.known(row.manifest)
        except DiskError as error:
            known, problem = None, error.message
        if known is None:
            said.append(f"{where} is not served: {problem}; publish or fetch it again")
        elif doubted := RangeSet.ascending(holdings.doubted(row, known.manifest)) & holdings.meant(row, known.manifest):
            said.append(f"{where}: {len(doubted)} files are not what was hashed, or not there, and not served")
    return said


def _to_look_at(holdings: Holdings, row: HoldingRow, manifest: Manifest) -> RangeSet:
    """Return which files of a holding are in doubt; of an earlier version not those that were replaced."""
    doubted = RangeSet.ascending(holdings.doubted(row, manifest))
    return doubted & holdings.meant(row, manifest) if is_replaced(row) else doubted


def _is_unchanged(holdings: Holdings, row: HoldingRow, file: int) -> bool:
    known, found = holdings.known(row.manifest), holdings.index.file(row.id, file)
    if known is None or found is None or found.standing == DOUBTED:
        return False
    try:
        open_in(row, known.manifest.files[file], found, expected=found.fingerprint).close()
    except DiskError:
        return False
    return True


def _open(holdings: Holdings, row: HoldingRow, known: Known, file: int) -> tuple[OpenFile, Path | None]:
    """Open a file in doubt where it stands, and say where that is, if not below its folder. Raises DiskError."""
    entry = known.manifest.files[file]
    was = holdings.index.file(row.id, file)
    place = _place(row, known.manifest, entry, was)
    return (open_in(row, entry, was) if place is None else open_place(place)), place


def _hash_again(holdings: Holdings, row: HoldingRow, known: Known, file: int) -> bool:
    """Hash a doubted file; it is held again if it is what it should be. Returns whether it could be opened."""
    entry = known.manifest.files[file]
    try:
        found, place = _open(holdings, row, known, file)
    except DiskError:
        return False
    try:
        with disk_errors(f"read {row.folder / entry.path}"):
            trusted = found.expected.settled(time.time_ns()) and shows_writes(found.descriptor)
            right = found.expected.size == entry.size and is_equal(found.descriptor, known.table, file)
            if right and found.unchanged():
                _stand(holdings, row, file, found.expected, place, trusted=trusted)
            return True
    finally:
        found.close()


def _stand(
    holdings: Holdings, row: HoldingRow, file: int, found: Fingerprint, place: Path | None, *, trusted: bool
) -> None:
    standing = TRUSTED if trusted else HELD
    where = None if place is None else os.fsencode(place)
    holdings.index.stand(row.id, file, FileRow(file, standing, found, where))


def _place(row: HoldingRow, manifest: Manifest, entry: FileEntry, known: FileRow | None) -> Path | None:
    """Return where a file of a holding stands, if not below its folder. Of an adopted one, or one of a draft, it is
    found out anew when the index was lost: whatever a link leads to by then, only its content counts."""
    if known is not None and known.place is not None:
        return Path(os.fsdecode(known.place))
    if row.origin is not Origin.ADOPTED and source_of(row) != DRAFT:
        return None
    return row.folder if is_alone(manifest) else Path(os.path.realpath(row.folder / entry.path))
