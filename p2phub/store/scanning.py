"""What a folder that is to be published holds: every regular file, in path order, and what was not taken and why.

Rule for links (docs/design/store.md): a link to a regular file inside the folder is followed, and its path is published
with that file's bytes; a link that leaves the folder, is absolute, or leads nowhere is `outside`, for the caller to
refuse; a linked folder is left out, since its files are there under their own path; so is what is p2phub's own.
A link to a file that would be left out is left out too: else it would publish those bytes under another name.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from p2phub.errors import DiskError
from p2phub.observe import legible
from p2phub.store.disk import FOLDER_FLAGS, cannot_read
from p2phub.store.folders import (
    OWN_FOLDER,
    SHARED_FOLDER,
    LeavesFolder,
    NotAFile,
    fingerprint,
    open_and_resolve,
)
from p2phub.store.interface import FoundFile, Scan

Ignore = Callable[[str, bool], str | None]
_OURS = frozenset((OWN_FOLDER, SHARED_FOLDER))
Unreadable = Callable[[str, OSError], None]
"""Told of a path that may not be read; what stands there, or below it, is not in the scan."""
SCAN_DEPTH_MAX = 256  # One descriptor is open for each level; a manifest refuses far shallower trees by its own rule.


class _Walk:
    def __init__(self, root_fd: int, ignore: Ignore, unreadable: Unreadable | None) -> None:
        self._root = root_fd
        self._ignore = ignore
        self._unreadable = unreadable
        self.files: list[FoundFile] = []
        self.left_out: list[tuple[str, str]] = []
        self.outside: list[str] = []

    def folder(self, fd: int, prefix: str, depth: int) -> None:
        if depth > SCAN_DEPTH_MAX:
            raise DiskError(f"{prefix} lies more than {SCAN_DEPTH_MAX} folders deep")
        try:
            with os.scandir(fd) as entries:
                found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
        except OSError as exc:
            self._cannot_read(prefix.rstrip("/") or ".", exc)
            return
        for entry in found:
            self._entry(entry, fd, prefix, depth)

    def _cannot_read(self, path: str, error: OSError) -> None:
        """Raises DiskError, unless somebody wants to be told instead."""
        if self._unreadable is None:
            raise cannot_read(path, error) from error
        self._unreadable(path, error)

    def _entry(self, entry: os.DirEntry[str], fd: int, prefix: str, depth: int) -> None:
        path = prefix + entry.name
        try:
            path.encode()
        except UnicodeEncodeError:
            self.left_out.append((legible(path), "its name is not UTF-8"))
            return
        if entry.name in _OURS:
            self.left_out.append((path, "p2phub's own"))
            return
        is_folder = entry.is_dir(follow_symlinks=False)
        why = self._ignore(path, is_folder)
        if why is not None:
            self.left_out.append((path, why))
        elif is_folder:
            try:
                below = os.open(entry.name, FOLDER_FLAGS, dir_fd=fd)
            except FileNotFoundError:
                return  # Gone since we looked: then it is not here.
            except OSError as exc:
                self._cannot_read(path, exc)
                return
            try:
                self.folder(below, path + "/", depth + 1)
            finally:
                os.close(below)
        elif entry.is_file(follow_symlinks=False):
            try:
                with contextlib.suppress(FileNotFoundError):
                    self.files.append(FoundFile(path, fingerprint(entry.stat(follow_symlinks=False))))
            except OSError as exc:  # Of a folder that may be listed and not entered.
                self._cannot_read(path, exc)
        elif entry.is_symlink():
            self._link(path)
        else:
            self.left_out.append((path, "not a regular file"))

    def _link(self, path: str) -> None:
        try:
            fd, target = open_and_resolve(self._root, path)
        except NotAFile:
            self.left_out.append((path, "a link to a folder or a special file"))
        except (LeavesFolder, FileNotFoundError):
            self.outside.append(path)
        except OSError as exc:
            self._cannot_read(path, exc)
        else:
            try:
                why = self._left_out(target)
                if why is None:
                    self.files.append(FoundFile(path, fingerprint(os.fstat(fd)), target))
                else:
                    self.left_out.append((path, f"a link to what is left out: {why}"))
            finally:
                os.close(fd)

    def _left_out(self, path: str) -> str | None:
        """Return why the walk itself would leave out the regular file `path`, or None."""
        parts = path.split("/")
        if not _OURS.isdisjoint(parts):
            return "p2phub's own"
        for depth in range(1, len(parts)):
            why = self._ignore("/".join(parts[:depth]), True)
            if why is not None:
                return why
        return self._ignore(path, False)


def scan_folder(folder: Path, ignore: Ignore, unreadable: Unreadable | None = None) -> Scan:
    """Walk `folder`. Raises OSError if it cannot be opened, DiskError; for what cannot be read within it, too, if
    nobody is told of that."""
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        walk = _Walk(root, ignore, unreadable)
        walk.folder(root, "", 0)
    finally:
        os.close(root)
    files = sorted(walk.files, key=lambda found: found.path.encode())
    return Scan(tuple(files), tuple(walk.left_out), tuple(walk.outside))
