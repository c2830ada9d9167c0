"""A draft: a version that is put together file by file, of what was written for it and of what is held, and published.

It begins with the files of its base, if it has one, and changes are made in the order in which they come. What was
written is hashed when it is published, all of it together; what is held already is not read again. Whatever else
`publish` refuses in a folder is refused here: names, and what looks like a secret, of what this draft put there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import msgspec
import trio
from msgspec.structs import replace

from p2phub import limits
from p2phub.content import Digest, Readable
from p2phub.engine.hashing_all import Hashing
from p2phub.engine.publish import Order, Outcome, check_case, outcome_of, sign_and_record
from p2phub.engine.selection import Selection
from p2phub.engine.workers import Workers
from p2phub.errors import ContentChanged, Malformed, NotFound, UsageError
from p2phub.identity import SecretKey
from p2phub.manifest import Manifest, check_path, check_paths, is_sha256
from p2phub.observe import Watch, printable
from p2phub.store import DraftFolder, Fingerprint, HashedFile, Ledger, Store


class Put(msgspec.Struct, frozen=True):
    """A file that was written to `place`, in the folder of a draft. `sha256`: what whoever wrote it says it is."""

    path: str
    place: Path
    sha256: bytes


class Use(msgspec.Struct, frozen=True):
    """A file whose content the draft has already, at some path."""

    path: str
    sha256: bytes


class Remove(msgspec.Struct, frozen=True):
    """A file goes, or a folder with all that is in it."""

    path: str


Change = Put | Use | Remove


class Draft:
    """One draft, from `folder` of the store on. Its methods are called one at a time."""

    def __init__(self, folder: DraftFolder, base: Digest | None, files: Sequence[HashedFile]) -> None:
        self.folder = folder
        self.base = base
        self.lock = trio.Lock()
        self._files: dict[str, HashedFile | Put] = {file.entry.path: file for file in files}
        self._put_here: set[str] = set()
        self._content: dict[bytes, HashedFile | Put] = {file.entry.sha256: file for file in files}

    def change(self, changes: Sequence[Change], drafts: Sequence[Path]) -> None:
        """Make changes, in order. `drafts`: folders in which what was written may be. Raises UsageError, Malformed for
        a path that no manifest may have, NotFound for what is not there; what came before that is done. Blocks."""
        for change in changes:
            match change:
                case Put():
                    check_path(change.path)
                    _check_written(change.place, drafts)
                    self._put(change.path, self._content.setdefault(change.sha256, change))
                case Use():
                    check_path(change.path)
                    found = self._content.get(change.sha256)
                    if found is None:
                        what = f"no file of this draft has the SHA-256 {change.sha256.hex()}"
                        raise NotFound(what, hint="write it, or begin with a base that has it")
                    self._put(change.path, found)
                case Remove():
                    self._remove(change.path)
        if len(self._files) > limits.FILES_MAX:
            raise UsageError(f"more than {limits.FILES_MAX} files")

    def _put(self, path: str, file: HashedFile | Put) -> None:
        if isinstance(file, HashedFile):
            self._files[path] = replace(file, entry=replace(file.entry, path=path))
        else:
            self._files[path] = file
        self._put_here.add(path)

    def _remove(self, path: str) -> None:
        path = path.rstrip("/")
        gone = [path] if path in self._files else [each for each in self._files if each.startswith(path + "/")]
        if not gone:
            raise NotFound(f"there is no {printable(path)!r} in this draft")
        for each in gone:
            del self._files[each]
            self._put_here.discard(each)

    async def publish(
        self,
        order: Order,
        *,
        key: SecretKey,
        store: Store,
        ledger: Ledger,
        workers: Workers,
        watch: Watch,
        known_sequence: int = 0,
    ) -> Outcome:
        """Hash what was written, sign and record. Raises UsageError for what may not be published, ContentChanged,
        DiskError; then the draft is as it was, and can be published again."""
        check_case(order.name)
        self._check(order)
        found, remarks, bytes_hashed = await self._hash(store, workers, watch)
        hashed = [file for _, file in sorted(found.items(), key=lambda item: item[0].encode())]
        manifest = Manifest(tuple(file.entry for file in hashed))

        def hold(digest: Digest) -> Path:
            standing = self.folder.hold(manifest, digest, hashed)
            self._files = {file.entry.path: file for file in standing}
            self._content = {file.entry.sha256: file for file in standing}
            return next(held.folder for held in store.holdings(digest))

        signed = await sign_and_record(
            order, manifest, hold, key=key, store=store, ledger=ledger, workers=workers, known_sequence=known_sequence
        )
        return outcome_of(manifest, signed, bytes_hashed=bytes_hashed, remarks=remarks)

    def _check(self, order: Order) -> None:
        if not self._files:
            raise UsageError("the draft has no file to publish")
        selection = Selection(include=order.include)
        secrets = sorted(path for path in self._put_here if selection.secret(path))
        if secrets:
            raise UsageError(
                f"{printable(secrets[0])} looks like a secret, so nothing was published",
                hint="leave it out; if it is meant to be public: p2phub publish DIR --name NAME --include PATTERN",
            )
        try:
            check_paths(self._files)
        except Malformed as exc:
            raise UsageError(f"a file has a name that not every machine can hold: {exc.what}") from exc

    async def _hash(
        self, store: Store, workers: Workers, watch: Watch
    ) -> tuple[dict[str, HashedFile], tuple[tuple[str, str], ...], int]:
        """Hash what was put and not published yet, each content once. Returns all files by path, remarks, and how many
        bytes were read."""
        known: dict[str, HashedFile] = {}
        by_content: dict[bytes, list[str]] = {}
        written: dict[bytes, Put] = {}
        for path, file in self._files.items():
            if isinstance(file, Put):
                by_content.setdefault(file.sha256, []).append(path)
                written[file.sha256] = file
            else:
                known[path] = file
        if not written:
            return known, (), 0
        files = _Written([replace(written[digest], path=paths[0]) for digest, paths in by_content.items()], store)
        await workers.run(files.look)
        hashing = Hashing(files, store=store, workers=workers, watch=watch, stop_at_error=True)
        await hashing.run()
        if hashing.errors:
            raise next(iter(hashing.errors.values()))
        await workers.run(lambda: store.put_blobs(hashing.blobs))
        for (digest, paths), found in zip(by_content.items(), hashing.results, strict=True):
            assert found is not None
            if found.entry.sha256 != digest:
                raise ContentChanged(f"what was written as {printable(paths[0])} is not what it was said to be")
            for path in paths:
                known[path] = replace(found, entry=replace(found.entry, path=path), place=written[digest].place)
        return known, tuple(sorted(hashing.remarks)), hashing.bytes_hashed


class _Written:
    """`hashing_all.Files` that were written for a draft."""

    def __init__(self, puts: Sequence[Put], store: Store) -> None:
        self._puts = puts
        self._store = store
        self._found: list[Fingerprint] = []

    def look(self) -> None:
        """See how they stand. Blocks. Raises ContentChanged, DiskError."""
        for number in range(len(self._puts)):
            file = self.open(number)
            try:
                self._found.append(self._store.fingerprint_of(file))
            finally:
                file.close()

    def __len__(self) -> int:
        return len(self._puts)

    def path(self, number: int) -> str:
        return self._puts[number].path

    def place(self, number: int) -> Path:
        return self._puts[number].place

    def fingerprint(self, number: int) -> Fingerprint:
        return self._found[number]

    def known(self, number: int) -> HashedFile | None:
        return None

    def open(self, number: int) -> Readable:
        return self._store.open_place(self._puts[number].place)


def _check_written(place: Path, drafts: Sequence[Path]) -> None:
    """Raise UsageError for what is no file of a draft: anything else is not ours to move."""
    if place.parent not in drafts or place != Path(os.path.normpath(place)):
        raise UsageError(f"{place} is no file of a draft that is open")
    try:
        is_file = stat.S_ISREG(os.lstat(place).st_mode)
    except OSError:
        is_file = False
    if not is_file:
        raise NotFound(f"{place} is not there any more", hint="write it again")


def read_change(given: object) -> Change:
    """Return a change as JSON has it: ["put", path, place, sha256], ["use", path, sha256], ["remove", path]. Raises
    UsageError."""
    try:
        match given:
            case ["put", str(path), str(place), str(sha256)]:
                return Put(path, Path(place), _sha256(sha256))
            case ["use", str(path), str(sha256)]:
                return Use(path, _sha256(sha256))
            case ["remove", str(path)]:
                return Remove(path)
    except ValueError:
        pass
    raise UsageError("this is no change of a draft")


def _sha256(text: str) -> bytes:
    if not is_sha256(text):
        raise ValueError(text)
    return bytes.fromhex(text)
