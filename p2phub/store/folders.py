"""Folders by descriptor: how a file is reached so that no link, swapped in at any moment, leads elsewhere.

Every step opens one part below the directory before it, with O_NOFOLLOW. Writing never follows a link. Reading a
published folder follows a link only while it stays inside that folder: relative, a few hops, each `..` answered from
the directories already open; what leaves raises `LeavesFolder`. Only regular files are opened, and never waited for.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import msgspec

from p2phub.content import InFolder, Steady
from p2phub.errors import ContentChanged, DiskError
from p2phub.store.disk import FOLDER_FLAGS, READ_FLAGS, Disk, cannot_read
from p2phub.store.fingerprints import Fingerprint

LINK_HOPS_MAX = 8
OWN_FOLDER = ".p2phub"
"""What a fetch keeps beside its destination; never published, never named by a manifest."""

SHARED_FOLDER = ".p2phub-shared"
"""The catalogue of a shared place (`sharing`); never published."""


class LeavesFolder(DiskError):
    """A link leads out of the folder, nowhere, or in circles."""


class NotAFile(DiskError):
    """What stands there is a folder or a special file."""


def fingerprint(status: os.stat_result) -> Fingerprint:
    return Fingerprint(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class OpenFile(msgspec.Struct, frozen=True):
    """A `Readable`: a descriptor, and the fingerprint that the file had when its bytes were hashed (or when opened)."""

    descriptor: int
    expected: Fingerprint

    @property
    def steady(self) -> Steady:
        is_ = self.expected
        return Steady((is_.device, is_.inode, is_.size, is_.mtime_ns, is_.ctime_ns))

    def unchanged(self) -> bool:
        return fingerprint(os.fstat(self.descriptor)) == self.expected

    def close(self) -> None:
        os.close(self.descriptor)


def names_in(folder_fd: int) -> list[str]:
    """Return what stands in an open folder now. Raises OSError.

    Never list the descriptor itself once anything was made there: where it was read before counts, and btrfs shows by
    it only what was there when it was opened or last read to its end (Linux since 6.5).
    """
    fd = os.open(".", FOLDER_FLAGS, dir_fd=folder_fd)
    try:
        return os.listdir(fd)
    finally:
        os.close(fd)


def open_regular(name: str, *, dir_fd: int | None) -> int:
    """Open a regular file by one name. Raises OSError (ELOOP for a link), NotAFile."""
    # Looked at first: opening a device can have effects of its own.
    status = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISLNK(status.st_mode):
        raise NotAFile(f"{name} is not a regular file")
    fd = os.open(name, READ_FLAGS, dir_fd=dir_fd)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise NotAFile(f"{name} is not a regular file")
    return fd


def open_beneath(root_fd: int, path: str) -> int:
    """Open the regular file `path` (parts joined by `/`) below `root_fd`, following links that stay inside.

    Raises OSError as the system gives it, LeavesFolder, NotAFile. The caller closes the descriptor.
    """
    return open_and_resolve(root_fd, path)[0]


def open_and_resolve(root_fd: int, path: str) -> tuple[int, str]:
    """Like `open_beneath`; returns also the path, from the root on, that the file has when no link is followed."""
    pending = path.split("/")[::-1]
    opened: list[int] = []  # The folders we are in, below the root, and their names.
    names: list[str] = []
    hops = 0
    try:
        while pending:
            part = pending.pop()
            here = opened[-1] if opened else root_fd
            if part in ("", "."):
                continue
            if part == "..":
                if not opened:
                    raise LeavesFolder(f"{path} leads out of its folder")
                os.close(opened.pop())
                names.pop()
                continue
            try:
                if not pending:
                    return open_regular(part, dir_fd=here), "/".join((*names, part))
                opened.append(os.open(part, FOLDER_FLAGS, dir_fd=here))
                names.append(part)
            except OSError as exc:
                if exc.errno not in (errno.ELOOP, errno.ENOTDIR):
                    raise
                hops += 1
                pending.extend(_link_parts(part, here, path, hops, exc))
        raise NotAFile(f"{path} is a folder")
    finally:
        for fd in opened:
            os.close(fd)


def _link_parts(part: str, dir_fd: int, path: str, hops: int, error: OSError) -> list[str]:
    """Return where the link `part` leads, last part first. Raises `error` if it is no link, OSError if that may not be
    read, as of other processes in /proc."""
    try:
        target = os.readlink(part, dir_fd=dir_fd)
    except OSError as exc:
        raise (error if exc.errno == errno.EINVAL else exc) from None
    if target.startswith("/") or hops > LINK_HOPS_MAX:
        raise LeavesFolder(f"{path} leads out of its folder or in circles, by way of a link to {target}")
    return target.split("/")[::-1]


def open_published(folder: Path, path: str, expected: Fingerprint | None = None) -> OpenFile:
    """Open a file of a folder used in place, as it was when hashed (`expected`), or as it is now (None).

    Raises ContentChanged if it is not there, not a file, or not as expected; DiskError for other faults of the disk.
    """
    try:
        root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fd = open_beneath(root, path)
        finally:
            os.close(root)
    except (LeavesFolder, NotAFile) as exc:
        raise ContentChanged(f"{folder / path}: {exc.message}") from exc
    except OSError as exc:
        if exc.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise ContentChanged(f"{folder / path} is not there any more") from exc
        raise cannot_read(folder / path, exc) from exc
    found = fingerprint(os.fstat(fd))
    if expected is not None and found != expected:
        os.close(fd)
        raise ContentChanged(f"{folder / path} has changed since it was hashed", hint="publish the folder again")
    return OpenFile(fd, found)


def open_place(place: str | Path, expected: Fingerprint | None = None) -> OpenFile:
    """Open a file by its absolute path, as it was when hashed (`expected`), or as it is now (None). Folders on the way
    may be links, as whoever keeps them likes; the file itself must be none.

    Raises ContentChanged, DiskError, as `open_published` does.
    """
    try:
        fd = open_regular(os.fspath(place), dir_fd=None)
    except NotAFile as exc:
        raise ContentChanged(f"{place} is no file any more") from exc
    except OSError as exc:
        if exc.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise ContentChanged(f"{place} is not there any more") from exc
        raise cannot_read(place, exc) from exc
    found = fingerprint(os.fstat(fd))
    if expected is not None and found != expected:
        os.close(fd)
        raise ContentChanged(f"{place} has changed since it was hashed", hint="adopt it again")
    return OpenFile(fd, found)


class FolderWalk:
    """Opens files of a folder used in place, as they were when hashed, one after the other. One thread's.

    Keeps the folder of the last file open, so that its neighbours need no walk from the root: a shortcut alone. What
    is not just as expected there is opened, or refused, as `open_published` has it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parent: str | None = None
        self._fd = -1

    def open(self, path: str, expected: Fingerprint) -> OpenFile:
        """Raises ContentChanged, DiskError."""
        parent, _, name = path.rpartition("/")
        try:
            if parent != self._parent:
                self._go_to(parent)
            if fingerprint(os.stat(name, dir_fd=self._fd, follow_symlinks=False)) == expected:
                fd = os.open(name, READ_FLAGS, dir_fd=self._fd)
                if fingerprint(os.fstat(fd)) == expected:
                    return OpenFile(fd, expected)
                os.close(fd)
        except OSError:
            pass
        self.close()
        return open_published(self._folder, path, expected)

    def in_folder(self, path: str, expected: Fingerprint) -> InFolder | None:
        """Return where the file is, if no link is on the way there; whether it is there, whoever opens it finds."""
        parent, _, name = path.rpartition("/")
        try:
            if parent != self._parent:
                self._go_to(parent)
        except OSError:
            return None
        return InFolder(parent, self._fd, name, expected.values())

    def _go_to(self, parent: str) -> None:
        """Raises OSError, also where a link is on the way."""
        self.close()
        here = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for part in parent.split("/") if parent else ():
            try:
                below = os.open(part, FOLDER_FLAGS, dir_fd=here)
            finally:
                os.close(here)
            here = below
        self._parent, self._fd = parent, here

    def close(self) -> None:
        if self._parent is not None:
            os.close(self._fd)
        self._parent, self._fd = None, -1


