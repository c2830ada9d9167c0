"""A folder of ours within somebody else's, with a lock in it: for one process at a time; a second does not wait.

The lock is flock on a file, so it ends with its holder, and the file may be removed by whoever holds it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable

from p2phub.errors import DiskError, Occupied
from p2phub.store.disk import FOLDER_FLAGS, WRITE_FLAGS, Disk

LOCK = "lock"
LOCK_TRIES_MAX = 16


def open_locked(
    disk: Disk,
    parent_fd: int,
    name: str,
    *,
    judge: Callable[[os.stat_result, bool], None],
    busy: Occupied,
    mode: int = 0o700,
) -> tuple[int, int]:
    """Return descriptors of the folder `name`, made (with `mode`) if it is not there, and of its lock, which ends when
    it is closed.

    `judge(status, made)` raises where the folder found (or just made) is not to be used. Raises `busy` if another
    process has the lock, OSError.
    """
    for _ in range(LOCK_TRIES_MAX):
        made = False
        with contextlib.suppress(FileExistsError):
            disk.mkdir(name, mode, dir_fd=parent_fd)
            made = True
        try:
            own = os.open(name, FOLDER_FLAGS, dir_fd=parent_fd)
        except FileNotFoundError:
            continue  # Whoever was before us is just tidying up.
        try:
            judge(os.fstat(own), made)
            lock = _try_lock(disk, own, busy)
        except BaseException:
            os.close(own)
            raise
        if lock is not None:
            return own, lock
        os.close(own)
    raise DiskError(f"cannot lock {name}: its lock file keeps vanishing")


def _try_lock(disk: Disk, own: int, busy: Occupied) -> int | None:
    """Take the lock. None if its file was removed meanwhile: look again."""
    try:
        fd = disk.open(LOCK, WRITE_FLAGS | os.O_CREAT, 0o600, dir_fd=own)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its last holder may have removed it between our open and our lock: then we hold a file that nobody finds.
        if os.path.samestat(os.stat(LOCK, dir_fd=own, follow_symlinks=False), os.fstat(fd)):
            return fd
    except FileNotFoundError:
        pass
    except OSError as exc:
        os.close(fd)
        if exc.errno in (errno.EAGAIN, errno.EACCES):
            raise busy from exc
        raise
    os.close(fd)
    return None
