"""The one place where the store changes the disk: each effect is a method, so that a test can lose, tear or refuse it.

Methods raise OSError as the system gives it; `disk_errors` turns that into ours at the edge of each call of the store.
Reads are not here: they change nothing, and what they give is checked against digests and checksums anyway.
Directories are always descriptors and names single parts: no path is looked up twice. Source: docs/design/store.md.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from p2phub import limits
from p2phub.errors import DiskError, DiskFull
from p2phub.store.tmpfs import is_in_memory

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
READ_FLAGS = (
    os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
)  # Never waits for a pipe's writer.
WRITE_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
MAKE_FLAGS = WRITE_FLAGS | os.O_CREAT | os.O_EXCL

ONE_BY_ONE_MAX = 8
"""Up to this many files or folders are synced one by one; more by one sync of the whole file system."""

PREALLOCATE_ABOVE_BYTES = limits.MIB  # For small files it costs more than it tells.

_LIBC = ctypes.CDLL(None, use_errno=True)  # Calls through it give up the GIL.
_RENAME_NOREPLACE = 1
_NOT_SUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}
_FICLONE = getattr(fcntl, "FICLONE", 0x40049409)  # Where a machine numbers it otherwise: ENOTTY, and so a plain copy.
_CANNOT_SHARE = _NOT_SUPPORTED | {errno.EXDEV, errno.ENOTTY, errno.EBADF, errno.ETXTBSY}


@contextlib.contextmanager
def open_for_reading(
    path: str | os.PathLike[str], *, flags: int = READ_FLAGS, dir_fd: int | None = None
) -> Iterator[BufferedReader]:
    """Open a regular file. Raises OSError, also for what is none: nothing is waited for."""
    fd = os.open(path, flags, dir_fd=dir_fd)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(f"{os.fspath(path)} is not a file")
        with open(fd, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(fd)


def read_regular(path: str | os.PathLike[str], most: int, *, dir_fd: int | None = None) -> bytes:
    """Return at most `most` bytes of a regular file. Raises OSError, also for what is none: nothing is waited for."""
    with open_for_reading(path, dir_fd=dir_fd) as file:
        return file.read(most)


def is_open_to_others(folder: os.stat_result) -> bool:
    """Whether another user may put files into a folder, or rename what is in it."""
    return folder.st_uid not in (os.geteuid(), 0) or bool(folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def need_ours(status: os.stat_result, path: str | os.PathLike[str], *, or_roots: bool = False) -> None:
    """Raise DiskError for a file of the home that another user made, or that all may write to: what stands in it would
    be their word. `or_roots`: root may have made it. A home may lie where others can put files (`/tmp`, a volume)."""
    if status.st_uid != os.geteuid() and not (or_roots and status.st_uid == 0):
        raise DiskError(
            f"{os.fspath(path)} belongs to another user, so what it says is not believed",
            hint=f"if it is yours: chown {os.geteuid()} {os.fspath(path)}; else move it away, and see who else may "
            "write to that folder",
        )
    if status.st_mode & stat.S_IWOTH:
        raise DiskError(
            f"{os.fspath(path)} can be written by all users, so what it says is not believed",
            hint=f"if nobody did: chmod o-w {os.fspath(path)}",
        )


@contextlib.contextmanager
def folder_if_any(folder: Path) -> Iterator[int | None]:
    """Give a descriptor of a folder, None where there is none. Raises OSError."""
    try:
        fd = os.open(folder, FOLDER_FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)


def names_if_any(folder: str | os.PathLike[str]) -> list[str]:
    """Return the names in a folder, none where there is no folder. Raises OSError."""
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


class Disk:
    """Effects on the real disk. Stateless and thread-safe."""

    def open(self, name: str | os.PathLike[str], flags: int, mode: int = 0o666, *, dir_fd: int | None = None) -> int:
        return os.open(name, flags, mode, dir_fd=dir_fd)

    def mkdir(self, name: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        os.mkdir(name, mode, dir_fd=dir_fd)

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        """Write all of `data`: a short write goes on where it stopped."""
        written = os.pwrite(fd, data, offset)
        if written == len(data):
            return
        view = memoryview(data)
        while view := view[written:]:
            offset += written
            written = os.pwrite(fd, view, offset)

    def truncate(self, fd: int, length: int) -> None:
        os.ftruncate(fd, length)

    def allocate(self, fd: int, length: int) -> None:
        """Give the file `length` bytes of real space now. Raises OSError(ENOSPC) without having written anything.

        fallocate(2) itself: where a file system has none, posix_fallocate writes to every block, which takes hours for
        what a model weighs. There only the length is set, and a full disk shows when it is full. So it is in memory,
        where each page that is taken is cleared first: half a second for a gigabyte, in which nothing else is done.
        """
        if length > (1 << 63) - 1:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        fallocate = getattr(_LIBC, "fallocate64", None) or getattr(_LIBC, "fallocate", None)
        if fallocate is not None and not is_in_memory(fd):
            if fallocate(fd, 0, ctypes.c_int64(0), ctypes.c_int64(length)) == 0:
                return
            error = ctypes.get_errno()
            if error not in (errno.EOPNOTSUPP, errno.ENOSYS):
                raise OSError(error, os.strerror(error))
        os.ftruncate(fd, length)

    def clone(self, source_fd: int, target_fd: int) -> bool:
        """Let the file behind `target_fd` have the content of that behind `source_fd` by sharing its blocks (FICLONE).

        Later writes to one never show in the other. Returns False, with nothing done, where the two cannot share:
        a file system that knows no such thing, or two of them. Raises OSError for what else went wrong.
        """
        try:
            fcntl.ioctl(target_fd, _FICLONE, source_fd)
        except OSError as exc:
            if exc.errno in _CANNOT_SHARE:
                return False
            raise
        return True

    def copy_range(self, source_fd: int, target_fd: int, offset: int, length: int) -> int | None:
        """Copy up to `length` bytes at `offset`, the same in both files, within the system (copy_file_range).

        Returns how many were copied, 0 where the source ends; None where the system cannot do that for these files.
        """
        copy = getattr(os, "copy_file_range", None)
        if copy is None:
            return None
        try:
            return int(copy(source_fd, target_fd, length, offset, offset))
        except OSError as exc:
            if exc.errno in _CANNOT_SHARE:
                return None
            raise

    def link(self, source_fd: int, name: str, *, dir_fd: int) -> None:
        """Give the file behind `source_fd` the further name `name` (a hard link). Its ctime changes. Raises OSError.

        By descriptor, so that it is the file that was looked at, whatever stands under its old name by now.
        """
        os.link(f"/proc/self/fd/{source_fd}", name, dst_dir_fd=dir_fd, follow_symlinks=True)

    def symlink(self, target: str, name: str, *, dir_fd: int) -> None:
        """Make the symbolic link `name`, which leads to `target`, whether or not that is there."""
        os.symlink(target, name, dir_fd=dir_fd)

    def rename_new(self, source: str, target: str, *, source_fd: int, target_fd: int) -> None:
        """Rename without replacing. Raises FileExistsError if `target` is there, whatever it is."""
        renameat2 = getattr(_LIBC, "renameat2", None)
        if renameat2 is not None:
            done = renameat2(source_fd, os.fsencode(source), target_fd, os.fsencode(target), _RENAME_NOREPLACE)
            if done == 0:
                return
            error = ctypes.get_errno()
            if error not in _NOT_SUPPORTED:
                raise OSError(error, os.strerror(error), target)
        try:
            os.link(source, target, src_dir_fd=source_fd, dst_dir_fd=target_fd, follow_symlinks=False)
        except OSError as exc:
            if exc.errno not in _NOT_SUPPORTED:
                raise
            # Neither call is known to this file system (FAT): look, then rename. A race remains there, and only there.
            with contextlib.suppress(FileNotFoundError):
                os.stat(target, dir_fd=target_fd, follow_symlinks=False)
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from None
            os.rename(source, target, src_dir_fd=source_fd, dst_dir_fd=target_fd)
        else:
            os.unlink(source, dir_fd=source_fd)

    def is_there(self, name: str | os.PathLike[str], *, dir_fd: int | None = None) -> bool:
        """Whether anything answers to `name`, be it a link to nothing. Raises OSError where the disk does not say: then
        something may, and `os.path.lexists` would have it gone."""
        try:
            os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def replace(self, source: str, target: str, *, source_fd: int, target_fd: int) -> None:
        """Rename over whatever file or link `target` is; a link itself is replaced, not what it leads to."""
        os.rename(source, target, src_dir_fd=source_fd, dst_dir_fd=target_fd)

    def touch(self, name: str, *, dir_fd: int) -> None:
        """Make the file's time of change now. Raises FileNotFoundError if it is not there."""
        os.utime(name, dir_fd=dir_fd, follow_symlinks=False)

    def make_read_only(self, fd: int) -> None:
        """Let nobody write to the file any more who does not change that first, where the file system has modes."""
        with contextlib.suppress(PermissionError):
            os.fchmod(fd, 0o444)

    def unlink(self, name: str, *, dir_fd: int) -> None:
        os.unlink(name, dir_fd=dir_fd)

    def rmdir(self, name: str, *, dir_fd: int) -> None:
        os.rmdir(name, dir_fd=dir_fd)

    def fdatasync(self, fd: int) -> None:
        """Make a file's bytes durable, and what is needed to read them (its length)."""
        getattr(os, "fdatasync", os.fsync)(fd)

    def fsync(self, fd: int) -> None:
        """Make a directory's entries durable."""
        os.fsync(fd)

    def syncfs(self, fd: int) -> bool:
        """Make everything on the file system of `fd` durable. Returns False where there is no such call.

        Reports a lost write since Linux 5.8 (docs/design/store.md).
        """
        syncfs = getattr(_LIBC, "syncfs", None)
        if syncfs is None:
            return False
        if syncfs(fd) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        return True


