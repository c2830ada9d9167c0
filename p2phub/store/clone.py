"""A new file with the content of an open one: by a hard link, by shared blocks, or by a copy, whichever can be.

A clone or copy is a file of its own: whoever writes to one never changes the other. A hard link is the same file under
two names, so it is made only where the caller asks for it. What is copied is believed as an open file is that somebody
serves: by its fingerprint, which is looked at before and after, so that a file that changes meanwhile is never taken
for what it was. What fails leaves nothing behind. Nothing is replaced.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import stat
from collections.abc import Callable

from p2phub import limits
from p2phub.errors import ContentChanged
from p2phub.store.disk import MAKE_FLAGS, PREALLOCATE_ABOVE_BYTES, Disk
from p2phub.store.fingerprints import Fingerprint
from p2phub.store.folders import fingerprint

PIECE_BYTES = 16 * limits.MIB
"""What is copied between two looks at whether somebody still waits: some 10 ms of a fast disk, 200 ms of a slow one."""

_HINT = "see what has changed (p2phub verify), or run the same command again"
_CANNOT_LINK = {
    errno.EXDEV,
    errno.EPERM,
    errno.EACCES,
    errno.EMLINK,
    errno.ENOENT,  # The file has no name left, or there is no /proc.
    errno.EINVAL,
    errno.ENOSYS,
    errno.EOPNOTSUPP,
}


class How(enum.Enum):
    """How a new file gets its content. As a wish, each falls back to the next."""

    LINK = "link"  # The same file under one more name.
    CLONE = "clone"  # A file of its own that shares its blocks with the other until one of them is written to.
    COPY = "copy"  # A file of its own.


class Stopped(Exception):
    """Nobody waits for the result any more."""


def never() -> bool:
    """Say that somebody still waits: the `stopped` of whoever cannot be cancelled."""
    return False


def make_copy(
    disk: Disk,
    source_fd: int,
    expected: Fingerprint,
    dir_fd: int,
    name: str,
    *,
    how: How,
    mode: int = 0o644,
    shown: str | None = None,
    sync: bool = True,
    stopped: Callable[[], bool] = never,
) -> How:
    """Make the file `name` with the content of an open file that should have the fingerprint `expected`.

    For a folder of our own: it has its name at once, and what a crash leaves under it may lack bytes. They are synced
    before this returns, with `sync=False` they are the caller's to sync, as the folder always is. Returns how it was
    made. After LINK the source has another ctime, so its fingerprint has to be taken anew. `mode` is cut by the umask,
    and is not set on a link. `shown`: what errors call the source.
    Raises ContentChanged if the source is not, or does not stay, as expected; FileExistsError if anything is called
    `name`; OSError; Stopped. Then nothing is left behind.
    """
    shown = shown or name
    _need_same(source_fd, expected, shown)
    if how is How.LINK and link_file(disk, source_fd, expected, dir_fd, name, shown, sync=sync):
        return How.LINK
    fd = disk.open(name, MAKE_FLAGS, mode, dir_fd=dir_fd)
    try:
        try:
            done = _fill(disk, source_fd, fd, expected.size, how, shown, stopped)
            _need_same(source_fd, expected, shown)
            if sync:
                disk.fdatasync(fd)
        finally:
            os.close(fd)
    except BaseException:
        with contextlib.suppress(OSError):
            disk.unlink(name, dir_fd=dir_fd)
        raise
    return done


def clone_whole(disk: Disk, source_fd: int, target_fd: int) -> bool:
    """Let an open file, empty or with nothing but room in it, have the whole content of another by sharing its blocks.

    Returns False where the file system cannot; the target is then as it was. The caller looks at the fingerprint of the
    source before and after. Raises OSError.
    """
    if not disk.clone(source_fd, target_fd):
        return False
    size = os.fstat(source_fd).st_size
    if os.fstat(target_fd).st_size != size:  # More room had been taken than there was to fill.
        disk.truncate(target_fd, size)
    return True


def _need_same(source_fd: int, expected: Fingerprint, shown: str) -> None:
    if fingerprint(os.fstat(source_fd)) != expected:
        raise ContentChanged(f"{shown} has changed since it was hashed", hint=_HINT)


def link_file(
    disk: Disk, source_fd: int, expected: Fingerprint, dir_fd: int, name: str, shown: str, *, sync: bool
) -> bool:
    """Give an open file that has the fingerprint `expected` the further name `name`, as `make_copy` does.

    Returns False where no link can be, or may: of a file of another user, who could not take back what it gives.
    """
    status = os.fstat(source_fd)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
        return False
    try:
        disk.link(source_fd, name, dir_fd=dir_fd)
    except OSError as exc:
        if exc.errno in _CANNOT_LINK:
            return False
        raise
    try:
        # The link itself changed the ctime; whoever writes to a file changes its mtime as well.
        if fingerprint(os.fstat(source_fd)).values()[:4] != expected.values()[:4]:
            raise ContentChanged(f"{shown} changed while it was linked", hint=_HINT)
        if sync:
            disk.fdatasync(source_fd)
    except BaseException:
        with contextlib.suppress(OSError):
            disk.unlink(name, dir_fd=dir_fd)
        raise
    return True


def _fill(
    disk: Disk, source_fd: int, target_fd: int, size: int, how: How, shown: str, stopped: Callable[[], bool]
) -> How:
    if how is not How.COPY and clone_whole(disk, source_fd, target_fd):
        return How.CLONE
    if size > PREALLOCATE_ABOVE_BYTES:
        disk.allocate(target_fd, size)  # A full disk shows now, not after the half of it.
    in_system = True
    buffer: memoryview | None = None
    offset = 0
    while offset < size:
        if stopped():
            raise Stopped
        count = disk.copy_range(source_fd, target_fd, offset, min(PIECE_BYTES, size - offset)) if in_system else None
        if not count:  # Some file systems say 0 where they mean that they cannot.
            in_system = False
            buffer = buffer or memoryview(bytearray(limits.MIB))
            count = os.preadv(source_fd, [buffer[: size - offset]], offset)
            disk.pwrite(target_fd, buffer[:count], offset)
        if count == 0:
            raise ContentChanged(f"{shown} became shorter while it was copied", hint=_HINT)
        offset += count
    return How.COPY
