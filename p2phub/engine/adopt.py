"""Adopt what other programs have on this disk: hash it where it stands, check what its names say, hold it. Nothing is
copied.

A repository that is whole becomes the manifest that everybody gets who adopts the same one (proto/manifest.md §8). Of
any other each file is held alone, as are single models; those of less than a chunk are not worth it. What is adopted is
withheld unless it is named: a cache does not say what was gated or private. A later scan widens nothing, and ends
nothing either: what was named stays announced as it was found then, until it is gone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from p2phub import limits
from p2phub.content import Digest, Readable, digest_of
from p2phub.engine.hashing_all import Hashing
from p2phub.engine.meant import meant
from p2phub.engine.public import for_everybody
from p2phub.engine.selection import Selection
from p2phub.engine.workers import Workers
from p2phub.errors import UsageError
from p2phub.manifest import FileEntry, Manifest, alone_digest, encode_manifest, manifest_alone
from p2phub.observe import Watch, printable
from p2phub.store import Fingerprint, HashedFile, Ledger, Origin, Provenance, Store
from p2phub.store.caches import CachedFile, CachedModel, Claim


class Adopted(msgspec.Struct, frozen=True):
    """What became of one model. `manifest`: of the whole, None if it is not whole; `alone`: files that are held alone,
    and where each is. `announced`: whether all that is held of it may be told of and served, by what is named now or
    was before. `announced_before`: whether it is not, though new, while something else of that name is, found before.
    `problems`: (path, why) of what is not held."""

    model: CachedModel
    manifest: Digest | None
    alone: tuple[tuple[Digest, Path], ...]
    bytes: int
    announced: bool
    announced_before: bool
    problems: tuple[tuple[str, str], ...]


class Adoption(msgspec.Struct, frozen=True):
    """`gone`: what had been adopted from the same places and is not there any more."""

    adopted: tuple[Adopted, ...]
    bytes_hashed: int
    gone: tuple[Digest, ...]


async def adopt(
    models: Sequence[CachedModel],
    *,
    roots: Sequence[Path],
    announce: Iterable[str],
    store: Store,
    ledger: Ledger,
    workers: Workers,
    watch: Watch,
    adopted: Callable[[Adopted], None],
) -> Adoption:
    """Hold what `models` have, found below `roots`; `adopted` is told of each. Raises UsageError for a name in
    `announce` that none of them has, or that means models of several caches (engine/meant), and for one of a folder
    with what looks like a secret; DiskError of our own. Cancelled, it goes on from there the next time."""
    named = meant(models, announce)
    await workers.run(lambda: _check_secrets([models[number] for number in sorted(named)]))
    places = _Places(models, store)
    hashing = Hashing(places, store=store, workers=workers, watch=watch)
    await hashing.run()
    await workers.run(hashing.note)
    home = await workers.run(lambda: _Home(store, ledger))
    results: list[Adopted] = []
    for number, model in enumerate(models):
        recording = _Recording(model, places, hashing, home, announced=number in named)
        results.append(await workers.run(recording.record))
        adopted(results[-1])
    await workers.run(lambda: home.release_covered(results))
    gone = await workers.run(lambda: home.release_gone(results, roots))
    return Adoption(tuple(results), hashing.bytes_hashed, gone)


def _check_secrets(announced: Sequence[CachedModel]) -> None:
    """Refuse to announce a user's own folder with what `publish` would not publish either. What other programs keep
    came from somewhere; nothing of it was put there by hand. Blocks."""
    selection = Selection()
    for model in announced:
        if model.cache != "folder":
            continue
        real = model.folder.resolve()
        secrets = [
            file.path
            for file in model.files
            if selection.secret(file.path) or selection.secret(os.path.relpath(file.place, real))
        ]
        if secrets:
            raise UsageError(
                f"{printable(secrets[0])} in {model.folder} looks like a secret, so nothing was adopted",
                hint="adopt it without --announce, or publish the folder: there it can be left out, or named",
            )


class _Places:
    """`hashing_all.Files` of many models: each place once, however many models have it."""

    def __init__(self, models: Sequence[CachedModel], store: Store) -> None:
        self._store = store
        self._files: list[CachedFile] = []
        self.numbers: dict[Path, int] = {}
        for file in (file for model in models for file in _worth_it(model)):
            if file.place not in self.numbers:
                self.numbers[file.place] = len(self._files)
                self._files.append(file)

    def __len__(self) -> int:
        return len(self._files)

    def path(self, number: int) -> str:
        return self._files[number].path

    def place(self, number: int) -> Path:
        return self._files[number].place

    def fingerprint(self, number: int) -> Fingerprint:
        return self._files[number].fingerprint

    def known(self, number: int) -> HashedFile | None:
        return None  # What is held by place was noted when it was hashed, too.

    def open(self, number: int) -> Readable:
        return self._store.open_place(self._files[number].place)


def _worth_it(model: CachedModel) -> Iterable[CachedFile]:
    """Return the files of a model that are held: all if it is whole, else those that are worth holding alone."""
    if model.complete:
        return model.files
    return [file for file in model.files if _is_worth_it(file.fingerprint.size)]


def _is_worth_it(size: int) -> bool:
    """Whether a file of `size` bytes is held alone: each costs a record and a sync."""
    return size >= limits.CHUNK_BYTES_MAX


class _Home:
    """What this home holds, and how more of it is held. Methods block and raise DiskError."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store, self._ledger = store, ledger
        # What a place lists is not known to be what it says.
        holdings = [holding for holding in store.holdings() if holding.origin is not Origin.SHARED]
        self._held = {(holding.manifest, holding.folder): holding.origin for holding in holdings}
        self._manifests = {manifest for manifest, _ in self._held}
        self._before = frozenset(self._manifests)
        self._withheld = set(ledger.withheld())
        self._may_be_told = for_everybody(ledger, self._withheld)
        self._names_told = {
            (holding.source.cache, holding.source.name)
            for holding in holdings
            if holding.source is not None and self._may_be_told(holding.manifest)
        }
        self._covered: list[tuple[Digest, Path]] = []

    def hold(
        self,
        manifest: Manifest,
        digest: Digest,
        folder: Path,
        files: Sequence[HashedFile],
        source: Provenance,
        *,
        announced: bool,
    ) -> None:
        # Before it is held: between the two it must not be told of.
        if announced:
            self._ledger.withhold(digest, withheld=False)
            self._withheld.discard(digest)
        elif digest not in self._manifests:
            self._ledger.withhold(digest, withheld=True)
            self._withheld.add(digest)
        origin = self._held.get((digest, folder), Origin.ADOPTED)
        if origin is not Origin.ADOPTED:  # Published or fetched: it is no less that, and stays when a cache is emptied.
            files = [replace(file, place=None) for file in files]
        self._store.hold(manifest, digest, folder, files, origin=origin, source=source)
        self._held[digest, folder] = origin
        self._manifests.add(digest)

    def is_announced(self, held: Sequence[Digest]) -> bool:
        """Whether something is `held`, and all of it may be told of."""
        return bool(held) and all(map(self._may_be_told, held))

    def is_news_of_what_is_told(self, held: Sequence[Digest], model: CachedModel) -> bool:
        """Whether any of what is `held` of a model is new and not told of, though something of that name is."""
        new = [digest for digest in held if digest not in self._before and not self._may_be_told(digest)]
        return bool(new) and (model.cache, model.name) in self._names_told

    def cover(self, digest: Digest, place: Path) -> None:
        """Note that a file that may be held alone stands in a repository that is held whole."""
        self._covered.append((digest, place))

    def release_covered(self, results: Sequence[Adopted]) -> None:
        """Forget the files that were held alone before the rest of their repository was here. Not those that stand in
        another one, too, which is not whole, nor those that were announced: the whole is another manifest, of which
        nobody has said so yet."""
        alone = {found for each in results for found in each.alone}
        for digest, place in self._covered:
            if (digest, place) not in alone and not self._may_be_told(digest):
                self._release_adopted(digest, place)

    def _release_adopted(self, digest: Digest, folder: Path) -> None:
        if self._held.get((digest, folder)) is Origin.ADOPTED:
            self._store.release(digest, folder)
            del self._held[digest, folder]

    def release_gone(self, results: Sequence[Adopted], roots: Sequence[Path]) -> tuple[Digest, ...]:
        """Forget what was adopted below `roots` and is not there any more, or is something else by now; return what
        that was. What only could not be looked at this time, on a disk that is not mounted, say, stays."""
        here = {(each.manifest, each.model.folder) for each in results if each.manifest is not None}
        here |= {found for each in results for found in each.alone}
        looked_at = {folder for _, folder in here}
        below = _Below(roots)
        gone = [
            (digest, folder)
            for (digest, folder), origin in self._held.items()
            if origin is Origin.ADOPTED
            and (digest, folder) not in here
            and (folder in looked_at or _is_gone(folder))
            and below.has(folder)
        ]
        for digest, folder in gone:
            self._release_adopted(digest, folder)
        return tuple(digest for digest, _ in gone)


