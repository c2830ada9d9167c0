"""The copies of an upstream hub that this home has, as what takes room: of which snapshots, and what each of them has.

    HOME/upstream/{public,private}/<repository>/…      as `hub_copy` keeps it
A snapshot has the blobs that its listing names, whether they are here yet or not, so nothing that it is about to name
is removed with another; without a listing it has those that its links lead to. How long it was not used its folder
says, whose time of change is set by who uses it. Nothing is changed here; how they go: `hub_collecting`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from p2phub.errors import Damaged
from p2phub.store.caches.huggingface import repository_name
from p2phub.store.caches.listing import read_listing
from p2phub.store.disk import FOLDER_FLAGS, names_if_any
from p2phub.store.hub_copy import CACHES
from p2phub.store.keeping import UPSTREAM_FOLDER
from p2phub.store.removing import GOING, tree_bytes

_COMMIT = re.compile(r"[0-9a-f]{40}")


class Snapshot(msgspec.Struct, frozen=True):
    """One commit of a repository. `blobs`: the names of those that it has, here or not; `used_at`: Unix seconds."""

    commit: str
    blobs: frozenset[str]
    used_at: int


class Copy(msgspec.Struct, frozen=True):
    """One repository. `sizes`: of each blob, what of it takes room, come whole or not; `left`: of what a collection
    that was ended set aside, by name."""

    folder: Path
    name: str
    snapshots: tuple[Snapshot, ...]
    sizes: Mapping[str, int]
    left: Mapping[str, int]

    def unneeded(self) -> frozenset[str]:
        """Return the blobs that no snapshot has."""
        return frozenset(self.sizes).difference(*(each.blobs for each in self.snapshots))

    def has_leftovers(self) -> bool:
        """Whether anything is here that no snapshot has."""
        commits = {each.commit for each in self.snapshots}
        return bool(self.left or self.unneeded() or not commits or _listed(self.folder) - commits)

    def leftover_bytes(self) -> int:
        return sum(self.left.values()) + sum(self.sizes[blob] for blob in self.unneeded())

    def bytes_each(self, going: Iterable[str]) -> dict[str, int]:
        """Return what becomes free by each commit that is `going`, if they go in this order: what several have, by the
        last of those, and nothing of what one has that stays."""
        waiting = list(going)
        staying = [each.blobs for each in self.snapshots if each.commit not in waiting]
        taken = set().union(*staying)
        blobs = {each.commit: each.blobs for each in self.snapshots}
        found = {}
        for commit in reversed(waiting):
            found[commit] = sum(self.sizes.get(blob, 0) for blob in blobs[commit] - taken)
            taken |= blobs[commit]
        return found


def upstream_of(home: Path) -> Path:
    """Return where the copies of a home stand."""
    return Path(os.path.abspath(home)) / UPSTREAM_FOLDER


def copies_in(home: Path) -> Iterator[Copy]:
    """Yield the copies of a home, one at a time: a repository may have 100,000 files. Raises OSError."""
    for folder in repositories_in(home):
        copy = copy_at(folder)
        if copy is not None:
            yield copy


def repositories_in(home: Path) -> Iterator[Path]:
    """Yield the folders of the repositories."""
    for cache in CACHES:
        at = upstream_of(home) / cache
        for name in sorted(names_if_any(at)):
            if repository_name(name) is not None:
                yield at / name


def set_aside_in(home: Path) -> list[Path]:
    """Return the repositories that collections set aside and did not remove yet."""
    caches = [upstream_of(home) / cache for cache in CACHES]
    return [at / name for at in caches for name in names_if_any(at) if name.startswith(GOING)]


def copy_at(folder: Path) -> Copy | None:
    """Return what a repository has; None where it is gone, or a link, which is none of ours."""
    name = repository_name(folder.name)
    try:
        fd = os.open(folder, FOLDER_FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        if folder.is_symlink():
            return None
        raise
    try:
        snapshots = tuple(_snapshots(folder, fd))
        left = {each: tree_bytes(folder / each) for each in os.listdir(fd) if each.startswith(GOING)}
    finally:
        os.close(fd)
    return Copy(folder, name or folder.name, snapshots, _sizes(folder), left)


def bytes_in(home: Path) -> int:
    """Return what all copies take, with what is coming. Raises OSError."""
    total = sum(map(tree_bytes, set_aside_in(home)))
    for folder in repositories_in(home):
        total += sum(_sizes(folder).values())
        total += sum(tree_bytes(folder / each) for each in names_if_any(folder) if each.startswith(GOING))
    return total


def newest_in(folder: Path) -> Snapshot | None:
    """Return the snapshot of a repository that was used last and has any file, without what it has."""
    found = [
        (int(entry.stat(follow_symlinks=False).st_mtime), entry.name)
        for entry in _entries(folder / "snapshots")
        if _COMMIT.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False) and names_if_any(entry.path)
    ]
    return Snapshot(max(found)[1], frozenset(), max(found)[0]) if found else None


def kind_and_name(folder: Path) -> tuple[str, str]:
    """Return which repository the folder of a copy is of: "model" or "dataset", and ORG/NAME."""
    name = repository_name(folder.name) or folder.name
    kind, _, rest = name.partition("/")
    return ("dataset", rest) if kind == "datasets" and "/" in rest else ("model", name)


def blob_of(name: str) -> str:
    """Return of which blob a file is that is called so: itself, what comes of it, or a note beside that."""
    return name.partition(".")[0] if "." in name else name


def _snapshots(folder: Path, fd: int) -> Iterator[Snapshot]:
    for entry in _entries(folder / "snapshots"):
        if _COMMIT.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
            used_at = int(entry.stat(follow_symlinks=False).st_mtime)
            yield Snapshot(entry.name, _blobs(folder, fd, entry.name), used_at)


def _blobs(folder: Path, fd: int, commit: str) -> frozenset[str]:
    try:
        trees = os.open("trees", FOLDER_FLAGS, dir_fd=fd)
        try:
            listing = read_listing(f"{commit}.json", dir_fd=trees)
        finally:
            os.close(trees)
    except (FileNotFoundError, NotADirectoryError, Damaged):
        return frozenset(_linked(folder / "snapshots" / commit))
    return frozenset(each.lfs_sha256 or each.blob_id for each in listing.values())


def _linked(folder: Path) -> Iterator[str]:
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _linked(Path(entry.path))
        elif entry.is_symlink():
            yield os.path.basename(os.readlink(entry.path))


def _listed(folder: Path) -> set[str]:
    return {name.removesuffix(".json") for name in names_if_any(folder / "trees") if name.endswith(".json")}


def _sizes(folder: Path) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for part in ("blobs", ".coming"):
        for entry in _entries(folder / part):
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            # A part of a large file is written at its place: the length says nothing of what it takes.
            taken = status.st_size if part == "blobs" else min(status.st_size, status.st_blocks * 512)
            blob = blob_of(entry.name)
            sizes[blob] = sizes.get(blob, 0) + taken
    return sizes


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
