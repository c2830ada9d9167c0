"""The listing of a commit in a Hugging Face cache: `trees/<commit>.json`, all its files with what names their blobs.

    {"format_version": 1, "files": {PATH: {"size", "blob_id", "lfs_sha256"?, "lfs_size"?, "xet_hash"?}}}

`blob_id` is git's SHA-1 of what git holds: of the file itself, or for a file in LFS of the pointer that stands for it.
The blob in the cache is named by `lfs_sha256` if there is one, else by `blob_id`. Source: huggingface_hub 2.4,
`_tree_cache.py`. What another program wrote is bounded before it is read, and no name is ever taken from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from p2phub.errors import Occupied
from p2phub.manifest import git_blob_sha1, lfs_pointer
from p2phub.store.materialise.source import Source

FORMAT_VERSION = 1
_ENTRY_BYTES_MAX = 1024  # Beside the path, with room for indents and for keys that do not exist yet.


class Listed(msgspec.Struct, frozen=True, omit_defaults=True):
    """One file, as the client writes it."""

    size: int
    blob_id: str
    lfs_sha256: str | None = None
    lfs_size: int | None = None
    xet_hash: str | None = None

    @property
    def blob(self) -> str:
        """What its blob is called."""
        return self.lfs_sha256 if self.lfs_sha256 is not None else self.blob_id


class _Version(msgspec.Struct, frozen=True):
    format_version: int


class _Listing(msgspec.Struct, frozen=True):
    format_version: int
    files: dict[str, Listed]


def listed(source: Source, blob: str) -> Listed:
    """Return the entry of a file whose blob is called `blob`: the hex of its SHA-256, or of its git SHA-1."""
    if source.git_sha1 is not None and blob == source.git_sha1.hex():
        return Listed(source.size, blob)
    sha256 = source.sha256.hex()
    return Listed(source.size, git_blob_sha1(lfs_pointer(sha256, source.size)), sha256, source.size)


def encode_listing(files: Mapping[str, Listed]) -> bytes:
    """Return the file, in the order and shape in which the client writes it."""
    ordered = {path: files[path] for path in sorted(files)}
    return msgspec.json.format(msgspec.json.encode(_Listing(FORMAT_VERSION, ordered)), indent=1)


def listing_bytes_max(files: Iterable[Source]) -> int:
    """Return more than the listing of these files has: one that is longer is one of other files."""
    return 1024 + sum(6 * len(file.path.encode()) + _ENTRY_BYTES_MAX for file in files)  # \uXXXX is the longest escape.


def decode_listing(data: bytes, shown: Path) -> dict[str, Listed] | None:
    """Return the files of a listing; None for what the client would not take for one, and write anew.

    Raises Occupied for one of a newer format: some newer client's, and not for us to judge.
    """
    try:
        version = msgspec.json.decode(data, type=_Version).format_version
        if version > FORMAT_VERSION:
            raise Occupied(
                f"{shown} has format {version}, from a newer Hugging Face client than p2phub knows",
                hint="let that client fetch the model, or choose another cache",
            )
        return msgspec.json.decode(data, type=_Listing).files if version == FORMAT_VERSION else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
