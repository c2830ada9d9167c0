"""Collection of what came from an upstream hub: a snapshot at a time, whole or not at all.

    forget what is held of it (durably) -> set its folder aside -> then its listing, and the blobs that no other
    snapshot has -> remove what was set aside
    the last one: forget -> set the repository aside -> remove what was set aside, which nobody waits for
Until its folder is aside, all of it is there, and held again when somebody asks for it; after that nobody finds it, and
what is left belongs to no snapshot, which the next collection sees. Its folder's lock is had by whoever uses it, the
repository's by whoever begins a snapshot: blobs are told apart while none begins, and a snapshot that began has its
blobs by its listing, be they here or not. Source: docs/decisions/0119-upstream-counts.md.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path

import msgspec

from p2phub.content import Digest
from p2phub.store.disk import Disk, folder_if_any
from p2phub.store.holding import Origin
from p2phub.store.holdings import Holdings
from p2phub.store.hub_copies import Copy, Snapshot, blob_of, copies_in, copy_at, set_aside_in, upstream_of
from p2phub.store.hub_copy import PARTS
from p2phub.store.hub_lock import alone
from p2phub.store.index_keeping import PlacedRow
from p2phub.store.keeping import USED_LATELY_S, Keep, Leftover, SpareSnapshot, UpstreamLook, UpstreamUsage
from p2phub.store.ledger import PIN
from p2phub.store.logged import HOLDING, holding_key
from p2phub.store.removing import remove_tree, set_aside, tree_bytes
from p2phub.store.state_log import StateLog


class _Held(msgspec.Struct, frozen=True):
    """What is held of the copies: by folder (of a snapshot, or a blob), which of those folders are `kept`, and whether
    something else is there, too."""

    rows: Mapping[bytes, Sequence[PlacedRow]]
    kept: Set[bytes]
    others: Sequence[bytes]
    around: bool

    def of(self, copy: Copy, snapshot: Snapshot, blobs: Iterable[str]) -> list[PlacedRow]:
        """Return what is held of a snapshot, and of single blobs."""
        return [row for folder in _folders(copy, snapshot, blobs) for row in self.rows.get(folder, ())]

    def may_go(self, copy: Copy, snapshot: Snapshot) -> bool:
        """Whether nothing that is kept is in a snapshot, and nobody used it lately."""
        if _used_at(snapshot, self.of(copy, snapshot, snapshot.blobs)) >= time.time() - USED_LATELY_S:
            return False
        return not self.kept or self.kept.isdisjoint(_folders(copy, snapshot, snapshot.blobs))

    def has_others(self, copy: Copy) -> bool:
        """Whether anything stands there that is published, fetched, or found there by another holding."""
        starts = tuple(way + b"/" for way in _ways(copy.folder))
        return self.around or any((place + b"/").startswith(starts) for place in self.others)


class HubCollector:
    """Collects the copies of one home. Thread-safe. Methods raise OSError, DiskError."""

    def __init__(self, home: Path, disk: Disk, log: StateLog, holdings: Holdings) -> None:
        self._home = home
        self._upstream = upstream_of(home)
        self._disk = disk
        self._log = log
        self._holdings = holdings
        self._index = holdings.keeping

    # --- what may go -----------------------------------------------------------------------------------------------

    def look(self, keep: Keep) -> UpstreamLook:
        """Return what may go, what collections left that were ended, and what all of it takes. Changes nothing."""
        held = self._held(keep)
        spare: list[SpareSnapshot] = []
        leftovers: list[Leftover] = []
        total = snapshots = 0
        for copy in copies_in(self._home):
            total += sum(copy.sizes.values()) + sum(copy.left.values())
            snapshots += len(copy.snapshots)
            if copy.has_leftovers():
                leftovers.append(Leftover(copy.folder, copy.leftover_bytes()))
            if not held.has_others(copy):
                spare += _spare(copy, held)
        for at in set_aside_in(self._home):
            leftovers.append(Leftover(at, tree_bytes(at)))
            total += leftovers[-1].bytes
        usage = UpstreamUsage(total, min(self._index.bytes_placed(_ways(self._upstream)), total), snapshots)
        return UpstreamLook(tuple(spare), tuple(leftovers), usage)

    def _held(self, keep: Keep) -> _Held:
        ways = _ways(self._upstream)
        rows: dict[bytes, list[PlacedRow]] = {}
        others: list[bytes] = []
        for row in self._index.held_below(ways):
            if row.origin is Origin.ADOPTED:
                rows.setdefault(row.folder, []).append(row)
            else:
                others.append(row.folder)
        others += self._index.placed_by_others(ways)
        around = [os.fsencode(at) for way in ways for at in (Path(os.fsdecode(way)), *Path(os.fsdecode(way)).parents)]
        wanted = keep.pinned | keep.busy
        kept = {row.folder for each in rows.values() for row in each if row.manifest in wanted}
        kept |= self._holdings.logged_in(wanted)
        return _Held(rows, kept, others, self._index.is_held_at(around))

    # --- how it goes -----------------------------------------------------------------------------------------------

    def collect(self, spare: SpareSnapshot, keep: Keep) -> int | None:
        """Let go of a snapshot; return how many bytes that were, None if it is needed by now."""
        folder = spare.folder.parent.parent
        with contextlib.ExitStack() as stack:
            at = stack.enter_context(alone(folder))
            snapshots = stack.enter_context(folder_if_any(folder / "snapshots"))
            its_own = stack.enter_context(alone(spare.folder))
            if at is None or snapshots is None or its_own is None:
                return None
            copy = copy_at(folder)
            snapshot = None if copy is None else _of(copy, spare.commit)
            if copy is None or snapshot is None:
                return None
            blobs = snapshot.blobs.difference(*(each.blobs for each in copy.snapshots if each is not snapshot))
            if not self._forget(copy, snapshot, blobs, keep):
                return None
            if len(copy.snapshots) == 1 and PARTS.issuperset(os.listdir(at)):
                cache = stack.enter_context(folder_if_any(folder.parent))
                assert cache is not None, "the folder of a repository that is open stands somewhere"
                aside = set_aside(self._disk, folder.name, dir_fd=cache)
                self._disk.fsync(cache)
            else:
                self._take_apart(self._set_aside(copy, snapshot, blobs, at, snapshots), at)
                aside = None
        if aside is not None:  # Nobody waits for it any more.
            with folder_if_any(folder.parent) as cache:
                if cache is not None:
                    self._take_apart(aside, cache)
        return sum(copy.sizes.get(blob, 0) for blob in blobs)

    def _forget(self, copy: Copy, snapshot: Snapshot, blobs: frozenset[str], keep: Keep) -> bool:
        """Forget what is held of a snapshot, and of the blobs that go with it; False if it is to stay."""
        with self._log.changing():
            pinned = {Digest(bytes.fromhex(manifest)) for (manifest,) in self._log.all(PIN)}
            held = self._held(msgspec.structs.replace(keep, pinned=keep.pinned | pinned))
            if held.has_others(copy) or not held.may_go(copy, snapshot):
                return False
            for row in held.of(copy, snapshot, blobs):
                self._retire(row)
        return True

    def _retire(self, row: PlacedRow) -> None:
        self._index.retire(row)
        self._log.remove(HOLDING, holding_key(row.manifest, Path(os.fsdecode(row.folder))))

    def _set_aside(self, copy: Copy, snapshot: Snapshot, blobs: frozenset[str], at: int, snapshots: int) -> str:
        """Take a snapshot out of its repository; return the name of the folder that has all of it then."""
        aside = set_aside(self._disk, snapshot.commit, dir_fd=snapshots, into=at)
        # Before any of its blobs goes: a power cut must not leave the names of what is gone.
        self._disk.fsync(at)
        self._disk.fsync(snapshots)
        with folder_if_any(copy.folder / "trees") as trees:
            if trees is not None:
                with contextlib.suppress(FileNotFoundError):
                    self._disk.unlink(f"{snapshot.commit}.json", dir_fd=trees)
        self._remove_blobs(copy.folder, blobs)
        return aside

    def _remove_blobs(self, folder: Path, blobs: frozenset[str]) -> None:
        for part in ("blobs", ".coming", ".seen"):
            with folder_if_any(folder / part) as fd:
                for name in [] if fd is None else os.listdir(fd):
                    if fd is not None and blob_of(name) in blobs:
                        with contextlib.suppress(FileNotFoundError):
                            self._disk.unlink(name, dir_fd=fd)

    def _take_apart(self, name: str, fd: int) -> None:
        with contextlib.suppress(FileNotFoundError):  # Another collection is at it.
            remove_tree(self._disk, name, dir_fd=fd)

    def _remove_if_empty(self, folder: Path, fd: int) -> None:
        """Remove the folder of a repository in which nothing is left."""
        with contextlib.suppress(OSError):  # Somebody begins a snapshot: then it is not empty, or is made again.
            for part in PARTS:
                with contextlib.suppress(FileNotFoundError):
                    self._disk.rmdir(part, dir_fd=fd)
            with folder_if_any(folder.parent) as above:
                if above is not None:
                    self._disk.rmdir(folder.name, dir_fd=above)

    def sweep(self, stopped: Callable[[], bool]) -> list[Leftover]:
        """Remove what collections left that were ended; forget what is held and stands nowhere any more."""
        removed: list[Leftover] = []
        for copy in copies_in(self._home):
            if stopped():
                return removed
            if copy.has_leftovers() and self._tidy(copy.folder):
                removed.append(Leftover(copy.folder, copy.leftover_bytes()))
        for at in set_aside_in(self._home):
            with folder_if_any(at.parent) as cache:
                if cache is not None and not stopped():
                    removed.append(Leftover(at, tree_bytes(at)))
                    self._take_apart(at.name, cache)
        self._forget_gone()
        return removed

    def _tidy(self, folder: Path) -> bool:
        with alone(folder) as at:
            copy = None if at is None else copy_at(folder)
            if at is None or copy is None:
                return False
            self._remove_blobs(folder, copy.unneeded())
            commits = {each.commit for each in copy.snapshots}
            with folder_if_any(folder / "trees") as trees:
                for name in [] if trees is None else os.listdir(trees):
                    if trees is not None and name.removesuffix(".json") not in commits:
                        self._disk.unlink(name, dir_fd=trees)
            for name in copy.left:
                self._take_apart(name, at)
            if not commits:
                self._remove_if_empty(folder, at)
        return True

    def _forget_gone(self) -> None:
        """Forget what the index or the log says is held of a snapshot that is gone."""
        if os.path.islink(self._upstream) and not os.path.isdir(self._upstream):
            return  # On another disk, which is away.
        starts = tuple(way + b"/" for way in _ways(self._upstream))
        with self._log.changing():
            for row in self._index.held_below(_ways(self._upstream)):
                if row.origin is Origin.ADOPTED and not os.path.lexists(row.folder):
                    self._retire(row)
            for each in list(self._holdings.logged()):
                folder = os.fsencode(each.folder)
                if each.origin is Origin.ADOPTED and folder.startswith(starts) and not os.path.lexists(folder):
                    self._log.remove(HOLDING, holding_key(each.manifest, each.folder))


def _ways(folder: Path) -> tuple[bytes, ...]:
    """Return by which names a folder may be known: its own, and without the links on the way to it."""
    return tuple(dict.fromkeys((os.fsencode(folder), os.fsencode(os.path.realpath(folder)))))


def _of(copy: Copy, commit: str) -> Snapshot | None:
    return next((each for each in copy.snapshots if each.commit == commit), None)


def _spare(copy: Copy, held: _Held) -> Iterator[SpareSnapshot]:
    """Yield what of a repository may go, in its order."""
    rows = {each.commit: held.of(copy, each, each.blobs) for each in copy.snapshots}
    used = {each.commit: _used_at(each, rows[each.commit]) for each in copy.snapshots}
    going = [each.commit for each in copy.snapshots if held.may_go(copy, each)]
    going.sort(key=lambda commit: (used[commit], commit))
    for commit, count in copy.bytes_each(going).items():
        manifests = tuple(dict.fromkeys(row.manifest for row in rows[commit]))
        folder = copy.folder / "snapshots" / commit
        yield SpareSnapshot(copy.name, commit, folder, manifests, count, used[commit])


def _folders(copy: Copy, snapshot: Snapshot, blobs: Iterable[str]) -> Iterator[bytes]:
    """Yield where what is held of a snapshot, and of single blobs, is known to stand."""
    for way in _ways(copy.folder):
        yield way + b"/snapshots/" + snapshot.commit.encode()
        yield from (way + b"/blobs/" + os.fsencode(blob) for blob in blobs)


def _used_at(snapshot: Snapshot, rows: Iterable[PlacedRow]) -> int:
    """Return when a snapshot was used last, as it says itself or what is held of it."""
    return max((snapshot.used_at, *(row.used_at for row in rows)))
