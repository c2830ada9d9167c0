"""Earlier versions of a folder, when a newer one is recorded there: what is left of each, and when one ends.

A folder that is published, or fetched to, again and again holds each version under its own manifest. The newest says
how the files stand now. What an earlier one shares with it is held as before; what stands under another path by now, or
somewhere else, is held there (of what is published, which is only ever read); what was replaced is not held any more,
from the same moment on, and is neither damaged nor in doubt: it is gone by the user's own will. Of what the newest does
not have, the disk is asked. Of which nothing is left, that may be forgotten, unless somebody keeps it.
Source: docs/decisions/0114-earlier-versions.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path

import msgspec

from p2phub.content import Digest
from p2phub.errors import Damaged
from p2phub.manifest import FileEntry, Manifest, pack
from p2phub.store.database import DOUBTED, HELD, TRUSTED
from p2phub.store.fingerprints import Fingerprint
from p2phub.store.folders import fingerprint
from p2phub.store.hashed import note_hashed
from p2phub.store.holding import Origin
from p2phub.store.holdings import Holdings
from p2phub.store.index import FileRow, FileState, HoldingRow
from p2phub.store.interface import HashedFile
from p2phub.store.keeping import Keep
from p2phub.store.ledger import PIN, PUBLICATION, mark_key
from p2phub.store.logged import HOLDING, holding_key
from p2phub.store.noting import root_key
from p2phub.store.remembering import LARGE_BYTES
from p2phub.store.source import REPLACED, WHOLE, is_replaced, made_of_selection, packed_source
from p2phub.store.state_log import StateLog

ELSEWHERE_MAX = 8  # Places that are looked at for one content: others have the same, or only its first eight bytes.
_GONE = FileState(DOUBTED, None, None, None)


class _Now(Enum):
    """How a file stands that the newest version says nothing of."""

    AS_IT_WAS = 0
    ANOTHER = 1
    GONE = 2


class _Newest(msgspec.Struct, frozen=True):
    """The version that was just recorded. `numbers`: one of its files with each content."""

    row: HoldingRow
    manifest: Manifest
    numbers: Mapping[Digest, int]


def settle_earlier(holdings: Holdings, manifest: Manifest, digest: Digest, folder: Path) -> None:
    """Note what is left of the versions that `folder` held before `manifest` was recorded there. Raises DiskError."""
    rows = [row for row in holdings.index.in_folder(Path(os.path.abspath(folder))) if _is_the_users(row)]
    newest = next((row for row in rows if row.manifest == digest), None)
    earlier = {row.id: row for row in rows if newest is not None and row.id < newest.id}
    if newest is None or not earlier:
        return
    now = _Newest(newest, manifest, {entry.root: number for number, entry in enumerate(manifest.files)})
    for holding, files in holdings.earlier.not_as_in(newest.id, list(earlier)):
        _settle(holdings, earlier[holding], files, now)
    holdings.noting.drop_unheld()


def _is_the_users(row: HoldingRow) -> bool:
    """Whether a holding is of files that the user may replace, in place."""
    in_place = packed_source(row) in ([], WHOLE, REPLACED) or made_of_selection(row) is not None
    return row.origin in (Origin.PUBLISHED, Origin.FETCHED) and in_place


def _settle(holdings: Holdings, row: HoldingRow, files: Iterable[FileRow], newest: _Newest) -> None:
    manifest = holdings.manifests.manifest(row.manifest)
    if manifest is None:  # Nothing of it can be served, nor told.
        return
    changes: dict[int, FileState] = {}
    for file in files:
        if file.number < len(manifest.files):
            state = _state_now(holdings, row, manifest.files[file.number], file, newest)
            if state is not None:
                changes[file.number] = state
    if not changes:
        return
    source: Sequence[object] = packed_source(row)
    if made_of_selection(row) is None and any(state is _GONE for state in changes.values()):
        source = REPLACED
    holdings.earlier.settle(row.id, changes, pack(source))
    # The log last: a new index, which begins with it, has every file in doubt and claims nothing.
    holdings.note_source(row, source)


def _state_now(
    holdings: Holdings, row: HoldingRow, entry: FileEntry, file: FileRow, newest: _Newest
) -> FileState | None:
    """Return how a file of an earlier version stands now, None: as it is recorded."""
    number = newest.manifest.number_of(entry.path)
    found = None if number is None else _standing(holdings, newest.row, number)
    if number is not None and found is not None and newest.manifest.files[number].root == entry.root:
        return None if _is_left_out(row, file) else FileState(*found, root_key(entry))
    if file.fingerprint is None:
        return None
    if found is None or file.place is not None:
        now = _look(Path(os.fsdecode(file.place)) if file.place is not None else row.folder / entry.path, file)
        if now is _Now.AS_IT_WAS:
            return None
        if now is _Now.ANOTHER and file.place is None:  # Nobody hashed it: it is in doubt, and may still be right.
            return None if file.standing == DOUBTED else FileState(DOUBTED, file.fingerprint, None, root_key(entry))
        if file.place is None:
            _remember(holdings, row.folder / entry.path, entry, file)
    return _elsewhere(holdings, row, entry, newest) or _GONE


def _is_left_out(row: HoldingRow, file: FileRow) -> bool:
    """Whether a file was no part of what was fetched."""
    return file.fingerprint is None and row.origin is Origin.FETCHED


def _standing(holdings: Holdings, row: HoldingRow, number: int) -> tuple[int, Fingerprint, bytes | None] | None:
    """Return how a file of a holding stands, None if it is in doubt."""
    file = holdings.index.file(row.id, number)
    if file is None or file.standing == DOUBTED or file.fingerprint is None:
        return None
    return file.standing, file.fingerprint, file.place


def _look(place: Path, file: FileRow) -> _Now:
    try:
        found = fingerprint(os.stat(place))
    except (FileNotFoundError, NotADirectoryError):
        return _Now.GONE
    except OSError:  # Of what the disk does not tell nothing is known.
        return _Now.AS_IT_WAS
    return _Now.AS_IT_WAS if found == file.fingerprint else _Now.ANOTHER


def _remember(holdings: Holdings, place: Path, entry: FileEntry, file: FileRow) -> None:
    """Note what a large file was that was moved away: when it comes back it need not be read again."""
    if file.standing != TRUSTED or file.fingerprint is None or entry.size < LARGE_BYTES:
        return
    try:
        chunks = None if entry.chunks <= 1 else holdings.manifests.chunks_of(entry)
    except Damaged:
        return
    hashed = HashedFile(entry, chunks, file.fingerprint, True)
    note_hashed({place: hashed}, holdings.index, holdings.blobs)


def _elsewhere(holdings: Holdings, row: HoldingRow, entry: FileEntry, newest: _Newest) -> FileState | None:
    """Return where the content of a file stands under another path, None if nowhere, or if that does not count: what
    was fetched may be repaired, which puts a file at its own path."""
    if row.origin is not Origin.PUBLISHED:
        return None
    number = newest.numbers.get(entry.root)
    places = [] if number is None else [(newest.row, newest.manifest, number)]
    root = root_key(entry)
    if not places and root is not None:
        rows = {each.id: each for each in holdings.index.holdings()}
        for holding, other in holdings.earlier.with_content(root, most=ELSEWHERE_MAX):
            found = rows.get(holding)
            manifest = None if found is None else holdings.manifests.manifest(found.manifest)
            if found is not None and manifest is not None and other < len(manifest.files) and found.id != row.id:
                places.append((found, manifest, other))
    for holder, manifest, at in places:
        standing = _standing(holdings, holder, at)
        if manifest.files[at].root == entry.root and standing is not None:
            _, known, place = standing
            where = os.fsencode(holder.folder / manifest.files[at].path) if place is None else place
            # Links are not followed to a place: where one stood, it is hashed at the next look, or refused.
            if not os.path.islink(os.fsdecode(where)) and _look(Path(os.fsdecode(where)), _as(known)) is _Now.AS_IT_WAS:
                return FileState(HELD, known, where, root)
    return None


def _as(known: Fingerprint) -> FileRow:
    return FileRow(0, HELD, known)


# --- when one ends -----------------------------------------------------------------------------------------------


def ended(holdings: Holdings, keep: Keep, folder: Path | None = None) -> list[HoldingRow]:
    """Return the earlier versions that may be forgotten: of `folder` those of which nothing is left; without it also
    those that are not all there any more, wherever they were. Raises DiskError."""
    rows = holdings.index.holdings() if folder is None else holdings.index.in_folder(Path(os.path.abspath(folder)))
    kept = keep.pinned | keep.busy | keep.published
    found = [row for row in rows if is_replaced(row) and row.manifest not in kept]
    return [row for row in found if folder is None or not _has_any(holdings, row)]


def _has_any(holdings: Holdings, row: HoldingRow) -> bool:
    """Whether anything of a holding can be served."""
    manifest = holdings.manifests.manifest(row.manifest)
    if manifest is None:
        return False
    count = len(manifest.files)
    return any(manifest.files[number].size for number in holdings.index.held(row.id) if number < count)


def end(holdings: Holdings, log: StateLog, rows: Iterable[HoldingRow]) -> list[HoldingRow]:
    """Forget earlier versions, durably, but those that were pinned, published or recorded anew by now. Returns which
    went. Raises DiskError."""
    gone: list[HoldingRow] = []
    for row in rows:
        with log.changing():
            published = {value[0] for value in log.all(PUBLICATION).values() if value}
            is_kept = log.get(PIN, mark_key(row.manifest)) is not None or row.manifest.raw in published
            still = any(each.id == row.id for each in holdings.index.holdings(row.manifest))
            if is_kept or not still:
                continue
            holdings.keeping.retire(row)
            log.remove(HOLDING, holding_key(row.manifest, row.folder))
        gone.append(row)
    for row in gone:
        holdings.keeping.drop_rows(row.id)
    if gone:
        holdings.noting.drop_unheld()
    return gone
