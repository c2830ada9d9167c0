"""What is known of the files of a folder without reading them: what those hashed who held something there.

A folder may be published a thousand times. What the newest holding says counts, and is nearly all; the next ones are
asked for what it does not have, and only where an index row says that there is any: a file that was moved away and
came back. Of each file the chunks are read once.
"""

from __future__ import annotations

import os
from pathlib import Path

from p2phub.content import ChunkList, Digest
from p2phub.errors import Damaged
from p2phub.manifest import FileEntry
from p2phub.store.database import TRUSTED
from p2phub.store.holdings import Holdings
from p2phub.store.index import FileRow
from p2phub.store.interface import Fingerprint, HashedFile

HOLDINGS_ASKED_MAX = 4
"""The newest of a folder. What only older ones know is hashed again; else publishing cost more with each version."""


def remembered(holdings: Holdings, folder: Path) -> dict[str, HashedFile]:
    """Return what is known of the files of `folder` by a trusted fingerprint; the newest word on each path. Raises
    DiskError."""
    folder = Path(os.path.abspath(folder))
    found: dict[str, HashedFile] = {}
    lists: dict[Digest, ChunkList] = {}
    seen: set[Fingerprint] = set()
    for row in holdings.index.in_folder(folder)[:HOLDINGS_ASKED_MAX]:
        fresh = [file for file in holdings.index.files(row.id) if _is_trusted(file) and file.fingerprint not in seen]
        manifest = holdings.manifests.manifest(row.manifest) if fresh else None
        if manifest is None:
            continue
        for file in fresh:
            if file.number >= len(manifest.files) or file.fingerprint is None:
                break
            entry = manifest.files[file.number]
            if entry.path not in found:
                try:
                    chunks = _chunks(holdings, entry, lists)
                except Damaged:
                    continue
                found[entry.path] = HashedFile(entry, chunks, file.fingerprint, True)
        seen.update(file.fingerprint for file in fresh if file.fingerprint is not None)
    return found


def _is_trusted(file: FileRow) -> bool:
    return file.place is None and file.standing == TRUSTED and file.fingerprint is not None


def _chunks(holdings: Holdings, entry: FileEntry, lists: dict[Digest, ChunkList]) -> ChunkList | None:
    if entry.chunks <= 1:
        return None
    if entry.root not in lists:
        lists[entry.root] = holdings.manifests.chunks_of(entry)
    return lists[entry.root]
