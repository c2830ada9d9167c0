"""The folder that a fetch goes to and what p2phub keeps in it meanwhile: `.p2phub/lock` and `.p2phub/<manifest>/`.

One writer a destination, by flock; whoever comes second gets Occupied and waits for nobody. Unfinished files lie flat
in the manifest's own folder, named by their number, so that no name from a manifest is used before its file is whole.
What is noted there is believed, so it must be ours: what another user made, or could have written to, is refused.
Source: docs/design/store.md.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from p2phub import limits
from p2phub.content import Digest
from p2phub.errors import DiskError, DiskFull, Occupied
from p2phub.store.disk import FOLDER_FLAGS, Disk
from p2phub.store.folders import (
    OWN_FOLDER,
    OpenFile,
    Tree,
    fingerprint,
    names_in,
    open_beneath,
    open_destination,
    unmake,
)
from p2phub.store.journal import JOURNAL, NAMES
from p2phub.store.own_folder import LOCK, open_locked

SCRATCH = "scratch"
MADE = "made."  # And a number: a file that is being made of others.
BLOCK_BYTES = 4096


class Destination:
    """Descriptors and lock of one destination. `fresh`: nothing of this manifest was there before."""

    def __init__(self, disk: Disk, folder: Path, manifest: Digest) -> None:
        """Open (or make) and lock. Raises OSError; Occupied if another fetch has the lock."""
        self._disk = disk
        self._short = _short(manifest)
        self._fds: list[int] = []
        self.folder = Path(os.path.abspath(folder))
        self.root, self._made = open_destination(disk, folder)
        self._fds.append(self.root)
        self.tree = Tree(disk, self.root)
        self.fresh = False
        self.own = -1
        try:
            self.own = self._lock()
            self.partials = self._open_partials()
        except BaseException:
            with contextlib.suppress(OSError):
                if self.own >= 0:
                    self._leave()
            self.unmake()
            self.close()
            raise

    def clear(self) -> None:
        """Remove everything of this arrival, and `.p2phub` and folders made for it if nothing else is in them."""
        for name in names_in(self.partials):
            if name in NAMES or name == SCRATCH or name.startswith(MADE) or (name.isascii() and name.isdigit()):
                self._disk.unlink(name, dir_fd=self.partials)
        with contextlib.suppress(OSError):
            self._disk.rmdir(self._short, dir_fd=self.own)
        self._leave()

    def unmake(self) -> None:
        """Remove the folders that were made for this arrival, as far as they are empty."""
        unmake(self._disk, self._made)

    def _leave(self) -> None:
        """Remove the lock, which is ours, and `.p2phub` if nothing else is in it. Raises OSError."""
        # Other manifests' unfinished files may lie here still: then the folder stays, without a lock.
        self._disk.unlink(LOCK, dir_fd=self.own)
        with contextlib.suppress(OSError):
            self._disk.rmdir(OWN_FOLDER, dir_fd=self.root)

    def open_file(self, path: str) -> OpenFile:
        """Open a file that is in its place, for reading. Thread-safe. Raises OSError."""
        fd = open_beneath(self.root, path)
        return OpenFile(fd, fingerprint(os.fstat(fd)))

    def need_place(self) -> None:
        """Raise DiskError if the folder's path does not lead to it any more: what was written went where it went."""
        try:
            stands = os.path.samestat(os.lstat(self.folder), os.fstat(self.root))
        except (FileNotFoundError, NotADirectoryError):
            stands = False
        if not stands:
            raise DiskError(
                f"{self.folder} was moved, or another put in its place, while it was fetched:"
                " the files are in the folder that was moved",
                hint="move it back and run the same command, which goes on from there",
            )

    def need_room(self, bytes_needed: int) -> None:
        """Raise DiskFull if `bytes_needed` more bytes cannot be there, before any of them is asked for."""
        need_room(self.root, self.folder, bytes_needed, hint="make room, or choose another folder with --into")

    def close(self) -> None:
        """Close descriptors; the lock goes with its own."""
        self.tree.close()
        while self._fds:
            os.close(self._fds.pop())

    def _lock(self) -> int:
        own, lock = open_locked(
            self._disk,
            self.root,
            OWN_FOLDER,
            judge=lambda status, made: self._need_ours(status, OWN_FOLDER, made=made),
            busy=Occupied(f"another fetch is writing to {self.folder}", hint="wait until it is done, or stop it"),
        )
        self._fds += (lock, own)
        return own

    def _open_partials(self) -> int:
        with contextlib.suppress(FileExistsError):
            self._disk.mkdir(self._short, 0o700, dir_fd=self.own)
            self.fresh = True
        fd = os.open(self._short, FOLDER_FLAGS, dir_fd=self.own)
        self._fds.append(fd)
        self._need_ours(os.fstat(fd), f"{OWN_FOLDER}/{self._short}", made=self.fresh)
        for name in NAMES:
            with contextlib.suppress(FileNotFoundError):
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                self._need_ours(status, f"{OWN_FOLDER}/{self._short}/{name}")
        return fd

    def _need_ours(self, status: os.stat_result, path: str, *, made: bool = False) -> None:
        """Raise DiskError for what another user made, or could have written to: its notes could call any bytes done.

        A folder that we `made` a moment ago, as ours alone, and that others may write to, is on a file system without
        modes. Nothing can lie in it yet.
        """
        if status.st_uid != os.geteuid():
            why = "belongs to another user"
        elif status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not made:
            why = "can be written by other users"
        else:
            return
        raise DiskError(
            f"{self.folder / path} {why}, so what is noted there is not believed",
            hint=f"remove {self.folder / OWN_FOLDER}, or choose another folder with --into",
        )


