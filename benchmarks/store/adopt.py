"""Adopting a cache of the Hugging Face hub: how long the walk over 10,000 files takes, and how fast they are hashed.

Its files are called by their SHA-256, and links below `snapshots/` say which is which, as the hub's clients write it.
The walk ends with the event `found`, before anything is hashed. Hashing is held against one pass of BLAKE3 + SHA-256
over the same files, in turn, each from the start of its process to its end.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

from benchmarks.contestants.p2phub import the_event, the_moment
from benchmarks.payload import Payload, read_tree
from benchmarks.plan import four_files, small_files
from benchmarks.processes import Command, ContestantFailed
from benchmarks.store.ground import Ground, Measured

WALK = "s until all is found"
LARGE, LARGE_ONCE = "s to adopt 4 safetensors files", "s to hash them once"
SMALL, SMALL_ONCE = "s to adopt 10,000 small files", "s to hash those once"
COMMIT = "ab" * 20


def measure_adopt(measured: Measured, ground: Ground, work: Path) -> None:
    """Adopt a cache of small files and one of large files, each beside one pass over them, in each round."""
    pairs = (
        (SMALL, SMALL_ONCE, small_files(ground.size, ground.cache)),
        (LARGE, LARGE_ONCE, four_files(ground.size, ground.cache)),
    )
    caches = {label: _cache_of(payload, work / payload.name) for label, _, payload in pairs}
    for number in range(ground.how.rounds):
        for label, once, payload in pairs:
            read_tree(payload.root)
            home = work / f"home-{payload.name}-{number}"
            hash_once = Command([sys.executable, "-m", "benchmarks.programs.hash_once", str(payload.root)])
            if number % 2:
                measured.add(once, ground.run(hash_once, home).wall_s)
            _adopt(measured, ground, label, caches[label], home, payload)
            if not number % 2:
                measured.add(once, ground.run(hash_once, home).wall_s)
            took, least = measured.figures[label][-1], measured.figures[once][-1]
            ground.tell(measured, f"{payload.name}: {took:.2f} s, hash once {least:.2f} s")


def _adopt(measured: Measured, ground: Ground, label: str, cache: Path, home: Path, payload: Payload) -> None:
    ended = ground.p2p(home, "adopt", str(cache))
    found, adopted = the_event(ended.said, "found"), the_event(ended.said, "adopted")
    if found["files"] < len(payload.files):
        raise ContestantFailed(f"of {len(payload.files)} files {found['files']} were found")
    if adopted["problems"] or not adopted["complete"]:
        raise ContestantFailed(f"not all was adopted: {adopted['problems'][:3]}")
    hashed = the_event(ended.said, "adopt")["bytes_hashed"]
    if hashed != payload.size:
        raise ContestantFailed(f"adopt hashed {hashed} bytes of {payload.size}: not what was to be measured")
    if label == SMALL:
        measured.add(WALK, the_moment(ended.said, "found") - (ended.moment - ended.wall_s))
    measured.add(label, ended.wall_s)


def _cache_of(payload: Payload, cache: Path) -> Path:
    """Write a hub's cache that has the payload as one repository; its files are hard links."""
    repository = cache / f"models--bench--{payload.name}"
    blobs, snapshot = repository / "blobs", repository / "snapshots" / COMMIT
    for directory in (blobs, repository / "refs"):
        directory.mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    listed: dict[str, dict[str, object]] = {}
    for file in payload.files:
        source, at = payload.root / file.path, snapshot / file.path
        with source.open("rb") as opened:
            name = hashlib.file_digest(opened, "sha256").hexdigest()
        if not (blobs / name).exists():
            os.link(source, blobs / name)
        at.parent.mkdir(parents=True, exist_ok=True)
        at.symlink_to(os.path.relpath(blobs / name, at.parent))
        listed[file.path] = {"size": file.size, "blob_id": COMMIT, "lfs_sha256": name, "lfs_size": file.size}
    (repository / "trees").mkdir()  # Who has it knows that nothing is missing.
    (repository / "trees" / f"{COMMIT}.json").write_text(json.dumps({"format_version": 1, "files": listed}))
    return cache
