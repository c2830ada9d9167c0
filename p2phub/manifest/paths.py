"""Which paths a manifest may hold: those that mean one file, inside the folder, on every common system.

Each part is checked under POSIX and Windows rules on every platform, because who fetches is not who published. Two
paths that one file system would take for one file are refused together, and so is one that is both file and folder.
Spelling is kept: a name need not be in a normal form, it must only not collide with another once it is.
Source: proto/manifest.md §1. Time is linear in the characters; each folder is looked at once.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from p2phub import limits
from p2phub.content import has_controls
from p2phub.errors import Malformed

_ORDINARY = re.compile(r"[0-9A-Za-z_](?:[-0-9A-Za-z_.]*[-0-9A-Za-z_])?")  # What most names are; see _check_part.
_WINDOWS_ONLY = re.compile(r'[:*?"<>|]')
_DRIVE = re.compile(r"[A-Za-z]:")
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"]
)
_DEVICE_LENGTH_MAX = max(map(len, _DEVICES))
_OWN = re.compile(r"\.p2phub|p2phub~[0-9]+")  # Also as Windows would shorten it.
# What some file systems drop when they compare names: joiners, soft hyphen, variation selectors and their like.
_IGNORED = re.compile(
    "[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u206f\u3164\ufe00-\ufe0f\uffa0]"
)


def check_path(path: str) -> None:
    """Raise Malformed unless `path` is a safe relative path with `/` between its parts.

    Rules: path-utf8, path-empty, path-long, path-absolute, path-drive, path-depth, and for each part path-part-long,
    path-dots, path-control, path-backslash, path-character, path-trailing, path-reserved, path-own.
    """
    _check_whole(path)
    for part in path.split("/"):
        _check_part(part, path)


def check_paths(paths: Iterable[str]) -> None:
    """Raise Malformed unless all `paths` are safe and can stand in one folder on any common file system.

    Rules: those of `check_path`; path-duplicate, path-collision (alike but for case or Unicode form, folders too),
    path-clash (a file where another path needs a folder).
    """
    files: set[str] = set()  # As compared, not as spelled.
    folders: dict[str, str] = {}  # As compared: as spelled.
    checked: set[str] = set()  # Folders as spelled, each checked with all above it.
    everything = list(paths)
    for path in everything:
        _check_whole(path)
        folder, _, name = path.rpartition("/")
        _check_part(name, path)
        while folder and folder not in checked:
            folder_above, _, part = folder.rpartition("/")
            _check_part(part, path)
            folded = _folded(folder)
            if folders.setdefault(folded, folder) != folder:
                raise Malformed("path-collision", f"folders {folders[folded]!r} and {folder!r} are one on some systems")
            checked.add(folder)
            folder = folder_above
        folded = _folded(path)
        if folded in files:
            _raise_collision(path, folded, everything)
        files.add(folded)
    for folded in files.intersection(folders):
        raise Malformed("path-clash", f"{_shown(folders[folded])} is both a file and a folder")


def _check_whole(path: str) -> None:
    try:
        length = len(path) if path.isascii() else len(path.encode())
    except UnicodeEncodeError as exc:
        raise Malformed("path-utf8", f"{path[:80]!a} is not text: the file's name is not UTF-8") from exc
    if not length:
        raise Malformed("path-empty", "an empty path")
    if length > limits.PATH_BYTES_MAX:
        raise Malformed("path-long", f"a path of {length} bytes; {limits.PATH_BYTES_MAX} are allowed")
    if path[0] == "/":
        raise Malformed("path-absolute", f"{_shown(path)} begins at the root")
    if path[1:2] == ":" and _DRIVE.match(path):
        raise Malformed("path-drive", f"{_shown(path)} begins with a drive")
    if path.count("/") >= limits.PATH_DEPTH_MAX:
        raise Malformed("path-depth", f"a path of {path.count('/') + 1} parts; {limits.PATH_DEPTH_MAX} are allowed")


def _check_part(part: str, path: str) -> None:
    # Letters, digits, "-", "_", and dots within: nothing below but length and devices can apply.
    if not _ORDINARY.fullmatch(part):
        _check_unusual(part, path)
    if len(part) > limits.PATH_PART_BYTES_MAX or len(part.encode()) > limits.PATH_PART_BYTES_MAX:
        raise Malformed("path-part-long", f"{_shown(part)} has {len(part.encode())} bytes")
    stem = part.partition(".")[0]
    if len(stem) <= _DEVICE_LENGTH_MAX and stem.lower() in _DEVICES:
        raise Malformed("path-reserved", f"{_shown(path)}: {stem} is a device on Windows")


def _check_unusual(part: str, path: str) -> None:
    if part == "":
        raise Malformed("path-empty", f"{_shown(path)} has an empty part")
    if part in (".", ".."):
        raise Malformed("path-dots", f"{_shown(path)} has the part {part!r}")
    if has_controls(part):
        raise Malformed("path-control", f"{_shown(path)} has control characters")
    if "\\" in part:
        raise Malformed("path-backslash", f"{_shown(path)} has a backslash")
    if _WINDOWS_ONLY.search(part):
        raise Malformed("path-character", f'{_shown(path)} has one of : * ? " < > |')
    if part[-1] in ". ":
        raise Malformed("path-trailing", f"{_shown(path)} has a part that ends with a dot or space")
    if not _folded(part):
        raise Malformed("path-empty", f"{_shown(path)} has a part of invisible characters")
    if _OWN.fullmatch(_folded(part)):
        raise Malformed("path-own", f"{_shown(path)}: .p2phub is where p2phub keeps its own state")
    stem = part.partition(".")[0].rstrip(" ")  # Windows takes "con .txt" for the device, too.
    if stem.lower() in _DEVICES:
        raise Malformed("path-reserved", f"{_shown(path)}: {stem} is a device on Windows")


def _folded(text: str) -> str:
    """Return what a file system that ignores case and Unicode form compares."""
    if text.isascii():
        lowered = text.lower()
        return text if lowered == text else lowered  # The same object where it can be: a million paths, one copy.
    folded = unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())
    return _IGNORED.sub("", folded)


def _raise_collision(path: str, folded: str, paths: list[str]) -> None:
    other = next(found for found in paths if _folded(found) == folded)
    if other == path:
        raise Malformed("path-duplicate", f"{_shown(path)} twice")
    raise Malformed("path-collision", f"{_shown(other)} and {_shown(path)} are one file on some systems")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:79] + "…")
