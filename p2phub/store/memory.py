"""The store in memory: the second implementation of the port, for tests and for what should leave no trace.

Content lies in anonymous files, since plans speak of descriptors; folders are dictionaries of them. `put_file`,
`file_bytes` and `paths` stand for what a user does to a folder on a disk. Everything ends with the process; "durable"
means noted, and there is never less room than is asked for.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from p2phub import limits
from p2phub.content import ChunkTable, Digest, RangeSet, Readable, ReadPlan, digest_of, encode_lists
from p2phub.errors import ContentChanged, DiskError
from p2phub.manifest import FileEntry, Manifest, alone_digest, alone_root, encode_manifest, is_alone
from p2phub.store.fingerprints import Fingerprint
from p2phub.store.holding import Away, HeldAt, Holding, LookedAgain, Origin, Provenance
from p2phub.store.interface import (
    Arrival,
    DraftFolder,
    FoundFile,
    HashedFile,
    Judge,
    LocalFile,
    LocalRun,
    PartHashed,
    Scan,
)
from p2phub.store.keeping import Keep
from p2phub.store.lists import list_of_file
from p2phub.store.memory_arrival import MemoryArrival, Unfinished
from p2phub.store.memory_doubting import (
    away,
    check,
    in_doubt,
    look_again,
    mark_changed,
    mark_damaged,
    mark_right,
)
from p2phub.store.memory_drafting import MemoryDraft
from p2phub.store.memory_earlier import ended, settle_earlier
from p2phub.store.memory_files import MemoryFile, OpenMemoryFile
from p2phub.store.memory_holding import Held
from p2phub.store.memory_keeping import MemoryKeeper
from p2phub.store.needs import lists_of
from p2phub.store.selected import Selected
from p2phub.store.whose import READ_ONLY, files_of_others


class MemoryStore:
    """The `Store` in memory. Thread-safe."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.folders: dict[Path, dict[str, MemoryFile]] = {}
        self.unfinished: dict[tuple[Path, Digest], Unfinished] = {}
        self.being_written: set[Path] = set()
        self.in_use_at: Counter[Path] = Counter()
        self._blobs: dict[Digest, bytes] = {}
        self.held: list[Held] = []
        self._hashed: dict[Path, HashedFile] = {}
        self._parts: dict[Path, PartHashed] = {}
        keeper = MemoryKeeper(self)
        self.own_folder, self.own_bytes, self.note_others = keeper.own_folder, keeper.own_bytes, keeper.note_others
        self.in_use, self.own_unfinished = keeper.in_use, keeper.own_unfinished
        self.collectable, self.collect, self.sweep = keeper.collectable, keeper.collect, keeper.sweep
        self.unfinished_bytes, self.discard_unfinished = keeper.unfinished_bytes, keeper.discard_unfinished
        self.discard_opened, self.usage = keeper.discard_opened, keeper.usage
        self.upstream_bytes = keeper.upstream_bytes
        self._note_used = keeper.note_used

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

    def forget_blobs(self, digests: Iterable[Digest]) -> None:
        with self.lock:
            for digest in digests:
                self._blobs.pop(digest, None)

    def blob_lengths(self) -> dict[Digest, int]:
        with self.lock:
            return {digest: len(blob) for digest, blob in self._blobs.items()}

    def blobs_of_hashed(self) -> set[Digest]:
        """Return what of the blobs is needed by what was hashed and is not held yet."""
        with self.lock:
            return {
                blob
                for file in self._hashed.values()
                for blob in lists_of(file.entry.root, file.entry.chunks, self._blobs.get)
            }

    def tables(self) -> dict[tuple[Digest, Path], tuple[ChunkTable, list[HashedFile]]]:
        """Return the chunks and files of each holding, by manifest and folder."""
        with self.lock:
            return {(held.digest, held.folder): (held.table, held.files) for held in self.held}

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

    def open_place(self, place: Path) -> Readable:
        return self._open(place.parent, place.name, None)

    def fingerprint_of(self, file: Readable) -> Fingerprint:
        assert isinstance(file, OpenMemoryFile)
        return file.file.fingerprint()

    def shows_writes(self, file: Readable) -> bool:
        return True  # Nobody else has them.

    def remembered(self, folder: Path) -> dict[str, HashedFile]:
        found: dict[str, HashedFile] = {}
        with self.lock:
            for held in self.held:  # Newest last.
                if held.folder == folder:
                    files = (file for number, file in enumerate(held.files) if number not in held.doubted)
                    found |= {file.entry.path: file for file in files if file.trusted and file.place is None}
        return found

    def hold(
        self,
        manifest: Manifest,
        digest: Digest,
        folder: Path,
        files: Sequence[HashedFile],
        *,
        origin: Origin = Origin.PUBLISHED,
        source: Provenance | None = None,
    ) -> None:
        assert [file.entry for file in files] == list(manifest.files)
        self.put_blobs([blob for file in files if file.chunks is not None for blob in encode_lists(file.chunks)[1]])
        table = ChunkTable(list_of_file(file) for file in files)
        if self.blob(digest) is None:
            self.put_blobs(encode_manifest(manifest))
        self.put_blobs([alone_root(entry) for entry in _large(manifest)])
        with self.lock:
            for file in files:
                if file.place is None:
                    self._parts.pop(folder / file.entry.path, None)
        self.record(Held(manifest, digest, folder, list(files), table, origin, source))

    def hold_some(
        self,
        manifest: Manifest,
        digest: Digest,
        folder: Path,
        table: ChunkTable,
        files: set[int],
        *,
        made_bytes: int = 0,
    ) -> None:
        """Record that `folder` holds these files, by number, beside those that it is known to hold. `made_bytes`: of
        files that were made of what was selected."""
        with self.lock:
            before = self.held_in(digest, folder)
            doubted = set(range(table.files)) if before is None else before.doubted
            left_out = doubted if before is None else before.left_out
            origin, source = self.origin_at(digest, folder)
            hashed: list[HashedFile] = []
            for number, entry in enumerate(manifest.files):
                chunks = table.list_of(number) if entry.chunks > 1 else None
                known = self.standing(folder, entry.path) if number in files else None
                fingerprint = known or Fingerprint(0, 0, 0, 0, 0)
                if known is None and before is not None:
                    fingerprint = before.files[number].fingerprint
                hashed.append(HashedFile(entry, chunks, fingerprint, True))
            if self.blob(digest) is None:
                self.put_blobs(encode_manifest(manifest))
            held = Held(manifest, digest, folder, hashed, table, origin, source, doubted - files, left_out - files)
            held.made_bytes = made_bytes or (0 if before is None else before.made_bytes)
            self.record(held)

    def origin_at(self, digest: Digest, folder: Path) -> tuple[Origin, Provenance | None]:
        """Whose it is what is fetched to `folder`."""
        held = self.held_in(digest, folder)
        if held is not None and held.origin in READ_ONLY:
            return held.origin, held.source
        return (Origin.OWN if folder == self.own_folder(digest) else Origin.FETCHED), None

    def recorded(self, manifest: Digest, folder: Path) -> RangeSet:
        with self.lock:
            held = self.held_in(manifest, folder)
            return (
                RangeSet() if held is None else RangeSet.whole(held.table.files) - RangeSet.from_indices(held.left_out)
            )

    def read_only(self, manifest: Digest, folder: Path) -> RangeSet:
        with self.lock:
            found = [held for held in self.held if held.digest == manifest]
            others = [(held.folder, held) for held in self.held if held.origin in READ_ONLY]
        if not found:
            return RangeSet()
        return files_of_others(found[0].manifest, folder, others, lambda held: held.manifest)

    def record(self, held: Held) -> None:
        with self.lock:
            self.held = [old for old in self.held if (old.digest, old.folder) != (held.digest, held.folder)]
            self.held.append(held)
            settle_earlier(self, held, self.held)
            self._note_used(held.digest)

    def open_draft(self) -> DraftFolder:
        return MemoryDraft(self)

    def whole(self, manifest: Digest) -> tuple[Manifest, list[HashedFile]] | None:
        with self.lock:
            for held in reversed(self.held):
                if held.digest == manifest and not held.doubted:
                    places = (Path(*held.where(number)) for number in range(len(held.files)))
                    return held.manifest, [
                        replace(file, place=place) for file, place in zip(held.files, places, strict=True)
                    ]
        return None

    def release(self, manifest: Digest, folder: Path | None = None) -> None:
        with self.lock:
            self.held = [held for held in self.held if held.digest != manifest or folder not in (None, held.folder)]

    def ended(self, keep: Keep, folder: Path | None = None) -> int:
        """Return how many earlier versions may be forgotten: of `folder`, or of which a part is left, anywhere."""
        with self.lock:
            return len(ended(self.held, keep, folder))

    def end_earlier(self, folder: Path | None, keep: Keep) -> tuple[Digest, ...]:
        with self.lock:
            gone = ended(self.held, keep, folder)
            self.held = [held for held in self.held if held not in gone]
            return tuple(held.digest for held in gone)

    def held_in(self, manifest: Digest, folder: Path) -> Held | None:
        with self.lock:
            return next((held for held in self.held if (held.digest, held.folder) == (manifest, folder)), None)

    def holdings(self, manifest: Digest | None = None) -> tuple[Holding, ...]:
        with self.lock:
            return tuple(
                Holding(
                    held.digest,
                    held.folder,
                    held.held,
                    not held.doubted,
                    held.manifest.bytes_total,
                    len(held.manifest.files),
                    held.origin,
                    held.source,
                    len(held.manifest.files) - len(held.doubted),
                    len(held.doubted - held.left_out),
                    held.replaced,
                    held.bytes_selected,
                )
                for held in reversed(self.held)
                if manifest in (None, held.digest)
            )

    def held_at(self, manifest: Digest | None = None) -> tuple[HeldAt, ...]:
        found = self.holdings(manifest)
        return tuple(HeldAt(each.manifest, each.folder, each.origin, each.source) for each in found)

    def read_plan(self, manifest: Digest) -> ReadPlan | None:
        with self.lock:
            found = [held for held in reversed(self.held) if held.digest == manifest]
        best = max(found, key=lambda held: len(held.held), default=None)
        if best is None or (best.doubted and is_alone(best.manifest)):
            for held, number in self._where_part(manifest):
                if number not in held.doubted:
                    table = ChunkTable([held.table.list_of(number)])
                    return ReadPlan(manifest, table, RangeSet.whole(len(table)), partial(self._open_part, held, number))
        if best is None:
            return None
        self._note_used(manifest)
        return ReadPlan(manifest, best.table, best.held, partial(self._open_of, best))

    def _open_of(self, held: Held, file: int) -> Readable:
        """Open a file of a holding as it was hashed."""
        if file in held.doubted:
            raise ContentChanged(f"{held.files[file].entry.path} is not known to be what was hashed")
        return self._open(*held.where(file), held.files[file].fingerprint)

    def _open_part(self, held: Held, number: int, file: int) -> Readable:
        assert file == 0
        return self._open_of(held, number)

    def open_held(self, manifest: Digest, folder: Path, file: int) -> Readable:
        held = self.held_in(manifest, folder)
        if held is None:
            raise ContentChanged(f"{folder} is not held any more")
        return self._open(*held.where(file), None)

    def parts(self, manifest: Digest) -> tuple[Digest, ...]:
        with self.lock:
            found = [held.manifest for held in self.held if held.digest == manifest]
        return tuple(alone_digest(entry) for entry in _large(found[0])) if found else ()

    def manifests_with(self, part: Digest) -> tuple[Digest, ...]:
        found = [held.digest for held, _ in self._where_part(part)]
        if found and any(held.digest == part for held in self.held):
            found.append(part)
        return tuple(dict.fromkeys(found))

    def places_of(self, manifest: Digest, file: int) -> list[tuple[Held, int]]:
        """Return (holding, number of the file) of each place where a file of a manifest is held, or itself alone."""
        with self.lock:
            places = [(held, file) for held in self.held if held.digest == manifest]
            return places + (self._where_part(manifest) if file == 0 else [])

    def _where_part(self, part: Digest) -> list[tuple[Held, int]]:
        """Return (holding, number of the file) of each place where a file alone is, of the newest holdings first."""
        with self.lock:
            return [
                (held, number)
                for held in reversed(self.held)
                for number, entry in enumerate(held.manifest.files)
                if not is_alone(held.manifest) and entry.size >= limits.ALONE_BYTES_MIN and alone_digest(entry) == part
            ]

    def local(self, table: ChunkTable, wanted: RangeSet) -> list[LocalRun]:
        with self.lock:
            here: dict[bytes, LocalRun] = {}
            for held in self.held:
                for ref in held.table.chunks(0, len(held.table)):
                    if ref.file not in held.doubted:
                        folder, path = held.where(ref.file)
                        size = held.manifest.files[ref.file].size
                        file = LocalFile(folder / path, size, True, partial(self._open_of, held, ref.file))
                        here[ref.digest] = LocalRun(0, 1, file, ref.offset)
            chunks = (table.chunk(number) for number in wanted)
            return [replace(here[ref.digest], first=ref.index) for ref in chunks if ref.digest in here]

    def note_hashed(self, files: Mapping[Path, HashedFile]) -> None:
        with self.lock:
            self._hashed.update(files)
            for place, file in files.items():
                if file.trusted:
                    self._parts.pop(place, None)

    def hashed_at(self, places: Iterable[Path]) -> dict[Path, HashedFile]:
        with self.lock:
            known = {place: self._hashed[place] for place in places if place in self._hashed}
        return {
            place: replace(file, entry=replace(file.entry, path=""), place=place)
            for place, file in known.items()
            if file.trusted
        }

    def note_parts(self, parts: Mapping[Path, PartHashed]) -> None:
        with self.lock:
            self._parts.update(parts)

    def part_hashed(self, place: Path) -> PartHashed | None:
        with self.lock:
            return self._parts.get(place)

    def look_again(self, manifest: Digest, file: int) -> LookedAgain:
        return look_again(self, manifest, file)

    def in_doubt(self, manifest: Digest, folder: Path) -> RangeSet:
        return in_doubt(self, manifest, folder)

    def away(self) -> tuple[Away, ...]:
        return away(self)

    def mark_changed(self, manifest: Digest, file: int) -> None:
        mark_changed(self, manifest, file)

    def mark_damaged(self, manifest: Digest, folder: Path, file: int) -> None:
        mark_damaged(self, manifest, folder, file)

    def mark_right(self, manifest: Digest, folder: Path, file: int, found: Fingerprint, *, trusted: bool) -> bool:
        return mark_right(self, manifest, folder, file, found, trusted=trusted)

    def arrive(
        self,
        manifest: Manifest,
        digest: Digest,
        table: ChunkTable,
        destination: Path,
        *,
        force: bool,
        selected: Selected | None = None,
        judge: Judge | None = None,
        link: bool = False,
    ) -> Arrival:
        with self.lock:
            return MemoryArrival(
                self, manifest, digest, table, destination, force=force, selected=selected, judge=judge
            )

    def check(self) -> tuple[str, ...]:
        return check(self)

    def get_ready(self) -> None:
        """Nothing to open."""

    def close(self) -> None:
        """Nothing to let go of."""

    def standing(self, folder: Path, path: str) -> Fingerprint | None:
        with self.lock:
            file = self._file(folder, path)
            return None if file is None else file.fingerprint()

    def _file(self, folder: Path, path: str) -> MemoryFile | None:
        """Return what stands there, also where a place is named by its folder, which is one below a folder of ours."""
        for at in (folder, *folder.parents):
            file = self.folders.get(at, {}).get((folder / path).relative_to(at).as_posix())
            if file is not None:
                return file
        return None

    def _open(self, folder: Path, path: str, expected: Fingerprint | None) -> Readable:
        with self.lock:
            file = self._file(folder, path)
            if file is None or expected not in (None, file.fingerprint()):
                raise ContentChanged(f"{folder / path} is not there any more, or not as it was hashed")
            return OpenMemoryFile(file, lambda: self.standing(folder, path))


def _large(manifest: Manifest) -> list[FileEntry]:
    """Return the files that are held alone, too."""
    if is_alone(manifest):
        return []
    return [entry for entry in manifest.files if entry.size >= limits.ALONE_BYTES_MIN]
