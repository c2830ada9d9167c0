"""Files to write into other programs' stores, and sources that give them as the store of p2phub would."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from p2phub import limits
from p2phub.content import Readable
from p2phub.store import Fingerprint
from p2phub.store.disk import Disk
from p2phub.store.folders import fingerprint, open_published
from p2phub.store.materialise import Source

FILES = {
    "README.md": b"# A model\n" * 20,
    "config.json": b'{"a": 1}\n',
    "onnx/deep/model.onnx": hashlib.shake_128(b"onnx").digest(2_000),
    "model.safetensors": hashlib.shake_128(b"weights").digest(3_000),
    "again.safetensors": hashlib.shake_128(b"weights").digest(3_000),
    "empty": b"",
    "odd name+#é.txt": b"odd",
}
LARGE = ("model.safetensors", "again.safetensors", "onnx/deep/model.onnx")
"""Those that are too large for git, let the limit be what it may: their sources have no git SHA-1."""


def git_sha1(data: bytes) -> bytes:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).digest()


def pointer(data: bytes) -> bytes:
    """Return the text that git has in place of a file in LFS."""
    name = hashlib.sha256(data).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{name}\nsize {len(data)}\n".encode()


def source(
    folder: Path,
    path: str,
    data: bytes,
    *,
    at: str | None = None,
    movable: bool = False,
    expected: Fingerprint | None = None,
) -> Source:
    """Return `data` as the file `path`; it stands in `folder` under `at` (`path` if None), as it is now."""
    at = at or path
    if expected is None and (folder / at).exists():
        expected = fingerprint(os.stat(folder / at))

    def open_it() -> Readable:
        return open_published(folder, at, expected)

    large = path in LARGE or len(data) > limits.GIT_SHA1_FILE_BYTES_MAX
    return Source(
        path,
        len(data),
        hashlib.sha256(data).digest(),
        None if large else git_sha1(data),
        open_it,
        folder / at if movable else None,
    )


def sources(folder: Path, files: Mapping[str, bytes] = FILES, *, movable: bool = False) -> list[Source]:
    return [source(folder, path, data, movable=movable) for path, data in files.items()]


class DiskWithoutLinks(Disk):
    """FAT: no links of either kind."""

    def symlink(self, target: str, name: str, *, dir_fd: int) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    def link(self, source_fd: int, name: str, *, dir_fd: int) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def tree_of(folder: Path) -> dict[str, bytes | str]:
    """Return everything below `folder`: files with their bytes, links with where they lead."""
    found: dict[str, bytes | str] = {}
    for at, folders, names in os.walk(folder):
        for name in (*names, *(name for name in folders if Path(at, name).is_symlink())):
            path = Path(at, name)
            found[path.relative_to(folder).as_posix()] = os.readlink(path) if path.is_symlink() else path.read_bytes()
    return found
