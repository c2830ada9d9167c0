"""How what lies in the home's own store is removed: renamed aside in one step, then taken apart, a name at a time.

After the rename nobody finds it any more, so a crash on the way leaves what the next collection knows for a leftover,
and never half of something that still has its name. No link is followed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

import msgspec

from p2phub.store.disk import FOLDER_FLAGS, READ_FLAGS, Disk
from p2phub.store.fingerprints import Fingerprint
from p2phub.store.folders import fingerprint

GOING = ".going."
"""How names begin of what is being removed."""


def set_aside(disk: Disk, name: str, *, dir_fd: int, into: int | None = None) -> str:
    """Rename the folder `name` so that nobody finds it, to the folder `into` if that is given; return its new name.
    Raises OSError."""
    aside = f"{GOING}{name[:16]}.{secrets.token_hex(4)}"
    disk.rename_new(name, aside, source_fd=dir_fd, target_fd=dir_fd if into is None else into)
    return aside


class Unlinked(msgspec.Struct, frozen=True):
    """A file that lost a name, by its `path` below what was removed, and has others: that changed its ctime alone."""

    path: str
    was: Fingerprint
    now: Fingerprint


def remove_tree(
    disk: Disk, name: str, *, dir_fd: int, unlinked: Callable[[Unlinked], None] = lambda file: None, path: str = ""
) -> int:
    """Remove a folder and all in it; return the bytes of the files whose last name that was. `unlinked` is told of the
    others; `path`: how theirs begin. Raises OSError."""
    removed = 0
    fd = os.open(name, FOLDER_FLAGS, dir_fd=dir_fd)
    try:
        for below in os.listdir(fd):
            status = os.stat(below, dir_fd=fd, follow_symlinks=False)
            at = os.path.join(path, below)
            if stat.S_ISDIR(status.st_mode):
                removed += remove_tree(disk, below, dir_fd=fd, unlinked=unlinked, path=at)
            elif stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
                _unlink_one_of_several(disk, below, fd, at, unlinked)
            else:
                disk.unlink(below, dir_fd=fd)
                removed += status.st_size
    finally:
        os.close(fd)
    disk.rmdir(name, dir_fd=dir_fd)
    return removed


def _unlink_one_of_several(disk: Disk, name: str, dir_fd: int, path: str, unlinked: Callable[[Unlinked], None]) -> None:
    try:
        file = os.open(name, READ_FLAGS, dir_fd=dir_fd)
    except OSError:  # Not to be read by us: then nobody has hashed it lately either.
        disk.unlink(name, dir_fd=dir_fd)
        return
    try:
        was = fingerprint(os.fstat(file))
        disk.unlink(name, dir_fd=dir_fd)
        now = fingerprint(os.fstat(file))
    finally:
        os.close(file)
    # Written to meanwhile, it has another mtime, and is another file to whoever hashed it.
    if was.values()[:4] == now.values()[:4]:
        unlinked(Unlinked(path, was, now))


def tree_bytes(path: str | os.PathLike[str]) -> int:
    """Return what the files in a folder come to; of what vanishes meanwhile nothing."""
    total = 0
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    total += tree_bytes(entry.path)
                else:
                    total += entry.stat(follow_symlinks=False).st_size
    return total


def bytes_taken(folder: Path) -> int:
    """Return what a folder takes on the disk. Not lengths: of unfinished files only parts are there."""
    taken = 0
    for at, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                taken += os.lstat(os.path.join(at, name)).st_blocks * 512
    return taken