def open_destination(disk: Disk, folder: Path) -> tuple[int, tuple[Path, ...]]:
    """Open the folder that a fetch goes to, made if it is not there, with its parents. Returns also those made.

    Links among its parents are the user's own way to name a place and are followed once, here; the folder itself must
    not be a link, and below it none is followed. Raises OSError.
    """
    folder = Path(os.path.abspath(folder))
    target = Path(os.path.realpath(folder.parent)) / folder.name
    missing: list[str] = []
    at = target
    fd = -1
    while fd < 0:
        try:
            fd = os.open(at, FOLDER_FLAGS)
        except FileNotFoundError:
            missing.append(at.name)
            at = at.parent
    made: list[Path] = []
    try:
        for name in reversed(missing):
            at = at / name
            with contextlib.suppress(FileExistsError):  # Another fetch was faster.
                disk.mkdir(name, dir_fd=fd)
                made.append(at)
                disk.fsync(fd)
            below = os.open(name, FOLDER_FLAGS, dir_fd=fd)
            os.close(fd)
            fd = below
    except OSError:
        os.close(fd)
        unmake(disk, made)
        raise
    return fd, tuple(made)


def unmake(disk: Disk, made: Sequence[Path]) -> None:
    """Remove folders that were made, each in the one before, as far as they are empty."""
    for folder in reversed(made):
        with contextlib.suppress(OSError):
            parent = os.open(folder.parent, FOLDER_FLAGS)
            try:
                disk.rmdir(folder.name, dir_fd=parent)
            finally:
                os.close(parent)


