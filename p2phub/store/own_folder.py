"""A folder of ours within somebody else's, with a lock in it: for one process at a time; a second does not wait.

The lock is flock on a file, so it ends with its holder, and the file may be removed by whoever holds it alone. Several
may share it who only read: `in_use`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

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
    shared: bool = False,
) -> tuple[int, int]:
    """Return descriptors of the folder `name`, made (with `mode`) if it is not there, and of its lock, which ends when
    it is closed.

    `judge(status, made)` raises where the folder found (or just made) is not to be used. Raises `busy` if another
    process has the lock, OSError. `shared`: others may have it, too, who ask for it so.
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
            lock = _try_lock(disk, own, busy, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        except BaseException:
            os.close(own)
            if made:
                with contextlib.suppress(OSError):  # Somebody else is in it by now.
                    disk.rmdir(name, dir_fd=parent_fd)
            raise
        if lock is not None:
            return own, lock
        os.close(own)
    raise DiskError(f"cannot lock {name}: its lock file keeps vanishing")


@contextlib.contextmanager
def in_use(disk: Disk, folder: Path, name: str) -> Iterator[None]:
    """Keep everybody from writing to `folder`, or removing it, who has the lock in its folder `name` first; others may
    read there at the same time. Raises Occupied if somebody has it for writing, OSError; FileNotFoundError if there is
    no such folder."""
    root = os.open(folder, FOLDER_FLAGS)
    try:
        busy = Occupied(f"{folder} is written to at the moment", hint="wait until that is done, then run it again")
        own, lock = open_locked(disk, root, name, judge=lambda status, made: None, busy=busy, shared=True)
        try:
            yield
        finally:
            # The last one tidies up. Whoever shares it still has it, and then it is theirs to remove.
            with contextlib.suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                disk.unlink(LOCK, dir_fd=own)
                disk.rmdir(name, dir_fd=root)  # Stays if an unfinished fetch lies there.
            os.close(lock)
            os.close(own)
    finally:
        os.close(root)


def _try_lock(disk: Disk, own: int, busy: Occupied, kind: int) -> int | None:
    """Take the lock. None if its file was removed meanwhile: look again."""
    try:
        fd = disk.open(LOCK, WRITE_FLAGS | os.O_CREAT, 0o600, dir_fd=own)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
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
