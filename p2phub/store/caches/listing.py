"""Read a listing of the Hugging Face cache, `trees/COMMIT.json`: all files that a repository has at a commit.

huggingface_hub writes it since 2.x, whole or not at all; a listing never changes. Another program's file like any
other: bounded, of the one format version that is known here, and refused as a whole if anything in it is odd, since
what is complete is decided by it.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from p2phub import limits
from p2phub.errors import Damaged
from p2phub.store.caches.found import Claim
from p2phub.store.disk import read_regular

FORMAT_VERSION = 1

Size = Annotated[int, msgspec.Meta(ge=0, le=limits.CHUNKS_PER_FILE_MAX * limits.CHUNK_BYTES_MAX)]
_Sha1 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{40}\Z")]
_Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Listed(msgspec.Struct, frozen=True, gc=False):
    """One file. `blob_id`: git's SHA-1, of a file in LFS that of its pointer, which says nothing of the content."""

    size: Size
    blob_id: _Sha1
    lfs_sha256: _Sha256 | None = None
    lfs_size: Size | None = None

    @property
    def content_bytes(self) -> int:
        return self.size if self.lfs_size is None or self.lfs_sha256 is None else self.lfs_size

    @property
    def claim(self) -> Claim:
        if self.lfs_sha256 is not None:
            return Claim(sha256=bytes.fromhex(self.lfs_sha256))
        return Claim(git_sha1=bytes.fromhex(self.blob_id))


class _Versioned(msgspec.Struct):
    format_version: int
    files: msgspec.Raw = msgspec.Raw()  # Looked at once its version is known.


def read_listing(name: str, *, dir_fd: int) -> dict[str, Listed]:
    """Return the files that the listing `name` in a folder has, by path, unchecked.

    Raises OSError; Damaged for what is not a listing as it is known here.
    """
    most = limits.CACHE_LISTING_BYTES_MAX
    data = read_regular(name, most + 1, dir_fd=dir_fd)
    if len(data) > most:
        raise Damaged(f"a listing of more than {most} bytes")
    try:
        outer = msgspec.json.decode(data, type=_Versioned)
        if outer.format_version != FORMAT_VERSION:
            raise Damaged(
                f"a listing of format version {outer.format_version}; {FORMAT_VERSION} is known here:"
                " made by a newer huggingface_hub?"
            )
        files = msgspec.json.decode(outer.files or b"null", type=dict[str, Listed])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Damaged(f"not a listing: {exc}") from exc
    if len(files) > limits.FILES_MAX:
        raise Damaged(f"a listing of {len(files)} files; {limits.FILES_MAX} are allowed")
    return files
