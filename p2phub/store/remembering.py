"""What is known of the files of a folder without reading them: what those hashed who held something there.

A folder may be published a thousand times. What the newest holding says counts, and is nearly all; older ones are read
only where their rows in the index tell of a file that it does not have: one that was moved away and came back, or what
another fetch put there. The chunks of a file are read for the newest word on its path alone.
"""

from __future__ import annotations

import os
from pathlib import Path

from p2phub import limits
from p2phub.errors import Damaged, DiskError
from p2phub.manifest import Manifest
from p2phub.store.database import DOUBTED
from p2phub.store.fingerprints import Fingerprint
from p2phub.store.holdings import Holdings
from p2phub.store.index import HoldingRow
from p2phub.store.interface import HashedFile

NEWEST = 4
LARGE_BYTES = limits.MIB
"""Of this many of the newest holdings all files count, of older ones those of this size and more: to hash a README anew
takes less than to read what each of a thousand versions was."""


def is_as_hashed(holdings: Holdings, folder: Path, path: str, found: Fingerprint) -> bool:
    """Whether a file of `folder`, as it is `found`, is what one of the newest holdings there has at its path. Not for
    certain, so it says what to tell a user, and never what a file holds. Raises DiskError."""
    for row in holdings.index.in_folder(Path(os.path.abspath(folder)))[:NEWEST]:
        manifest = _manifest(holdings, row)
        number = None if manifest is None else manifest.number_of(path)
        file = None if number is None else holdings.index.file(row.id, number)
        if file is not None and file.standing != DOUBTED and file.fingerprint == found:
            return True
    return False


def remembered(holdings: Holdings, folder: Path) -> dict[str, HashedFile]:
    """Return what is known of the files of `folder` by a trusted fingerprint; the newest word on each path. Raises
    DiskError."""
    folder = Path(os.path.abspath(folder))
    found: dict[str, HashedFile] = {}
    seen: set[Fingerprint] = set()
    for age, row in enumerate(holdings.index.in_folder(folder)):
        trusted = holdings.index.trusted(row.id, bytes_least=0 if age < NEWEST else LARGE_BYTES)
        fresh = [(file.number, file.fingerprint) for file in trusted if file.fingerprint not in seen]
        manifest = _manifest(holdings, row) if fresh else None
        if manifest is None:
            continue
        for number, fingerprint in fresh:
            if number >= len(manifest.files) or fingerprint is None:
                break
            entry = manifest.files[number]
            if entry.path not in found:
                try:
                    chunks = None if entry.chunks <= 1 else holdings.manifests.chunks_of(entry)
                except (Damaged, DiskError):
                    continue
                found[entry.path] = HashedFile(entry, chunks, fingerprint, True)
        seen.update(fingerprint for _, fingerprint in fresh if fingerprint is not None)
    return found


def _manifest(holdings: Holdings, row: HoldingRow) -> Manifest | None:
    """Return what was held; None where that is not to be read, whatever keeps it from us: then its files are read."""
    try:
        return holdings.manifests.manifest(row.manifest)
    except DiskError:
        return None
