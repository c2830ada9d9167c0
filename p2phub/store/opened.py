"""`opened/` of the home: what tensors are read from while the rest arrives, and what a killed process left of it.

A folder for each call, which removes it when all was read. Whoever fetches into one has its lock until all is here,
and then nobody removes it: the same call of another process may go on with it. Then whoever reads opens the last files,
which takes a moment and which no lock tells of; so a collection passes by what was written to within the last hour.
What is open stays readable without its name.

Renamed aside under the lock, then removed: a crash leaves one name or the other, and the next collection finds both.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from p2phub.errors import Occupied
from p2phub.store.blobs import YOUNG_S
from p2phub.store.disk import FOLDER_FLAGS, WRITE_FLAGS, Disk
from p2phub.store.folders import OWN_FOLDER
from p2phub.store.keeping import OPENED_FOLDER, OPENED_LETTERS, Leftover
from p2phub.store.own_folder import LOCK, open_locked
from p2phub.store.removing import GOING, bytes_taken, remove_tree, set_aside


class OpenedFolders:
    """The folders of one home. Methods raise OSError."""

    def __init__(self, home: Path, disk: Disk) -> None:
        self._folder = Path(os.path.abspath(home)) / OPENED_FOLDER
        self._disk = disk

    def leftovers(self) -> Iterator[Leftover]:
        """Yield what was left, and nobody uses."""
        for name in self.names():
            if name.startswith(GOING) or not _is_locked(self._folder / name):
                yield Leftover(self._folder / name, bytes_taken(self._folder / name))

    def names(self) -> list[str]:
        """Return which folders may have been left: those that nothing was written to for a while."""
        try:
            with os.scandir(self._folder) as entries:
                names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(name for name in names if name.startswith(GOING) or (_is_ours(name) and self._is_old(name)))

    def discard(self, name: str) -> bool:
        """Remove what its reader is done with, however young. False if somebody fetches into it now."""
        with contextlib.suppress(FileNotFoundError):  # A collection was faster, or it never began.
            at = self._open()
            try:
                aside = self._set_aside(name, at, young=True)
                if aside is None:
                    return False
                remove_tree(self._disk, aside, dir_fd=at)
            finally:
                os.close(at)
        return True

    def remove(self, name: str) -> Leftover | None:
        """Remove one of `names`; None if it is used, or gone, by now."""
        with contextlib.suppress(FileNotFoundError):  # Another collection is at it, or whoever had read it.
            at = self._open()
            try:
                aside = name if name.startswith(GOING) else self._set_aside(name, at)
                if aside is not None:
                    taken = bytes_taken(self._folder / aside)
                    remove_tree(self._disk, aside, dir_fd=at)
                    return Leftover(self._folder / name, taken)
            finally:
                os.close(at)
        return None

    def _open(self) -> int:
        return os.open(self._folder, FOLDER_FLAGS & ~os.O_NOFOLLOW)  # A user may have it on another disk, by a link.

    def _set_aside(self, name: str, at: int, *, young: bool = False) -> str | None:
        """Rename a folder that nobody uses, `young` or not; return its new name."""
        root = os.open(name, FOLDER_FLAGS, dir_fd=at)
        try:
            busy = Occupied(f"another fetch is writing to {self._folder / name}")
            own, lock = open_locked(self._disk, root, OWN_FOLDER, judge=lambda status, made: None, busy=busy)
        except Occupied:
            return None
        finally:
            os.close(root)
        try:
            # Once more: a call could have come and gone until the lock was here.
            return set_aside(self._disk, name, dir_fd=at) if young or self._is_old(name) else None
        finally:
            os.close(lock)
            os.close(own)

    def _is_old(self, name: str) -> bool:
        try:
            return _written_at(self._folder / name) < time.time() - YOUNG_S
        except FileNotFoundError:
            return False


def _is_ours(name: str) -> bool:
    return len(name) == OPENED_LETTERS and all(letter in "0123456789abcdef" for letter in name)


def _written_at(folder: Path) -> float:
    """Return when a fetch last wrote there (Unix seconds). What a lock leaves of traces does not count, for we lock,
    too."""
    newest = 0.0
    own = os.fspath(folder / OWN_FOLDER)
    for at, _, names in os.walk(own):
        if at != own:
            newest = max(newest, *(os.lstat(os.path.join(at, name)).st_mtime for name in ("", *names)))
    return newest or os.lstat(folder).st_mtime


def _is_locked(folder: Path) -> bool:
    """Whether somebody has the lock of a folder; leaves no trace."""
    try:
        fd = os.open(folder / OWN_FOLDER / LOCK, WRITE_FLAGS)
    except OSError:  # There is none, so that nobody can have it.
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False
