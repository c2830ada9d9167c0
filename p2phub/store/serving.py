"""How what is held is served: from which folder, and files of it alone.

A file is served only while it has the fingerprint under which its bytes were hashed. Files of a manifest that is held
can be had alone, too (`manifest.alone`). Functions raise DiskError.
"""

from __future__ import annotations

import os
from pathlib import Path

from p2phub.content import Digest, RangeSet, Readable, ReadPlan
from p2phub.errors import ContentChanged
from p2phub.manifest import Manifest, is_alone
from p2phub.store.holding import Origin
from p2phub.store.holdings import Holdings
from p2phub.store.index import HoldingRow
from p2phub.store.interface import HashedFile
from p2phub.store.opening import Alone, Opener, open_in


def read_plan(holdings: Holdings, digest: Digest) -> ReadPlan | None:
    """Return how to serve a manifest, from the folder that holds most of it; or a file alone that is in one."""
    known = holdings.known(digest)
    if known is None:
        return None
    best: tuple[int, HoldingRow, RangeSet] | None = None
    for row in holdings.rows(digest):
        held = holdings.held(row, known.table)
        if not held and row.origin is Origin.SHARED:
            continue  # By a place's word alone nothing is held.
        if best is None or len(held) > best[0]:
            best = (len(held), row, held)
    if best is not None and (best[0] == len(known.table) or not is_alone(known.manifest)):
        _, row, held = best
        holdings.note_used(row)
        opener = Opener(holdings.index.files(row.id), known.manifest, row.folder)
        return ReadPlan(digest, known.table, held, opener, None if opener.places else opener.walks)
    if is_alone(known.manifest):
        whole = RangeSet.whole(len(known.table))
        for row, number in holdings.where_part(digest):
            files = holdings.opener(row)
            if files is not None and files.has(number):
                holdings.note_used(row)
                return ReadPlan(digest, known.table, whole, Alone(files, number))
    return None


def open_held(holdings: Holdings, digest: Digest, folder: Path, file: int) -> Readable:
    """Open a file of a holding as it stands now. Raises ContentChanged, DiskError."""
    folder = Path(os.path.abspath(folder))
    manifest = holdings.manifests.manifest(digest)
    rows = [row for row in holdings.rows(digest) if row.folder == folder]
    if manifest is None or not rows:
        raise ContentChanged(f"{folder} is not held any more")
    return open_in(rows[0], manifest.files[file], holdings.index.file(rows[0].id, file))


def files_of(row: HoldingRow, manifest: Manifest, holdings: Holdings) -> list[HashedFile]:
    """Return the files of a holding that is whole, each where it stands, links followed."""
    opener = Opener(holdings.index.files(row.id), manifest, row.folder)
    return [
        HashedFile(
            entry,
            None,
            opener.expected(number)[1],
            opener.trusts(number),
            opener.path(number) if number in opener.places else Path(os.path.realpath(opener.path(number))),
        )
        for number, entry in enumerate(manifest.files)
    ]


def parts(holdings: Holdings, digest: Digest) -> tuple[Digest, ...]:
    """Return the files alone that a held manifest has."""
    rows = holdings.rows(digest)
    return tuple(dict.fromkeys(part for row in rows for part in holdings.contents.parts(row.id)))


def manifests_with(holdings: Holdings, part: Digest) -> tuple[Digest, ...]:
    """Return the held manifests that have this file alone, and itself, if it is held so beside them."""
    found = [row.manifest for row, _ in holdings.where_part(part)]
    if found and holdings.rows(part):
        found.append(part)
    return tuple(dict.fromkeys(found))
