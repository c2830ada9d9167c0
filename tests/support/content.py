"""Content to move in tests of wire and net: files in a folder, cut and described as a manifest, offered and written."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from p2phub import limits
from p2phub.content import (
    ChunkList,
    ChunkTable,
    Digest,
    RangeSet,
    ReadPlan,
    Steady,
    WritePlan,
    chunk_list,
    digest_of,
    encode_lists,
)
from p2phub.errors import ContentChanged, PeerRefused
from p2phub.identity import PeerId
from p2phub.manifest import FileEntry, Manifest, encode_manifest
from p2phub.net import Offer
from p2phub.wire import flight_order


@dataclass(frozen=True)
class Content:
    """Some files and all that describes them. `root` is the manifest's digest."""

    manifest: Manifest
    root: Digest
    table: ChunkTable
    blobs: dict[Digest, bytes]
    files: dict[str, bytes]

    def chunk(self, index: int) -> bytes:
        ref = self.table.chunk(index)
        return self.files[self.manifest.files[ref.file].path][ref.offset : ref.offset + ref.length]

    def path_of(self, file: int) -> str:
        return self.manifest.files[file].path

    @property
    def order(self) -> tuple[Digest, ...]:
        return flight_order(self.root, self.blobs.get)

    @property
    def whole(self) -> RangeSet:
        return RangeSet.whole(len(self.table))


def content_of(files: Mapping[str, bytes], chunk_bytes: int = 1 << 20) -> Content:
    """Describe `files`, cut every `chunk_bytes`."""
    entries: list[FileEntry] = []
    lists: list[ChunkList] = []
    blobs: dict[Digest, bytes] = {}
    for path in sorted(files, key=str.encode):
        data = files[path]
        parts = [data[at : at + chunk_bytes] for at in range(0, len(data), chunk_bytes)]
        chunks = chunk_list([len(part) for part in parts], b"".join(digest_of(part).raw for part in parts))
        root, list_blobs = encode_lists(chunks)
        blobs |= {digest_of(blob): blob for blob in list_blobs}
        small = len(data) <= limits.GIT_SHA1_FILE_BYTES_MAX
        sha1 = hashlib.sha1(b"blob %d\0" % len(data) + data).digest() if small else None
        entries.append(FileEntry(path, len(data), len(chunks), root, hashlib.sha256(data).digest(), sha1))
        lists.append(chunks)
    manifest = Manifest(tuple(entries))
    pages = encode_manifest(manifest)
    blobs |= {digest_of(page): page for page in pages}
    return Content(manifest, digest_of(pages[0]), ChunkTable(lists), blobs, dict(files))


def random_files(seed: int, **lengths: int) -> dict[str, bytes]:
    """Make files of these lengths: `random_files(1, model=3_000_000)` has one called `model.bin`."""
    return {
        f"{name}.bin": hashlib.shake_128(f"{seed} {name}".encode()).digest(length) for name, length in lengths.items()
    }


class OpenFile:
    """`content.Readable` of a file on the disk; its fingerprint is size and modification time."""

    def __init__(self, path: Path, fingerprint: tuple[int, int]) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDONLY)
        except OSError as exc:
            raise ContentChanged(f"{path.name} is gone") from exc
        self._fingerprint = fingerprint

    @property
    def descriptor(self) -> int:
        return self._descriptor

    @property
    def steady(self) -> Steady:
        size, mtime_ns = self._fingerprint
        found = os.fstat(self._descriptor)
        return Steady((found.st_dev, found.st_ino, size, mtime_ns, found.st_ctime_ns))

    def unchanged(self) -> bool:
        found = os.fstat(self._descriptor)
        return (found.st_size, found.st_mtime_ns) == self._fingerprint

    def close(self) -> None:
        os.close(self._descriptor)


class Published:
    """A shelf with one content, whose files stand in `folder`. Remembers what it was told."""

    def __init__(self, content: Content, folder: Path, *, held: RangeSet | None = None) -> None:
        self.content, self.folder = content, folder
        self.held = content.whole if held is None else held
        self.grows = False
        self.allowed: set[PeerId] | None = None
        self.bytes_sent = 0
        self.changes: list[int] = []
        self.requesters: list[PeerId] = []
        self._lock = threading.Lock()
        self._fingerprints: dict[int, tuple[int, int]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for number, entry in enumerate(content.manifest.files):
            path = folder / entry.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.files[entry.path])
            self._fingerprints[number] = (path.stat().st_size, path.stat().st_mtime_ns)

    def offer(self, manifest: Digest, requester: PeerId) -> Offer:
        with self._lock:
            self.requesters.append(requester)
        if manifest != self.content.root or (self.allowed is not None and requester not in self.allowed):
            raise PeerRefused("not here", reason="unknown")
        plan = ReadPlan(manifest, self.content.table, self.held, self._open)
        return Offer(plan, self.content.order, self.content.blobs.get, (lambda: self.held) if self.grows else None)

    def _open(self, file: int) -> OpenFile:
        return OpenFile(self.folder / self.content.path_of(file), self._fingerprints[file])

    def sent(self, manifest: Digest, requester: PeerId, bytes_sent: int) -> None:
        with self._lock:
            self.bytes_sent += bytes_sent

    def changed(self, manifest: Digest, file: int) -> None:
        with self._lock:
            self.changes.append(file)


@dataclass
class Arriving:
    """A folder that content is written to."""

    content: Content
    folder: Path
    opened: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        for entry in self.content.manifest.files:
            (self.folder / entry.path).parent.mkdir(parents=True, exist_ok=True)

    @property
    def plan(self) -> WritePlan:
        return WritePlan(self.content.root, self.content.table, self._open, self.content.path_of)

    def _open(self, file: int) -> int:
        self.opened.append(file)
        return os.open(self.folder / self.content.path_of(file), os.O_RDWR | os.O_CREAT, 0o644)

    def write(self, chunk: int, data: bytes) -> None:
        ref = self.content.table.chunk(chunk)
        descriptor = self._open(ref.file)
        try:
            os.pwrite(descriptor, data, ref.offset)
        finally:
            os.close(descriptor)

    def files(self) -> dict[str, bytes]:
        """Return what was written, by path."""
        return {
            entry.path: (self.folder / entry.path).read_bytes()
            for entry in self.content.manifest.files
            if (self.folder / entry.path).exists()
        }
