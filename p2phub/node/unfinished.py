"""`fetches/` in the home: a note of each fetch that began, so that `ls` can tell which did not end, and how they go on.

To go on it is a help, never a need: what a fetch left lies in its own folder, and the same command finds it there
without a note. One that makes no sense is passed over, and so is one whose folder has nothing unfinished of its
manifest any more. But a collection leaves alone what is noted and nothing else tells of: so a note is durable, and what
collects asks for all of them (`every_begun`). It holds what the user typed, perhaps a ticket that only they may have:
so it is theirs alone to read.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from p2phub import limits
from p2phub.content import Digest, digest_of
from p2phub.errors import Malformed
from p2phub.node.compose import is_unfinished_in
from p2phub.node.private_file import write_beside
from p2phub.store.disk import FOLDER_FLAGS, Disk, disk_errors, make_folder, read_regular

NOTES_FOLDER = "fetches"
NOTES_MAX = 256
"""Beyond so many, the oldest give way that lead to nothing, or whose folder is not there. One that leads to unfinished
files stays: nothing else tells of them, in a folder of the user's, so they would take their room for good."""
NOTE_BYTES_MAX = 64 * limits.KIB  # A ticket, a path, options, and some to spare.
_NO_NOTE = (ValueError, TypeError, KeyError, RecursionError, Malformed)
OPTIONS_BYTES_MAX = 16 * limits.KIB  # A thousand patterns are nothing that a line could repeat.


Options = tuple[tuple[str, str], ...]
"""What part was chosen and what becomes of it, by the name of the command's option, and its value; "" of one that has
none. The same is to be said for a fetch to go on with what it left."""


class Begun(msgspec.Struct, frozen=True):
    """A fetch of `reference`, which meant `manifest`, into `folder`. `unsafe`: it was refused for files that may run
    code when they are loaded, and so will the same be."""

    reference: str
    manifest: Digest
    folder: Path
    unsafe: bool = False
    options: Options = ()

    def is_same(self, other: Begun) -> bool:
        """Whether both are one fetch: of that reference to that place, however it ended."""
        return msgspec.structs.replace(other, unsafe=self.unsafe, options=self.options) == self


def note(home: Path, fetch: Begun) -> None:
    """Note that a fetch began. Blocks. Raises DiskError."""
    texts = {"reference": fetch.reference, "manifest": fetch.manifest.raw.hex(), "folder": os.fspath(fetch.folder)}
    texts |= {"unsafe": "yes"} if fetch.unsafe else {}
    if fetch.options and len(json.dumps(fetch.options)) <= OPTIONS_BYTES_MAX:
        texts["options"] = json.dumps(fetch.options)
    with disk_errors(f"write {home / NOTES_FOLDER}", option="--home"):
        make_folder(Disk(), home / NOTES_FOLDER, 0o700)
        folder = os.open(home / NOTES_FOLDER, FOLDER_FLAGS)
        try:
            os.rename(
                write_beside(folder, json.dumps(texts).encode()), _name(fetch), src_dir_fd=folder, dst_dir_fd=folder
            )
            os.fsync(folder)
        finally:
            os.close(folder)
    with contextlib.suppress(OSError):
        _give_way(_newest_first(home), but=_name(fetch))


def _give_way(notes: list[Path], *, but: str) -> None:
    """Remove notes that lead to nothing, of those beyond the newest, and those of folders that are not there, of which
    a disk may be away, beyond the newest of them. Raises OSError."""
    away = 0
    for number, path in enumerate(notes if len(notes) > NOTES_MAX else ()):
        fetch = next(_read(path), None)
        is_away = fetch is not None and not os.path.isdir(fetch.folder)
        away += is_away
        if path.name == but or (number < NOTES_MAX and not is_away):  # By a clock that was set back it may be the last.
            continue
        if away > NOTES_MAX if is_away else fetch is None or not is_unfinished_in(fetch.folder, fetch.manifest):
            path.unlink(missing_ok=True)


def forget(home: Path, fetch: Begun) -> None:
    """Forget a fetch that ended. Blocks. Raises DiskError."""
    with disk_errors(f"write {home / NOTES_FOLDER}", option="--home"), contextlib.suppress(FileNotFoundError):
        (home / NOTES_FOLDER / _name(fetch)).unlink()


def begun(home: Path) -> Iterator[Begun]:
    """Yield what is noted, the newest first. What cannot be read is passed over. Blocks."""
    with contextlib.suppress(OSError):
        for path in _newest_first(home):
            with contextlib.suppress(OSError):
                yield from _read(path)


def every_begun(home: Path) -> list[Begun]:
    """Return the same, for whom it is no help, but a need. Blocks. Raises DiskError if a note cannot be read."""
    with disk_errors(f"read which fetches did not end, in {home / NOTES_FOLDER}"):
        return [fetch for path in _newest_first(home) for fetch in _read(path)]


def _read(path: Path) -> Iterator[Begun]:
    """Yield what a note says, if it says something. Raises OSError."""
    try:
        data = read_regular(path, NOTE_BYTES_MAX)
    except FileNotFoundError:  # Its fetch has just ended.
        return
    except OSError as exc:
        if exc.errno in (None, errno.ELOOP):  # No file, but a link, or whatever: none of ours.
            return
        raise
    with contextlib.suppress(*_NO_NOTE):
        texts = json.loads(data)
        manifest = Digest(bytes.fromhex(texts["manifest"]))
        if isinstance(texts["reference"], str):
            options = tuple((str(name), str(value)) for name, value in json.loads(texts.get("options", "[]")))
            yield Begun(texts["reference"], manifest, Path(texts["folder"]), "unsafe" in texts, options)


def _name(fetch: Begun) -> str:
    """One note for each manifest in each folder: who fetches it there again goes on with the same."""
    return digest_of(fetch.manifest.raw + os.fsencode(fetch.folder)).raw.hex()[:32]


def _newest_first(home: Path) -> list[Path]:
    """Raises OSError."""
    try:
        with os.scandir(home / NOTES_FOLDER) as entries:
            found = [
                (entry.stat(follow_symlinks=False).st_mtime_ns, Path(entry.path))
                for entry in entries
                if not entry.name.startswith(".")  # Of a note that was not written to its end.
            ]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [path for _, path in sorted(found, reverse=True)]
