"""`ballast` of the home: room that is set aside while there is plenty, and given up when the disk is full.

On a full disk nothing can be removed, since every step of it is written down first; and SQLite itself ends a process
by SIGBUS where it maps a file whose blocks the disk does not have. So whoever opens the index looks first whether there
is room for it. If there is none the ballast goes, which is enough for `gc` to begin; what that removes makes room for
the rest, and for a new ballast. Fetches do not get it: they keep a reserve of the disk free that is larger.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from p2phub.errors import DiskFull

BALLAST = "ballast"
BALLAST_BYTES = 1 << 20
ROOM_BYTES = 256 << 10
"""Enough to open the index, whose files of 32 KiB and more are made anew, and for some records beside it."""

PLENTY_BYTES = 16 << 20


def make_room(home: Path) -> None:
    """Leave ROOM_BYTES free in `home` at least. Raises DiskFull, OSError."""
    free, place = free_bytes(home), home / BALLAST
    if free >= PLENTY_BYTES:
        with contextlib.suppress(OSError):  # There already; or a home that can only be read.
            _lay(place)
        return
    if free < ROOM_BYTES:
        with contextlib.suppress(OSError):
            os.unlink(place)
            free = free_bytes(home)
    if free < ROOM_BYTES:
        raise DiskFull(
            f"no space left in {home}: {free:,} bytes are free, and the index needs {ROOM_BYTES:,}",
            hint="make that much room, then run the same command; `p2phub gc` removes what nothing keeps",
        )


def is_full(home: Path) -> bool:
    """Whether there is less room than any write of the home's own may need."""
    try:
        return free_bytes(home) < ROOM_BYTES
    except OSError:
        return False


def free_bytes(home: Path) -> int:
    """Return what this user may still write where `home` is. Raises OSError."""
    status = os.statvfs(home)
    return status.f_bavail * status.f_frsize


def _lay(place: Path) -> None:
    try:
        found = os.lstat(place)
    except FileNotFoundError:
        pass
    else:
        if not stat.S_ISREG(found.st_mode) or found.st_size >= BALLAST_BYTES:
            return
        os.unlink(place)  # Less than it should be: whoever laid it was killed, or had no room.
    fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, BALLAST_BYTES)  # Writes to each block where the file system knows no other way.
    except OSError:  # A quota, say, of which the file system as a whole knows nothing.
        os.unlink(place)
        raise
    finally:
        os.close(fd)