def make_folder(disk: Disk, folder: Path, mode: int = 0o777) -> None:
    """Make `folder` if there is none, and those that it is in. Durably: what is synced below it is gone after a power
    cut if the name that leads there is. A link to nothing is not followed: the disk that it leads to is not mounted,
    perhaps. Raises OSError."""
    missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
    for each in reversed(missing):
        parent = os.open(each.parent, FOLDER_FLAGS & ~os.O_NOFOLLOW)  # Its user may have placed it by a link.
        try:
            try:
                disk.mkdir(each.name, mode if each == folder else 0o777, dir_fd=parent)
            except FileExistsError:
                if not each.is_dir():  # Else another process was faster.
                    raise
            disk.fsync(parent)
        finally:
            os.close(parent)


_OWNER = "see who may use it with `ls -ld`, or {another}"
_GONE = (
    "it, or the folder that it is in, is gone or was never there",
    "was the folder moved, or its disk unmounted? or {another}",
)
_REASONS = {
    errno.EROFS: (  # What a unit of systemd does not name is that to its processes.
        "the file system is read-only",
        "mount it for writing (of a node that systemd runs: ReadWritePaths= in its unit), or {another}",
    ),
    errno.EACCES: ("permission denied", _OWNER),
    errno.EPERM: ("not permitted", _OWNER),
    errno.EIO: ("the disk reports an input/output error", "check the disk; what was durable before is kept"),
    errno.EMFILE: ("too many open files in this process", "raise the limit: ulimit -n"),
    errno.ENFILE: ("too many open files on this machine", "close other programs"),
    errno.ENOENT: _GONE,
    errno.ESTALE: _GONE,
    errno.ENODEV: _GONE,
    errno.ELOOP: ("a symbolic link stands there, and nothing is written through links", "name the real folder"),
    errno.ENOTDIR: ("a part of the path is a file or a link, not a folder", "{another}"),
    errno.EEXIST: ("something else stands there already", "{another}"),
    errno.EISDIR: ("a folder stands there", "{another}"),
    errno.EXDEV: ("another file system is mounted at a folder in it", "unmount that, or {another}"),
    errno.ENAMETOOLONG: ("the path is too long for this file system", "{another}"),
}


