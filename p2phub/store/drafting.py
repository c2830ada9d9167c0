"""Drafts: files that are written into the home's own store to be published, and what was published so.

    HOME/published/drafts/<32 hex>/   a draft under way: its files, and a lock that says that somebody is at it
    HOME/published/content/<sha256>   a file of what was published, read-only, however many versions have it
    HOME/published/<manifest>/        a version: a link to each of its files, so that any tool can open them
    HOME/published/lock               shared by who publishes, held alone by who collects

A version's files are held by their place, as adopted ones are, so that versions share what they have in common, with a
folder of the user's, too. The links are for people, and for an index that was lost.

> write -> sync -> rename into content -> sync of content -> links -> sync -> rename of their folder -> sync -> record

What a crash leaves before the record is named by no holding: drafts go when the next one begins, the rest when
something is collected. What fails before the record, on a full disk, say, puts back into the draft what was moved out
of it: it can be published again. What stands in `content` already is believed if a holding does, and replaced
otherwise.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from p2phub.content import Digest
from p2phub.errors import ContentChanged, HubError, Malformed, Occupied
from p2phub.manifest import Manifest
from p2phub.store.database import DOUBTED
from p2phub.store.destination import need_room
from p2phub.store.disk import FOLDER_FLAGS, ONE_BY_ONE_MAX, READ_FLAGS, WRITE_FLAGS, Disk, disk_errors, names_if_any
from p2phub.store.fingerprints import Fingerprint
from p2phub.store.folders import Tree, fingerprint
from p2phub.store.holdings import Holdings
from p2phub.store.interface import HashedFile
from p2phub.store.keeping import Leftover
from p2phub.store.own_folder import LOCK, open_locked
from p2phub.store.removing import GOING, bytes_taken, remove_tree, set_aside, tree_bytes

PUBLISHED = "published"
CONTENT = "content"
DRAFTS = "drafts"
_DRAFT_NAME = re.compile(r"[0-9a-f]{32}")
_TREE = "tree"
_FILES = "files"
_TRIES_MAX = 4

Record = Callable[[Manifest, Digest, Path, Sequence[HashedFile]], None]


class _Moves(msgspec.Struct):
    """What one publishing did to drafts. `moved`: where a file was, the name it has now in `content`, and which it is
    (device, inode); `twice`: files that are there by now under another name, and held."""

    moved: dict[Path, tuple[str, tuple[int, int]]] = msgspec.field(default_factory=dict)
    twice: list[Path] = msgspec.field(default_factory=list)


class Drafts:
    """What one home has of drafts. Thread-safe. Methods raise OSError, DiskError."""

    def __init__(self, home: Path, disk: Disk, holdings: Holdings) -> None:
        self.folder = Path(os.path.abspath(home)) / PUBLISHED
        self._disk = disk
        self._holdings = holdings

    # --- a draft ----------------------------------------------------------------------------------------------------

    def open(self, record: Record) -> Draft:
        """Begin a draft; `record` holds what it becomes. What killed processes left of theirs goes."""
        with self._opened(make=True) as root:
            for name in (CONTENT, DRAFTS):
                with contextlib.suppress(FileExistsError):
                    self._disk.mkdir(name, 0o755 if name == CONTENT else 0o700, dir_fd=root)
            self._disk.fsync(root)
            self._tidy(root, lambda: False)
            at = os.open(DRAFTS, FOLDER_FLAGS, dir_fd=root)
            try:
                return self._begin(at, record)
            finally:
                os.close(at)

    def _begin(self, at: int, record: Record) -> Draft:
        for left in reversed(range(_TRIES_MAX)):
            name = secrets.token_hex(16)
            busy = Occupied(f"{self.folder / DRAFTS / name} is being removed", hint="run it again")
            try:
                own, lock = open_locked(self._disk, at, name, judge=lambda status, made: None, busy=busy)
            except Occupied:  # Whoever tidies up took it for one that was left.
                if not left:
                    raise
                continue
            self._disk.mkdir(_FILES, 0o700, dir_fd=own)
            return Draft(self, name, own, lock, record)
        raise AssertionError("the last try raises")

    def _tidy(self, root: int, stopped: Callable[[], bool]) -> list[Leftover]:
        """Remove drafts whose process ended without a word."""
        gone = []
        with contextlib.suppress(FileNotFoundError):
            at = os.open(DRAFTS, FOLDER_FLAGS, dir_fd=root)
            try:
                for name in os.listdir(at):
                    if not name.startswith(GOING) and not _DRAFT_NAME.fullmatch(name):
                        continue
                    taken = bytes_taken(self.folder / DRAFTS / name)
                    if not stopped() and self.remove(at, name):
                        gone.append(Leftover(self.folder / DRAFTS / name, taken))
            finally:
                os.close(at)
        return gone

    def remove(self, at: int, name: str, held: tuple[int, int] | None = None) -> bool:
        """Remove a draft; False if somebody is at it. `held`: descriptors of its folder and its lock, if we are."""
        try:
            aside = name
            if not name.startswith(GOING):
                busy = Occupied(f"{name} is being written")
                own, lock = held or open_locked(self._disk, at, name, judge=lambda status, made: None, busy=busy)
                try:
                    aside = set_aside(self._disk, name, dir_fd=at)
                finally:
                    os.close(lock)
                    os.close(own)
            remove_tree(self._disk, aside, dir_fd=at)
        except Occupied:
            return False
        except FileNotFoundError:  # Another process was at it, too.
            pass
        return True

    # --- what was published -----------------------------------------------------------------------------------------

    def bytes(self) -> int:
        """Return what the files of all that was published come to."""
        return tree_bytes(self.folder / CONTENT)

    def leftovers(self) -> Iterator[Leftover]:
        """Yield what nothing that is held has: files, and folders of links. Of drafts only those that are going."""
        for name in self._unneeded():
            yield Leftover(self.folder / name, _bytes_at(self.folder / name))

    def sweep(self, stopped: Callable[[], bool]) -> list[Leftover]:
        """Remove what nothing has, and drafts that were left."""
        gone: list[Leftover] = []
        with contextlib.suppress(FileNotFoundError), self._opened() as root:
            gone += self._tidy(root, stopped)
            with self.locked(root, fcntl.LOCK_EX):  # Nobody is between moving files here and recording them.
                for name in self._unneeded():
                    if stopped():
                        break
                    left = Leftover(self.folder / name, _bytes_at(self.folder / name))
                    self._remove_published(root, name)
                    gone.append(left)
        return gone

    def _remove_published(self, root: int, name: str) -> None:
        folder, _, file = name.rpartition("/")
        with contextlib.suppress(FileNotFoundError):
            if folder:
                at = os.open(folder, FOLDER_FLAGS, dir_fd=root)
                try:
                    self._disk.unlink(file, dir_fd=at)
                finally:
                    os.close(at)
            else:
                aside = name if name.startswith(GOING) else set_aside(self._disk, name, dir_fd=root)
                remove_tree(self._disk, aside, dir_fd=root)

    def _unneeded(self) -> list[str]:
        """Return what nothing that is held has: paths below the folder. Nothing if that cannot be told."""
        # By the log, too: what was recorded in an index that was put aside is held all the same.
        held = {(row.manifest, row.folder) for row in self._holdings.index.holdings()}
        held |= {(each.manifest, each.folder) for each in self._holdings.logged()}
        versions = {manifest: folder for manifest, folder in held if folder.parent == self.folder}
        folders = {folder.name for folder in versions.values()}
        names = sorted(names_if_any(self.folder))
        unneeded = [name for name in names if name.startswith(GOING) or (_is_digest(name) and name not in folders)]
        content = self.folder / CONTENT
        needed = {os.path.basename(place) for place in self._holdings.keeping.used_by_others(content)[1]}
        # By their manifests, too: an index that was lost knows no places until all was looked at.
        for digest in versions:
            manifest = self._holdings.manifests.manifest(digest)
            if manifest is None:
                return unneeded
            needed |= {os.fsencode(entry.sha256.hex()) for entry in manifest.files}
        unneeded += [f"{CONTENT}/{name}" for name in sorted(names_if_any(content)) if os.fsencode(name) not in needed]
        return unneeded

    # --- the folders ------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _opened(self, *, make: bool = False) -> Iterator[int]:
        if make:
            home = os.open(self.folder.parent, FOLDER_FLAGS & ~os.O_NOFOLLOW)
            try:
                with contextlib.suppress(FileExistsError):
                    self._disk.mkdir(PUBLISHED, 0o755, dir_fd=home)
                    self._disk.fsync(home)
            finally:
                os.close(home)
        fd = os.open(self.folder, FOLDER_FLAGS & ~os.O_NOFOLLOW)  # A user may have it on another disk, by a link.
        try:
            yield fd
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def locked(self, root: int, kind: int) -> Iterator[None]:
        """Have what was published to ourselves, or share it with others who add to it."""
        fd = self._disk.open(LOCK, WRITE_FLAGS | os.O_CREAT, 0o600, dir_fd=root)
        try:
            fcntl.flock(fd, kind)
            yield
        finally:
            os.close(fd)

    # --- publishing -------------------------------------------------------------------------------------------------

    def publish(
        self, draft: Draft, manifest: Manifest, digest: Digest, files: Sequence[HashedFile], record: Record
    ) -> tuple[HashedFile, ...]:
        with self._opened() as root, self.locked(root, fcntl.LOCK_SH):
            folder = self.folder / digest.raw.hex()
            was_held = any(row.folder == folder for row in self._holdings.index.holdings(digest))
            content = os.open(CONTENT, FOLDER_FLAGS, dir_fd=root)
            moves = _Moves()
            try:
                standing = self._move_in(files, content, moves)
                self._lay_out(draft, digest, standing, root)
                record(manifest, digest, folder, standing)
            except BaseException:
                if not was_held:
                    with contextlib.suppress(HubError):  # Where it cannot be forgotten, all of it is found in doubt.
                        self._holdings.release(digest, folder)
                self._move_back(moves, content)
                raise
            finally:
                os.close(content)
            self._drop_twice(moves)
        return standing

    def _move_in(self, files: Sequence[HashedFile], content: int, moves: _Moves) -> tuple[HashedFile, ...]:
        """Make files durable and move those of drafts to where they stay."""
        drafts = os.fspath(self.folder / DRAFTS) + "/"
        ours: dict[Path, HashedFile] = {}
        for file in files:
            assert file.place is not None, "files of a draft have a place"
            if os.fspath(file.place).startswith(drafts):
                ours[file.place] = file
            elif _fingerprint_at(file.place) != file.fingerprint:
                raise ContentChanged(f"{file.place} has changed since it was hashed", hint="publish it again")
        self._sync([(place, file.fingerprint) for place, file in ours.items()], content)
        stands = {place: self._move(place, file, content, moves) for place, file in ours.items()}
        if stands:
            self._disk.fsync(content)
        stay = self.folder / CONTENT
        return tuple(
            file
            if file.place not in stands
            else replace(file, place=stay / file.entry.sha256.hex(), fingerprint=stands[file.place])
            for file in files
        )

    def _drop_twice(self, moves: _Moves) -> None:
        """Remove from drafts what was there already. What stays goes with its draft."""
        for place in moves.twice:
            with contextlib.suppress(OSError):
                at = os.open(place.parent, FOLDER_FLAGS)
                try:
                    self._disk.unlink(place.name, dir_fd=at)
                finally:
                    os.close(at)

    def _move_back(self, moves: _Moves, content: int) -> None:
        """Put files back where they were written, but for those that somebody else has put there meanwhile."""
        for place, (name, moved) in moves.moved.items():
            with contextlib.suppress(OSError):
                there = os.stat(name, dir_fd=content, follow_symlinks=False)
                if (there.st_dev, there.st_ino) != moved:
                    continue
                at = os.open(place.parent, FOLDER_FLAGS)
                try:
                    self._disk.rename_new(name, place.name, source_fd=content, target_fd=at)
                finally:
                    os.close(at)

    def _sync(self, ours: Sequence[tuple[Path, Fingerprint]], content: int) -> None:
        one_by_one = len(ours) <= ONE_BY_ONE_MAX
        for place, hashed in ours:
            fd = os.open(place, READ_FLAGS)
            try:
                if fingerprint(os.fstat(fd)) != hashed:
                    raise ContentChanged(f"{place} has changed since it was hashed", hint="write it again")
                self._disk.make_read_only(fd)
                if one_by_one:
                    self._disk.fdatasync(fd)
            finally:
                os.close(fd)
        if not one_by_one and not self._disk.syncfs(content):
            for place, _ in ours:
                fd = os.open(place, READ_FLAGS)
                try:
                    self._disk.fdatasync(fd)
                finally:
                    os.close(fd)

    def _move(self, place: Path, file: HashedFile, content: int, moves: _Moves) -> Fingerprint:
        """Give a file its name among those that stay, and return how it stands there."""
        name, hashed = file.entry.sha256.hex(), file.fingerprint
        at = os.open(place.parent, FOLDER_FLAGS)
        try:
            try:
                self._disk.rename_new(place.name, name, source_fd=at, target_fd=content)
            except FileExistsError:
                there = fingerprint(os.stat(name, dir_fd=content, follow_symlinks=False))
                if self._is_held(name, there):
                    moves.twice.append(place)
                    return there
                self._disk.replace(place.name, name, source_fd=at, target_fd=content)
        finally:
            os.close(at)
        moves.moved[place] = name, (hashed.device, hashed.inode)
        now = fingerprint(os.stat(name, dir_fd=content, follow_symlinks=False))
        if now.values()[:4] != hashed.values()[:4]:  # The mode and the name changed its ctime.
            raise ContentChanged(f"{place} changed while it was published", hint="write it again")
        return now

    def _is_held(self, name: str, now: Fingerprint) -> bool:
        """Whether what stands in `content` under this name is what somebody holds."""
        index = self._holdings.index
        for holding, number in index.at_place(os.fsencode(self.folder / CONTENT / name)):
            known = index.file(holding, number)
            if known is not None and known.standing != DOUBTED and known.fingerprint == now:
                return True
        return False

    def _lay_out(self, draft: Draft, digest: Digest, files: Sequence[HashedFile], root: int) -> None:
        """Make the folder of a version."""
        name = digest.raw.hex()
        rows = self._holdings.index.holdings(digest)
        if any(row.folder == self.folder / name for row in rows) and os.path.isdir(self.folder / name):
            return  # As it was: what a version has never changes.
        with contextlib.suppress(FileNotFoundError):
            remove_tree(self._disk, _TREE, dir_fd=draft.own)
        self._disk.mkdir(_TREE, 0o755, dir_fd=draft.own)
        top = os.open(_TREE, FOLDER_FLAGS, dir_fd=draft.own)
        tree = Tree(self._disk, top)
        content = os.fspath(self.folder / CONTENT) + "/"
        try:
            for file in files:
                path, place = file.entry.path, os.fspath(file.place or "")
                up = "../" * (path.count("/") + 1)
                target = f"{up}{CONTENT}/{place.removeprefix(content)}" if place.startswith(content) else place
                folder, last = tree.place(path, make=True)
                self._disk.symlink(target, last, dir_fd=folder)
                tree.note(path)
            tree.flush(one_by_one_max=ONE_BY_ONE_MAX)
        finally:
            tree.close()
            os.close(top)
        with contextlib.suppress(FileNotFoundError):  # A crash left it.
            remove_tree(self._disk, set_aside(self._disk, name, dir_fd=root), dir_fd=root)
        self._disk.rename_new(_TREE, name, source_fd=draft.own, target_fd=root)
        self._disk.fsync(root)


class Draft:
    """One draft: `interface.DraftFolder`. `own`: a descriptor of its folder."""

    def __init__(self, drafts: Drafts, name: str, own: int, lock: int, record: Record) -> None:
        self._drafts = drafts
        self._name = name
        self.own = own
        self._lock = lock
        self._record = record
        self._closed = False
        self.folder = drafts.folder / DRAFTS / name / _FILES

    def need_room(self, count: int) -> None:
        with disk_errors(f"write in {self._drafts.folder}"):
            need_room(self.own, self._drafts.folder, count, hint="make room, then run it again")

    def hold(self, manifest: Manifest, digest: Digest, files: Sequence[HashedFile]) -> tuple[HashedFile, ...]:
        with disk_errors(f"publish in {self._drafts.folder}"):
            return self._drafts.publish(self, manifest, digest, files, self._record)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with disk_errors(f"remove {self.folder.parent}"):
            at = os.open(self.folder.parent.parent, FOLDER_FLAGS)
            try:
                self._drafts.remove(at, self._name, (self.own, self._lock))
            finally:
                os.close(at)


def _fingerprint_at(place: Path) -> Fingerprint | None:
    try:
        return fingerprint(os.stat(place, follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _bytes_at(path: Path) -> int:
    try:
        return tree_bytes(path) if path.is_dir() and not path.is_symlink() else os.lstat(path).st_size
    except OSError:
        return 0


def _is_digest(name: str) -> bool:
    try:
        return Digest(bytes.fromhex(name)).raw.hex() == name
    except (ValueError, Malformed):
        return False