class Tree:
    """The folders below one root, made and opened on the way, never through a link. One thread at a time.

    Keeps the chain of folders to the last place open: paths that come in order cost one step each.
    `changed` names the folders ("" is the root) in which something was renamed and not made durable yet, `made`
    those in which a folder was made.
    """

    def __init__(self, disk: Disk, root_fd: int) -> None:
        self._disk = disk
        self._root = root_fd
        self._chain: list[tuple[str, int]] = []
        self._at: str | None = ""  # The folder at the end of the chain.
        self.changed: set[str] = set()
        self.made: set[str] = set()

    def folder(self, path: str, *, make: bool = False) -> int:
        """Return a descriptor of the folder `path` ("" is the root), good until the next call. Raises OSError."""
        if path == self._at:
            return self._chain[-1][1] if self._chain else self._root
        parts = path.split("/") if path else []
        self._at = None
        same = 0
        while same < min(len(parts), len(self._chain)) and self._chain[same][0] == parts[same]:
            same += 1
        while len(self._chain) > same:
            os.close(self._chain.pop()[1])
        for depth in range(same, len(parts)):
            here = self._chain[-1][1] if self._chain else self._root
            try:
                fd = os.open(parts[depth], FOLDER_FLAGS, dir_fd=here)
            except FileNotFoundError:
                if not make:
                    raise
                with contextlib.suppress(FileExistsError):
                    self._disk.mkdir(parts[depth], dir_fd=here)
                    self.made.add("/".join(parts[:depth]))
                fd = os.open(parts[depth], FOLDER_FLAGS, dir_fd=here)
            self._chain.append((parts[depth], fd))
        self._at = path
        return self._chain[-1][1] if self._chain else self._root

    def place(self, path: str, *, make: bool = False) -> tuple[int, str]:
        """Return (descriptor of the folder, last part) of `path`. Raises OSError."""
        folder, _, name = path.rpartition("/")
        return self.folder(folder, make=make), name

    def status(self, path: str) -> os.stat_result | None:
        """Return what stands at `path`, links not followed; None if nothing. Raises OSError."""
        try:
            fd, name = self.place(path)
            return os.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def is_elsewhere(self) -> bool:
        """Whether the last folder on the way to the path asked for, as far as it is there, lies on another file system
        than the root: nothing can be renamed from the root into it. Raises OSError."""
        if not self._chain:
            return False
        return os.fstat(self._chain[-1][1]).st_dev != os.fstat(self._root).st_dev

    def first_missing(self, path: str) -> str:
        """Return "a/b/" for the first folder on the way to `path` that was not there when `status` said that nothing
        is; "" if all are."""
        if self._at is not None:
            return ""
        return "/".join(path.split("/")[: len(self._chain) + 1]) + "/"

    def note(self, path: str) -> None:
        """Note that the entry of `path` was changed."""
        self.changed.add(path.rpartition("/")[0])

    def flush_made(self, *, one_by_one_max: int) -> None:
        """Make the folders that were made durable. Raises OSError; then they count as still to do."""
        self._flush(self.made, one_by_one_max)

    def flush(self, *, one_by_one_max: int) -> None:
        """Make all changed entries durable. Raises OSError; then they count as still to do."""
        self.flush_made(one_by_one_max=one_by_one_max)
        self._flush(self.changed, one_by_one_max)

    def _flush(self, folders: set[str], one_by_one_max: int) -> None:
        if len(folders) <= one_by_one_max or not self._disk.syncfs(self._root):
            for path in sorted(folders):
                self._disk.fsync(self.folder(path))
        folders.clear()

    def close(self) -> None:
        self._at = ""
        while self._chain:
            os.close(self._chain.pop()[1])