def disk_error(error: OSError, doing: str, *, option: str | None = None) -> DiskError:
    """Say what a system error means for what we were `doing` ("write ./model/x"). `option`: by which the user names
    another place for it; without one, another place is hinted at only where nothing else would help."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"cannot {doing}: no space left", hint="make room, then run the same command: it resumes")
    reason, hint = _REASONS.get(error.errno or 0, (os.strerror(error.errno) if error.errno else str(error), None))
    another = "name another place" + (f" with {option}" if option is not None else "")
    if hint is not None:
        hint = (hint if option is not None else hint.removesuffix(", or {another}")).format(another=another)
    return DiskError(f"cannot {doing}: {reason}", hint=hint)


def cannot_read(path: str | os.PathLike[str], error: OSError) -> DiskError:
    """Say that something in a folder that is published, or is to be, cannot be read."""
    if error.errno not in (errno.EACCES, errno.EPERM):
        return disk_error(error, f"read {os.fspath(path)}")
    hint = "let this user read it (`ls -l` shows who may), or leave it out of what is published: --ignore PATTERN"
    return DiskError(f"cannot read {os.fspath(path)}: {_REASONS[error.errno][0]}", hint=hint)


@contextlib.contextmanager
def disk_errors(doing: str, *, option: str | None = None) -> Iterator[None]:
    """Within, an OSError becomes the DiskError that it means."""
    try:
        yield
    except OSError as exc:
        raise disk_error(exc, doing, option=option) from exc
