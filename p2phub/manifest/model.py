"""What a revision is: the immutable list of its files. The digest of its root page *is* the revision.

Paths and content alone: no time, publisher, kind or description, so equal content has an equal digest whoever publishes
it. Source: proto/manifest.md §2.
"""

from __future__ import annotations

from bisect import bisect_left

import msgspec

from p2phub.content import Digest


class FileEntry(msgspec.Struct, frozen=True):
    """One file. `path` is safe (manifest.paths); `chunks` counts its chunks; `sha256` is of the whole file;
    `git_sha1` (20 bytes) only for files up to GIT_SHA1_FILE_BYTES_MAX; `layout` names the tensor table's blob."""

    path: str
    size: int
    chunks: int
    root: Digest
    sha256: bytes
    git_sha1: bytes | None = None
    layout: Digest | None = None


class Manifest(msgspec.Struct, frozen=True):
    """Files in ascending order of their path's UTF-8 bytes; chunk numbers run through them in this order."""

    files: tuple[FileEntry, ...]

    def number_of(self, path: str) -> int | None:
        """Return the number of the file of that path, None if there is none."""
        wanted = path.encode("utf-8", "surrogatepass")
        at = bisect_left(self.files, wanted, key=lambda entry: entry.path.encode())
        return at if at < len(self.files) and self.files[at].path == path else None

    @property
    def bytes_total(self) -> int:
        return sum(entry.size for entry in self.files)

    @property
    def chunks_total(self) -> int:
        return sum(entry.chunks for entry in self.files)