def need_room(fd: int, folder: Path, bytes_needed: int, *, hint: str) -> None:
    """Raise DiskFull if `bytes_needed` more bytes cannot be in `folder`, open as `fd`. Raises OSError."""
    status = os.statvfs(fd)
    free = status.f_bavail * status.f_frsize
    reserve = min(limits.FREE_SPACE_RESERVE_BYTES, status.f_blocks * status.f_frsize // 16)
    if bytes_needed > 0 and bytes_needed + reserve > free:
        raise DiskFull(
            f"{folder} needs {bytes_needed:,} more bytes; {free:,} are free, {reserve:,} of them in reserve", hint=hint
        )


def blocks(length: int) -> int:
    """Return what a file of `length` bytes takes on a disk with common blocks."""
    return -(-length // BLOCK_BYTES) * BLOCK_BYTES


def unfinished_in(folder: Path) -> Path | None:
    """Return what a fetch into `folder` that did not end left there, None if nothing. Blocks."""
    own = folder / OWN_FOLDER
    return own if any(own.glob(f"*/{JOURNAL}")) else None


def is_unfinished_in(folder: Path, manifest: Digest) -> bool:
    """Return whether a fetch of `manifest` into `folder` that did not end left something there, or may have, where the
    disk does not say: who hears no collects it, or forgets it. Nothing is read of it, since anybody may have put it
    there. Blocks."""
    try:
        return stat.S_ISREG(os.lstat(folder / OWN_FOLDER / _short(manifest) / JOURNAL).st_mode)
    except ValueError:  # No path can be called that.
        return False
    except OSError as exc:
        return exc.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


def unfinished_bytes(folder: Path, manifest: Digest) -> int:
    """Return what the unfinished files of a fetch of `manifest` into `folder` take on the disk. Blocks."""
    found = 0
    try:
        with os.scandir(folder / OWN_FOLDER / _short(manifest)) as entries:
            for entry in entries:
                found += entry.stat(follow_symlinks=False).st_blocks * 512  # Not lengths: they are preallocated.
    except (OSError, ValueError):
        pass
    return found


def discard_unfinished(disk: Disk, folder: Path, manifest: Digest) -> int | None:
    """Remove what an unfinished fetch of `manifest` left in `folder`, but for files that are at their place; return how
    many bytes. None if somebody is writing there. Raises OSError, DiskError. Blocks."""
    if not is_unfinished_in(folder, manifest):
        return 0
    found = unfinished_bytes(folder, manifest)
    try:
        destination = Destination(disk, folder, manifest)
    except Occupied:
        return None
    try:
        destination.clear()
    finally:
        destination.close()
    return found


def unfinished_file(folder: Path, manifest: Digest, number: int) -> Path:
    """Return where a fetch of `manifest` into `folder` keeps file `number` until it is whole, if it is not at its place
    already."""
    return folder / OWN_FOLDER / _short(manifest) / str(number)


def _short(manifest: Digest) -> str:
    """Return what the folder of a manifest's unfinished files is called."""
    return manifest.raw.hex()[:16]
