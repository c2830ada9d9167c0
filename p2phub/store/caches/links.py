"""Where links of another program's cache lead: to a regular file of the same cache, or nowhere that concerns us.

A cache links a lot (a snapshot's files to blobs, these to blobs that repositories share), so where the folders of
targets are is looked up once, and each link costs one `lstat` more. Nothing is opened but folders that are walked. What
is found is true of a moment: whoever opens the file later compares fingerprints.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

import msgspec

from p2phub.store.disk import FOLDER_FLAGS
from p2phub.store.folders import LINK_HOPS_MAX, LeavesFolder, NotAFile


class Led(msgspec.Struct, frozen=True, gc=False):
    """`place`: the regular file, absolute, no link in it. `first`: where the first link led, itself perhaps a link."""

    place: str
    first: str
    status: os.stat_result


class Links:
    """Follows links that stay below the folders `within`: real paths, so that none of these is a link itself. One
    thread's."""

    def __init__(self, *within: str) -> None:
        self._within = tuple(os.path.join(folder, "") for folder in within)
        self._folders: dict[str, str] = {}  # As links spell them: as they are.

    def follow(self, folder: str, target: str) -> Led:
        """Return what `target`, relative to the real path `folder` or absolute, is.

        Raises FileNotFoundError where it is nothing, LeavesFolder where it is elsewhere or goes in circles, NotAFile
        for a folder or special file; OSError.
        """
        try:
            return self._follow(folder, target)
        except NotADirectoryError as exc:  # Below a file there is nothing.
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), target) from exc
        except OSError as exc:
            if exc.errno != errno.ELOOP:
                raise
            raise LeavesFolder("a link that goes in circles") from exc

    def _follow(self, folder: str, target: str) -> Led:
        first = ""
        for _ in range(LINK_HOPS_MAX):
            above, _, name = (target if target.startswith("/") else f"{folder}/{target}").rpartition("/")
            folder = self._real(above or "/")
            place = f"{folder}/{name}"
            status = os.lstat(place)
            first = first or place
            if stat.S_ISREG(status.st_mode):
                return Led(place, first, status)
            if not stat.S_ISLNK(status.st_mode):
                raise NotAFile("a folder or special file, or a link to one")
            target = os.readlink(place)
        raise LeavesFolder("a link that goes in circles")

    def _real(self, folder: str) -> str:
        known = self._folders.get(folder)
        if known is None:
            known = os.path.realpath(folder, strict=True)
            if not os.path.join(known, "").startswith(self._within):
                raise LeavesFolder("a link that leads elsewhere")
            self._folders[folder] = known
        return known


@contextlib.contextmanager
def open_folder(name: str | os.PathLike[str], *, dir_fd: int | None = None, flags: int = FOLDER_FLAGS) -> Iterator[int]:
    """Open a folder, which must not be a link unless `flags` say so. Raises OSError."""
    fd = os.open(name, flags, dir_fd=dir_fd)
    try:
        yield fd
    finally:
        os.close(fd)


def entries_of(fd: int) -> list[os.DirEntry[str]]:
    """Return what stands in a folder, by name, so that a scan says the same each time. Raises OSError."""
    with os.scandir(fd) as entries:
        return sorted(entries, key=lambda entry: entry.name)
