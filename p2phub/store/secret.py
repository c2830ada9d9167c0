"""The home's own secret, under which it recognises the journals that it wrote: `HOME/journal.key`, 32 random bytes.

It saves time, nothing else: without it journals are hints, and what they name is read and hashed again. So nobody is
asked or refused on its account: one that is damaged, or that others may have read or put there, is replaced.
It appears whole or not at all, and is durable before anything is sealed with it. Threat T54.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat

from p2phub.store.disk import MAKE_FLAGS, Disk, read_regular
from p2phub.store.seal import SECRET_BYTES

FILE = "journal.key"


def load_or_make(disk: Disk, home_fd: int) -> bytes:
    """Return the secret of the home, made now if there is none that will do. Raises OSError.

    Where it cannot stay as it was made (a file system without modes), it is good for this once.
    """
    found = _load(home_fd)
    if found is not None:
        return found
    with contextlib.suppress(OSError):
        disk.unlink(FILE, dir_fd=home_fd)
    made = secrets.token_bytes(SECRET_BYTES)
    part = f".{secrets.token_hex(8)}.new"
    try:
        _write(disk, home_fd, part, made)
        disk.rename_new(part, FILE, source_fd=home_fd, target_fd=home_fd)
    except FileExistsError:  # Another process was faster: its secret is the home's.
        return _load(home_fd) or made
    finally:
        with contextlib.suppress(FileNotFoundError):
            disk.unlink(part, dir_fd=home_fd)
    disk.fsync(home_fd)
    return made


def _load(home_fd: int) -> bytes | None:
    try:
        status = os.stat(FILE, dir_fd=home_fd, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            return None
        secret = read_regular(FILE, SECRET_BYTES + 1, dir_fd=home_fd)
    except FileNotFoundError:
        return None
    return secret if len(secret) == SECRET_BYTES else None


def _write(disk: Disk, home_fd: int, name: str, secret: bytes) -> None:
    fd = disk.open(name, MAKE_FLAGS, 0o600, dir_fd=home_fd)
    try:
        os.fchmod(fd, 0o600)  # Whatever the umask left of it.
        disk.pwrite(fd, secret, 0)
        disk.fdatasync(fd)
    finally:
        os.close(fd)
