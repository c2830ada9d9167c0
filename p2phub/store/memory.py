"""The store in memory: the second implementation of the port, for tests and for what should leave no trace.

Content lies in anonymous files, since plans speak of descriptors; folders are dictionaries of them. `put_file`,
`file_bytes` and `paths` stand for what a user does to a folder on a disk. Everything ends with the process; "durable"
means noted, and there is never less room than is asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from p2phub.content import ChunkTable, Digest, RangeSet, Readable, ReadPlan, digest_of, encode_lists
from p2phub.errors import ContentChanged, DiskError
from p2phub.manifest import Manifest, encode_manifest
from p2phub.store.interface import Arrival, Fingerprint, FoundFile, HashedFile, Holding, Judge, Scan
from p2phub.store.lists import list_of_file
from p2phub.store.memory_arrival import MemoryArrival, Unfinished
from p2phub.store.memory_files import MemoryFile, Opened, same_bytes


class _Held(msgspec.Struct):
    manifest: Manifest
    digest: Digest
    folder: Path
    files: list[HashedFile]
    table: ChunkTable
    doubted: set[int] = msgspec.field(default_factory=set)

    @property
    def held(self) -> RangeSet:
        return RangeSet.whole(len(self.table)) - RangeSet.of(self.table.span(file) for file in self.doubted)


class MemoryStore:
    """The `Store` in memory. Thread-safe."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.folders: dict[Path, dict[str, MemoryFile]] = {}
        self.unfinished: dict[tuple[Path, Digest], Unfinished] = {}
        self.being_written: set[Path] = set()
        self._blobs: dict[Digest, bytes] = {}
        self._held: list[_Held] = []

    # --- what a user does to a folder ------------------------------------------------------------------------------

    def put_file(self, folder: Path, path: str, data: bytes) -> None:
        """Write a file as its user would: what was there before is another file."""
        with self.lock:
            self.folders.setdefault(folder, {})[path] = MemoryFile(data)

    def remove_file(self, folder: Path, path: str) -> None:
        with self.lock:
            del self.folders[folder][path]

    def file_bytes(self, folder: Path, path: str) -> bytes:
        with self.lock:
            return self.folders[folder][path].read()

    def paths(self, folder: Path) -> list[str]:
        with self.lock:
            return sorted(self.folders.get(folder, {}))

    # --- the port --------------------------------------------------------------------------------------------------

    def put_blobs(self, blobs: Sequence[bytes]) -> None:
        with self.lock:
            self._blobs.update((digest_of(blob), blob) for blob in blobs)

    def blob(self, digest: Digest) -> bytes | None:
        with self.lock:
            return self._blobs.get(digest)

    def scan(self, folder: Path, ignore: Callable[[str, bool], str | None]) -> Scan:
        files: list[FoundFile] = []
        left_out: dict[str, str] = {}
        with self.lock:
            if folder not in self.folders:
                raise DiskError(f"cannot read {folder}: it is gone")
            for path, file in sorted(self.folders[folder].items(), key=lambda item: item[0].encode()):
                parts = path.split("/")
                above = ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
                whys = ((upper, ignore(upper, upper != path)) for upper in above)
                left = next(((upper, why) for upper, why in whys if why is not None), None)
                if left is None:
                    files.append(FoundFile(path, file.fingerprint()))
                else:
                    left_out[left[0]] = left[1]
        return Scan(tuple(files), tuple(left_out.items()), ())

    def open_in_place(self, folder: Path, path: str) -> Readable:
        return self._open(folder, path, None)

    def fingerprint_of(self, file: Readable) -> Fingerprint:
        assert isinstance(file, Opened)
        return file.file.fingerprint()

    def remembered(self, folder: Path) -> dict[str, HashedFile]:
        found: dict[str, HashedFile] = {}
        with self.lock:
            for held in self._held:  # Newest last.
                if held.folder == folder:
                    files = (file for number, file in enumerate(held.files) if number not in held.doubted)
                    found |= {file.entry.path: file for file in files if file.trusted}
        return found

    def hold(self, manifest: Manifest, digest: Digest, folder: Path, files: Sequence[HashedFile]) -> None:
        assert [file.entry for file in files] == list(manifest.files)
        self.put_blobs([blob for file in files if file.chunks is not None for blob in encode_lists(file.chunks)[1]])
        table = ChunkTable(list_of_file(file) for file in files)
        if self.blob(digest) is None:
            self.put_blobs(encode_manifest(manifest))
        self.record(_Held(manifest, digest, folder, list(files), table))

    def record(self, held: _Held) -> None:
        with self.lock:
            self._held = [old for old in self._held if (old.digest, old.folder) != (held.digest, held.folder)]
            self._held.append(held)

    def release(self, manifest: Digest, folder: Path | None = None) -> None:
        with self.lock:
            self._held = [held for held in self._held if held.digest != manifest or folder not in (None, held.folder)]

    def holdings(self) -> tuple[Holding, ...]:
        with self.lock:
            return tuple(
                Holding(
                    held.digest,
                    held.folder,
                    held.held,
                    not held.doubted,
                    held.manifest.bytes_total,
                    len(held.manifest.files),
                )
                for held in reversed(self._held)
            )

    def read_plan(self, manifest: Digest) -> ReadPlan | None:
        with self.lock:
            found = [held for held in reversed(self._held) if held.digest == manifest]
        if not found:
            return None
        best = max(found, key=lambda held: len(held.held))

        def open_file(file: int) -> Readable:
            if file in best.doubted:
                raise ContentChanged(f"{best.files[file].entry.path} is not known to be what was hashed")
            return self._open(best.folder, best.files[file].entry.path, best.files[file].fingerprint)

        return ReadPlan(manifest, best.table, best.held, open_file)

    def mark_changed(self, manifest: Digest, file: int) -> None:
        with self.lock:
            found = [held for held in self._held if held.digest == manifest]
            for held in found:
                known = held.files[file]
                if len(found) == 1 or self.standing(held.folder, known.entry.path) != known.fingerprint:
                    held.doubted.add(file)

    def arrive(
        self,
        manifest: Manifest,
        digest: Digest,
        table: ChunkTable,
        destination: Path,
        *,
        force: bool,
        judge: Judge | None = None,
    ) -> Arrival:
        with self.lock:
            return MemoryArrival(self, manifest, digest, table, destination, force=force, judge=judge)

    def check(self) -> tuple[str, ...]:
        """Hash files in doubt again."""
        said: list[str] = []
        with self.lock:
            for held in self._held:
                for number in sorted(held.doubted):
                    known = held.files[number]
                    file = self.folders.get(held.folder, {}).get(known.entry.path)
                    if file is not None and same_bytes(file, held.table, number):
                        held.files[number] = replace(known, fingerprint=file.fingerprint())
                        held.doubted.discard(number)
                if held.doubted:
                    said.append(f"{held.digest} in {held.folder}: {len(held.doubted)} files are not what was hashed")
        return tuple(said)

    def close(self) -> None:
        """Nothing to let go of."""

    def standing(self, folder: Path, path: str) -> Fingerprint | None:
        with self.lock:
            file = self.folders.get(folder, {}).get(path)
            return None if file is None else file.fingerprint()

    def _open(self, folder: Path, path: str, expected: Fingerprint | None) -> Readable:
        with self.lock:
            file = self.folders.get(folder, {}).get(path)
            if file is None or expected not in (None, file.fingerprint()):
                raise ContentChanged(f"{folder / path} is not there any more, or not as it was hashed")
            return Opened(file, lambda: self.standing(folder, path))
