"""A file alone: the manifest of one file, under the name that every file alone has.

It follows from the content, whatever the file is called where it stands, so that all who hold the same bytes are one
swarm, whichever repository they have them from. Source: proto/manifest.md §7.
"""

from __future__ import annotations

from msgspec.structs import replace

from p2phub.content import Digest, digest_of
from p2phub.manifest.model import FileEntry, Manifest
from p2phub.manifest.pages import encode_manifest

ALONE_PATH = "file"


def manifest_alone(entry: FileEntry) -> Manifest:
    """Return the manifest of the file alone that `entry` is in some manifest."""
    return Manifest((replace(entry, path=ALONE_PATH),))


def alone_digest(entry: FileEntry) -> Digest:
    """Return the digest of that manifest."""
    return digest_of(alone_root(entry))


def alone_root(entry: FileEntry) -> bytes:
    """Return its only page, which that is the digest of."""
    return encode_manifest(manifest_alone(entry))[0]


def is_alone(manifest: Manifest) -> bool:
    """Whether a manifest is that of a file alone."""
    return len(manifest.files) == 1 and manifest.files[0].path == ALONE_PATH
