"""What files were when they were hashed, before any holding has them: whoever hashes 300 GB and is stopped goes on from
where they were.

A file is known by its path and believed by its fingerprint. The chunk list is a blob like any other.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from p2phub.content import ChunkList, Digest, decode_lists, encode_lists, pack, unpack
from p2phub.errors import Damaged, DiskError
from p2phub.manifest import FileEntry
from p2phub.store.blobs import Blobs
from p2phub.store.index import Index
from p2phub.store.interface import HashedFile
from p2phub.store.needs import lists_of


def note_hashed(files: Mapping[Path, HashedFile], index: Index, blobs: Blobs) -> None:
    """Remember `files`, durably, by their absolute path. Raises DiskError."""
    # Lists first: what is said to be known can be told.
    blobs.put([blob for file in files.values() if file.chunks is not None for blob in encode_lists(file.chunks)[1]])
    index.note_hashed(
        [(os.fsencode(place), file.fingerprint, _packed(file.entry)) for place, file in files.items() if file.trusted]
    )


def hashed_at(places: Iterable[Path], index: Index, blobs: Blobs) -> dict[Path, HashedFile]:
    """Return what is remembered of the files at `places`. Their paths in a manifest are not: `entry.path` is empty."""
    found: dict[Path, HashedFile] = {}
    if not index.has_hashed():
        return found
    for place in places:
        noted = index.hashed(os.fsencode(place))
        if noted is None:
            continue
        fingerprint, packed = noted
        try:
            entry = _unpacked(packed)
            chunks = None if entry.chunks <= 1 else _list(entry, blobs)
        except (Damaged, DiskError):  # Not ours, or its list has rotted, or is not to be read: it is hashed again.
            continue
        found[place] = HashedFile(entry, chunks, fingerprint, True, place)
    return found


def lists_of_hashed(index: Index, blobs: Blobs) -> Iterator[Digest]:
    """Yield the blobs that what is remembered needs."""
    for place in index.hashed_places():
        noted = index.hashed(place)
        with contextlib.suppress(Damaged):
            if noted is not None:
                entry = _unpacked(noted[1])
                yield from lists_of(entry.root, entry.chunks, blobs.get)


def _list(entry: FileEntry, blobs: Blobs) -> ChunkList:
    def must(digest: Digest) -> bytes:
        blob = blobs.get(digest)
        if blob is None:
            raise Damaged(f"blob {digest} is missing")
        return blob

    return decode_lists(entry.root, entry.size, entry.chunks, must)


def _packed(entry: FileEntry) -> bytes:
    layout = b"" if entry.layout is None else entry.layout.raw
    return pack([entry.size, entry.chunks, entry.root.raw, entry.sha256, entry.git_sha1 or b"", layout])


def _unpacked(packed: bytes) -> FileEntry:
    match unpack(packed):
        case [int(size), int(chunks), bytes(root), bytes(sha256), bytes(git), bytes(layout)]:
            of_layout = Digest(layout) if layout else None
            return FileEntry("", size, chunks, Digest(root), sha256, git or None, of_layout)
        case _:
            raise Damaged("what was noted of a file has another form")
