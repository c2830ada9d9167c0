"""What a Hugging Face hub, and git below it, would call what is in a manifest.

A version is a commit of 40 hex digits. For one that no hub ever had it is made of the manifest's digest, so that the
same content is the same commit on every machine, and of the repository's name, since clients remove from their cache by
commit alone, from whichever repository they find it in first.
"""

from __future__ import annotations

import re
from hashlib import sha1

from p2phub.content import Digest, digest_of

_SHA1_DIGITS = 40
_SHA1 = re.compile(rf"[0-9a-f]{{{_SHA1_DIGITS}}}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def is_commit(text: str) -> bool:
    """Whether a hub may call a version so. A branch or tag of this form is taken for a commit, as clients take it."""
    return _SHA1.fullmatch(text) is not None


def commit_of(name: str, manifest: Digest) -> str:
    """Return the commit of a manifest in the repository `name` ("org/name", or "name")."""
    return digest_of(manifest.raw + name.encode()).raw.hex()[:_SHA1_DIGITS]


def is_git_sha1(text: str) -> bool:
    """Whether git may call a blob so. It names blobs as it names commits, but which of both is meant is never open."""
    return _SHA1.fullmatch(text) is not None


def is_sha256(text: str) -> bool:
    """Whether a hub may call a large file so, as OCI and Ollama may any blob: a SHA-256 in lower case."""
    return _SHA256.fullmatch(text) is not None


def git_blob_sha1(content: bytes) -> str:
    """Return what git calls a blob of these bytes, in hex."""
    return sha1(b"blob %d\0%b" % (len(content), content), usedforsecurity=False).hexdigest()


def lfs_pointer(sha256: str, size: int) -> bytes:
    """Return what git has in place of a file that is in LFS; `sha256` in hex, `size` in bytes."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
