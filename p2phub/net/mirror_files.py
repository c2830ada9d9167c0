"""Where a mirror keeps what describes its files: below `.p2phub/mirror/`, a folder that no manifest can name.

`mirror_files` is what a publisher puts there; `blob_path` and `release_path` are where a fetch looks. Pure.
Source: proto/mirror.md §2.
"""

from __future__ import annotations

from p2phub.content import Digest
from p2phub.identity import PeerId

FOLDER = ".p2phub/mirror"


def blob_path(digest: Digest) -> str:
    """Return where a manifest page or chunk list stands: under its digest, in the text form of raw bytes."""
    return f"{FOLDER}/blobs/{digest.text()}"


def release_path(publisher: PeerId, name: str, tag: str) -> str:
    """Return where the newest signed release of a name stands."""
    return f"{FOLDER}/releases/{publisher}/{name}/{tag}"
