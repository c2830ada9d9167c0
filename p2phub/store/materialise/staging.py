"""Where new things of another program's store are made before they get their place: one folder of ours in that store.

Other programs read what stands in their folders: an unfinished file among the refs of a Hugging Face cache is a broken
cache, and Ollama deletes what it does not know among its blobs. So nothing unfinished is ever made there. What a crash
left in our folder is of no use, and the next run of the same user removes it; nothing else in the store ever is.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from p2phub import limits
from p2phub.errors import DiskError, Occupied
from p2phub.store.disk import FOLDER_FLAGS, MAKE_FLAGS, Disk
from p2phub.store.folders import names_in
from p2phub.store.own_folder import LOCK, open_locked


class Staging:
    """The folder, locked and empty. `fd`: its descriptor. One thread's."""

    def __init__(self, disk: Disk, parent_fd: int, shown: Path) -> None:
        """`shown`: what errors call the store. Raises Occupied if another process is at it, DiskError if the folder is
        another user's, OSError."""
        self._disk = disk
        self._parent = parent_fd
        # A user of a shared store has one of his own: he could not remove what another one left.
        self._name = f".p2phub-new-{os.geteuid()}"
        self._count = 0

        def judge(status: os.stat_result, made: bool) -> None:
            if status.st_uid != os.geteuid() and not made:  # Made just now: a file system that knows no owners.
                raise DiskError(f"{shown / self._name} belongs to another user", hint="remove it, or ask them to")

        self.fd, self._lock = open_locked(
            disk,
            parent_fd,
            self._name,
            judge=judge,
            busy=Occupied(f"another p2phub is writing to {shown}", hint="wait until it is done, or stop it"),
        )
        try:
            self._empty(self.fd, 0)
        except BaseException:
            self._close()
            raise

    def new_name(self) -> str:
        """Return what nothing in the folder is called yet."""
        self._count += 1
        return str(self._count)

    def write(self, data: bytes, mode: int = 0o644) -> str:
        """Make a small file, synced. Returns its name. Raises OSError."""
        name = self.new_name()
        fd = self._disk.open(name, MAKE_FLAGS, mode, dir_fd=self.fd)
        try:
            self._disk.pwrite(fd, data, 0)
            self._disk.fdatasync(fd)
        finally:
            os.close(fd)
        return name

    def close(self) -> None:
        """Remove what is left in it, and itself, as far as that can be; the lock ends."""
        with contextlib.suppress(OSError, DiskError):
            self._empty(self.fd, 0)
            self._disk.unlink(LOCK, dir_fd=self.fd)
            self._disk.rmdir(self._name, dir_fd=self._parent)
        self._close()

    def _close(self) -> None:
        os.close(self.fd)
        os.close(self._lock)

    def _empty(self, fd: int, depth: int) -> None:
        """Remove everything below, following no link, but for the lock."""
        if depth > limits.PATH_DEPTH_MAX + 1:
            raise DiskError(f"{self._name} holds folders that p2phub never made", hint="remove it")
        for name in names_in(fd):
            if stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                below = os.open(name, FOLDER_FLAGS, dir_fd=fd)
                try:
                    self._empty(below, depth + 1)
                finally:
                    os.close(below)
                self._disk.rmdir(name, dir_fd=fd)
            elif depth or name != LOCK:
                self._disk.unlink(name, dir_fd=fd)