class _Recording:
    """Records one model."""

    def __init__(self, model: CachedModel, places: _Places, hashing: Hashing, home: _Home, *, announced: bool) -> None:
        self._model = model
        self._places, self._hashing, self._home = places, hashing, home
        self._announced = announced
        self._source = Provenance(model.cache, model.name, model.revision)
        self._problems = list(model.left_out)

    def record(self) -> Adopted:
        """Hold what of the model is what it is called. Blocks. Raises DiskError."""
        read = [(file, self._read(file)) for file in _worth_it(self._model)]
        right = [hashed for _, hashed in read if hashed is not None]
        whole: Digest | None = None
        parts: list[tuple[Digest, Path]] = []
        if self._model.complete and read and len(right) == len(read):
            whole = self._hold_whole(right)
        else:
            parts = [self._hold_alone(file) for file in right if _is_worth_it(file.entry.size)]
        size = sum(file.entry.size for file in right)
        held = [whole] if whole is not None else [digest for digest, _ in parts]
        return Adopted(
            self._model,
            whole,
            tuple(parts),
            size,
            announced=self._home.is_announced(held),
            announced_before=self._home.is_news_of_what_is_told(held, self._model),
            problems=tuple(self._problems),
        )

    def _read(self, file: CachedFile) -> HashedFile | None:
        """Return what a file is, under its path in this model; None, and a problem, if it is not what it is called."""
        number = self._places.numbers[file.place]
        found, error = self._hashing.results[number], self._hashing.errors.get(number)
        if found is None:
            self._problems.append((file.path, "cannot be read" if error is None else error.message))
            return None
        if not _keeps(file.claim, found.entry):
            self._problems.append((file.path, f"{file.place} is not what it is called: it is damaged, or another file"))
            return None
        return replace(found, entry=replace(found.entry, path=file.path), place=file.place)

    def _hold_whole(self, files: Sequence[HashedFile]) -> Digest:
        manifest = Manifest(tuple(file.entry for file in files))
        digest = digest_of(encode_manifest(manifest)[0])
        self._hold(manifest, digest, self._model.folder, files)
        for file in files:
            if file.place is not None and _is_worth_it(file.entry.size):
                self._home.cover(alone_digest(file.entry), file.place)
        return digest

    def _hold_alone(self, file: HashedFile) -> tuple[Digest, Path]:
        manifest, digest = manifest_alone(file.entry), alone_digest(file.entry)
        assert file.place is not None
        self._hold(manifest, digest, file.place, [replace(file, entry=manifest.files[0])])
        return digest, file.place

    def _hold(self, manifest: Manifest, digest: Digest, folder: Path, files: Sequence[HashedFile]) -> None:
        self._home.hold(manifest, digest, folder, files, self._source, announced=self._announced)


class _Below:
    """Tells what lies below any of some folders, by whatever links these or that were named. What cannot be read, or is
    empty as the place of a disk that is not mounted, has nothing below it. Its methods block."""

    def __init__(self, roots: Iterable[Path]) -> None:
        self._roots = {Path(way) for root in roots if _has_anything(root) for way in (root, os.path.realpath(root))}

    def has(self, folder: Path) -> bool:
        return any(Path(way).is_relative_to(root) for way in (folder, os.path.realpath(folder)) for root in self._roots)


def _has_anything(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(True for _ in entries)
    except OSError:
        return False


def _is_gone(folder: Path) -> bool:
    """Whether nothing stands there, for certain."""
    try:
        folder.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _keeps(claim: Claim | None, entry: FileEntry) -> bool:
    """Whether a file is what it is called, as far as that can be told."""
    if claim is None:
        return True
    named_right = claim.sha256 in (None, entry.sha256)
    return named_right and (entry.git_sha1 is None or claim.git_sha1 in (None, entry.git_sha1))
