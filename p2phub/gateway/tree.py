"""What stands in a version: one file, what is below a folder, in pages. Pure.

Files ascend by path, so what is below one folder stands together, and a page costs what it shows: a manifest may have
two million files. A cursor is a file's number, good for one commit alone, to which a page's link therefore leads.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

import msgspec

from p2phub.gateway.shelf import File


class Folder(msgspec.Struct, frozen=True):
    path: str


Entry = File | Folder


def find_entry(files: Sequence[File], path: str) -> Entry | None:
    """Return what is at exactly this path, None if nothing is."""
    file = find_file(files, path)
    if file is not None:
        return file
    return Folder(path) if path and _below(files, path) else None


def find_file(files: Sequence[File], path: str) -> File | None:
    at = _position(files, path)
    return files[at] if at < len(files) and files[at].path == path else None


def page_below(
    files: Sequence[File], folder: str, *, recursive: bool, cursor: int, limit: int
) -> tuple[list[Entry], int | None] | None:
    """Return the entries of a page, and where the next one begins (None: nowhere); None if there is no such folder.

    `folder` "" is the top, which is always there. A page has about `limit` entries, at least one file and the folders
    that it stands in.
    """
    span = _below(files, folder) if folder else range(len(files))
    if span is None:
        return None
    found: list[Entry] = []
    at = max(span.start, min(cursor, span.stop))
    prefix = len(folder) + 1 if folder else 0
    shown = files[at - 1].path if at > span.start else ""  # What the page before ended with: its folders were told.
    while at < span.stop:
        if len(found) >= limit:
            return found, at
        file = files[at]
        first, slash, _ = file.path[prefix:].partition("/")
        if recursive or not slash:
            if recursive:
                found += [Folder(path) for path in _new_folders(file.path, shown, prefix)]
            found.append(file)
            shown = file.path
            at += 1
        else:
            below = file.path[:prefix] + first
            found.append(Folder(below))
            at = _position(files, below + "0")  # "0" follows "/".
    return found, None


def _new_folders(path: str, shown: str, prefix: int) -> Iterator[str]:
    """Yield the folders of `path`, behind the first `prefix` letters, in which `shown` does not stand."""
    at = path.find("/", prefix)
    while at >= 0:
        if not shown.startswith(path[: at + 1]):
            yield path[:at]
        at = path.find("/", at + 1)


def _below(files: Sequence[File], folder: str) -> range | None:
    """Return the numbers of the files below a folder, None if there are none."""
    start, stop = _position(files, folder + "/"), _position(files, folder + "0")
    return range(start, stop) if start < stop else None


def _position(files: Sequence[File], path: str) -> int:
    # Letters ascend by code point, and so do the bytes of UTF-8.
    return bisect_left(files, path, key=lambda file: file.path)
