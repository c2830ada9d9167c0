"""One file that is here and verified, as whoever writes it into another program's store is given it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from p2phub.content import Readable
from p2phub.store.fingerprints import Fingerprint


class Source(msgspec.Struct, frozen=True):
    """A file of a manifest. `sha256` (32 bytes) and `git_sha1` (20 bytes, of small files) are what the manifest says:
    whoever names something by them reads the file first.

    `open`: None for a file that belongs to the whole but is not here; it is listed, and nothing else.
    `movable`: where it lies if it is a file of ours that nobody needs there any more: it is then renamed, if it lies
    on the same file system and has no other name, and copied otherwise.
    """

    path: str
    size: int
    sha256: bytes
    git_sha1: bytes | None
    open: Callable[[], Readable] | None
    movable: Path | None = None


Linked = Callable[[Source, Fingerprint], None]
"""Told of each source that got a hard link: what its fingerprint is now, since a link changes the ctime."""


def tell_nobody(source: Source, now: Fingerprint) -> None:
    """The `Linked` of whoever keeps no fingerprints."""
