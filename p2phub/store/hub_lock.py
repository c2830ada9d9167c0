"""Who uses a copy of an upstream hub: as long as anybody does, in whatever process, it is not collected.

The lock is flock on a folder itself, so it ends with its holder, and goes with the folder. Whoever uses a snapshot
shares the lock of its folder; who begins one, or uses single blobs, shares that of the repository's. A collection has
both alone. Nobody keeps the second for long who has it alone. Calls block.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from p2phub.store.disk import FOLDER_FLAGS, disk_errors, folder_if_any


def share(folder: Path) -> int | None:
    """Return a descriptor that keeps others from having a folder alone, until it is closed; None if there is no such
    folder. Raises OSError."""
    while True:
        try:
            fd = os.open(folder, FOLDER_FLAGS)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_SH)
            # Who had it alone may have set it aside: then ours is one that nobody finds.
            if os.path.samestat(os.stat(folder, follow_symlinks=False), os.fstat(fd)):
                return fd
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[int | None]:
    """Give a descriptor of a folder that nobody else uses until this ends; None where somebody does, or it is gone."""
    with folder_if_any(folder) as fd:
        if fd is None:
            yield None
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = os.path.samestat(os.stat(folder, follow_symlinks=False), os.fstat(fd))
        except (BlockingIOError, FileNotFoundError):
            is_ours = False
        yield fd if is_ours else None


@contextlib.contextmanager
def in_use(repository: Path) -> Iterator[None]:
    """Keep all that a repository has from collection. Raises DiskError."""
    with disk_errors(f"use {repository}"):
        fd = share(repository)
    try:
        yield
    finally:
        if fd is not None:
            os.close(fd)


def repository_at(place: Path) -> Path:
    """Return the repository that has a snapshot, or a blob, at `place`."""
    return place.parent.parent  # REPOSITORY/snapshots/COMMIT, REPOSITORY/blobs/NAME
