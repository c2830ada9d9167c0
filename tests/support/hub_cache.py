"""Make a cache as the Hugging Face tools lay it out, file by file, whole or damaged."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

COMMIT = "c0ffee" + "0" * 34
OTHER_COMMIT = "0" * 34 + "c0ffee"


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def listed(data: bytes, *, lfs: bool = False) -> dict[str, Any]:
    """Return what a listing says of a file with these bytes."""
    if not lfs:
        return {"size": len(data), "blob_id": git_sha1(data)}
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256(data)}\nsize {len(data)}\n".encode()
    return {"size": len(data), "blob_id": git_sha1(pointer), "lfs_sha256": sha256(data), "lfs_size": len(data)}


class Repository:
    """One folder of a hub's cache, at one commit."""

    def __init__(self, hub: Path, folder_name: str, commit: str = COMMIT) -> None:
        self.hub = hub
        self.folder = hub / folder_name
        self.commit = commit
        self.snapshot = self.folder / "snapshots" / commit
        self.blobs = self.folder / "blobs"
        self.snapshot.mkdir(parents=True)
        self.blobs.mkdir(exist_ok=True)
        self.listing: dict[str, Any] = {}

    def add(self, path: str, data: bytes, *, lfs: bool = False, there: bool = True) -> Path:
        """Add a file to the listing, and (if it is `there`) its blob and link. Returns the blob."""
        self.listing[path] = listed(data, lfs=lfs)
        blob = self.blobs / (sha256(data) if lfs else git_sha1(data))
        if there:
            blob.write_bytes(data)
            self.link(path, blob)
        return blob

    def add_shared(self, path: str, data: bytes) -> Path:
        """Add a file that came by Xet: its blob is a link to the store of the whole cache. Returns the bytes' file."""
        self.listing[path] = listed(data, lfs=True)
        xet = sha256(b"xet" + data)
        shared = self.hub / "blobs" / xet[:2] / xet
        shared.parent.mkdir(parents=True, exist_ok=True)
        (self.hub / "blobs" / ".huggingface-shared-blobs").write_text("1\n")
        shared.write_bytes(data)
        blob = self.blobs / sha256(data)
        blob.symlink_to(f"../../blobs/{xet[:2]}/{xet}")
        self.link(path, blob)
        return shared

    def link(self, path: str, target: Path | str) -> None:
        """Link a file of the snapshot, relative if `target` is a path."""
        at = self.snapshot / path
        at.parent.mkdir(parents=True, exist_ok=True)
        at.symlink_to(os.path.relpath(target, at.parent) if isinstance(target, Path) else target)

    def list(self, text: str | bytes | None = None) -> None:
        """Write the listing, or `text` in its place."""
        if text is None:
            text = json.dumps({"format_version": 1, "files": self.listing}, indent=1)
        trees = self.folder / "trees"
        trees.mkdir(exist_ok=True)
        (trees / f"{self.commit}.json").write_bytes(text if isinstance(text, bytes) else text.encode())


def small_model(hub: Path, folder_name: str = "models--org--name") -> Repository:
    """Make a complete repository of three files."""
    made = Repository(hub, folder_name)
    made.add("model.safetensors", b"weights", lfs=True)
    made.add("README.md", b"# hello")
    made.add("onnx/config.json", b"{}")
    made.list()
    return made
