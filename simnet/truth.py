"""The truth about the content of a run, made from the seed: what every byte must be, known apart from what is tested.

The files are cut and described here; whoever publishes gets them put into its store, whoever checks compares with them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from p2phub import limits
from p2phub.content import ChunkList, ChunkTable, Digest, chunk_list, digest_of, encode_lists
from p2phub.manifest import FileEntry, Manifest, encode_manifest
from p2phub.store import HashedFile, Store
from p2phub.store.memory import MemoryStore
from p2phub.store.memory_files import MemoryFile
from simnet.det import Chance


@dataclass(frozen=True)
class Truth:
    """Some files and all that describes them. `root` is the manifest's digest."""

    files: dict[str, bytes]
    manifest: Manifest
    root: Digest
    lists: tuple[ChunkList, ...]
    table: ChunkTable
    blobs: tuple[bytes, ...]
    shared: dict[str, MemoryFile] = field(default_factory=dict)
    """Files of those who publish and never change them; made when the first one does."""

    def chunk(self, index: int) -> bytes:
        ref = self.table.chunk(index)
        return self.files[self.manifest.files[ref.file].path][ref.offset : ref.offset + ref.length]

    @property
    def bytes_total(self) -> int:
        return self.table.bytes_total


def truth_of(lengths: Mapping[str, int], chunk_bytes: int, chance: Chance) -> Truth:
    """Make files of these lengths, cut every `chunk_bytes`."""
    files = {path: chance.of("content", path).randbytes(lengths[path]) for path in sorted(lengths, key=str.encode)}
    entries: list[FileEntry] = []
    lists: list[ChunkList] = []
    blobs: list[bytes] = []
    for path, data in files.items():
        parts = [data[at : at + chunk_bytes] for at in range(0, len(data), chunk_bytes)]
        chunks = chunk_list([len(part) for part in parts], b"".join(digest_of(part).raw for part in parts))
        root, list_blobs = encode_lists(chunks)
        small = len(data) <= limits.GIT_SHA1_FILE_BYTES_MAX
        sha1 = hashlib.sha1(b"blob %d\0" % len(data) + data).digest() if small else None
        entries.append(FileEntry(path, len(data), len(chunks), root, hashlib.sha256(data).digest(), sha1))
        lists.append(chunks)
        blobs += list_blobs
    manifest = Manifest(tuple(entries))
    pages = encode_manifest(manifest)
    return Truth(files, manifest, digest_of(pages[0]), tuple(lists), ChunkTable(lists), (*pages, *blobs))


def publish(store: MemoryStore, truth: Truth, folder: Path, *, shared: bool) -> None:
    """Put the content into `folder` of `store`, as if it had been hashed there.

    `shared`: in files that are there once for all, for fifty copies would be gigabytes. Nobody may write to them.
    """
    for path, data in truth.files.items():
        if shared:
            if path not in truth.shared:
                truth.shared[path] = MemoryFile(data)
            store.folders.setdefault(folder, {})[path] = truth.shared[path]
        else:
            store.put_file(folder, path, data)
    store.put_blobs(truth.blobs)
    store.hold(truth.manifest, truth.root, folder, hashed(store, truth, folder))


def hashed(store: Store, truth: Truth, folder: Path) -> list[HashedFile]:
    """Return what a read pass over `folder`, which has the content, would have found."""
    found = []
    for entry, chunks in zip(truth.manifest.files, truth.lists, strict=True):
        opened = store.open_in_place(folder, entry.path)
        found.append(HashedFile(entry, chunks, store.fingerprint_of(opened), True))
        opened.close()
    return found
