"""Write small files of the home that are whole or not there, and that no other user can read or redirect."""

from __future__ import annotations

import os
import secrets

from p2phub.store.disk import Disk


def write_beside(folder: int, data: bytes) -> str:
    """Write `data` to a new file, 0600 and durable, in the folder of descriptor `folder`; return its name.

    The caller renames or links it to its place. Raises OSError, and then nothing is left.
    """
    part = f".{secrets.token_hex(8)}.new"
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        os.fchmod(fd, 0o600)  # Whatever the umask left of it.
        Disk().pwrite(fd, data, 0)
        os.fsync(fd)
    except BaseException:
        os.unlink(part, dir_fd=folder)
        raise
    finally:
        os.close(fd)
    return part
