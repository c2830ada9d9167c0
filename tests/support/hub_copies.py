"""Copies of an upstream hub in a home, as a gateway leaves them, without a hub."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path

from p2phub.store import UPSTREAM_FOLDER
from p2phub.store.hub_copy import PUBLIC, HubCopy, HubFile
from p2phub.store.keeping import USED_LATELY_S


def commit_of(number: int) -> str:
    return f"{number:040x}"


def hub_files(files: Mapping[str, bytes]) -> dict[str, HubFile]:
    """Return files as a hub lists them that has all of them in LFS."""
    return {path: HubFile(path, len(data), hashlib.sha256(data).hexdigest(), None) for path, data in files.items()}


def copied(
    home: Path,
    name: str,
    commit: str,
    files: Mapping[str, bytes],
    *,
    cache: str = PUBLIC,
    without: tuple[str, ...] = (),
    days: float = 1.0,
) -> HubCopy:
    """Keep a snapshot in `home`, but for the files `without`; nobody has used it for so many days."""
    copy = HubCopy(home / UPSTREAM_FOLDER / cache, "models", name, commit)
    listed = hub_files(files)
    used, _ = copy.use(listed)
    for path, file in listed.items():
        if path in without:
            continue
        if copy.standing(file) is None:
            copy.coming(file).write_bytes(files[path])
            copy.keep(file)
        copy.link(file)
    os.close(used)
    unused(copy, days=days)
    return copy


def unused(copy: HubCopy, *, days: float = 1.0) -> None:
    """Let nobody have used a snapshot for so long."""
    os.utime(copy.snapshot, times=(time.time() - 2 * USED_LATELY_S - days * 86_400,) * 2)


def stands_whole(copy: HubCopy, files: Mapping[str, bytes]) -> bool:
    """Whether a snapshot is there with all its files, or not at all. Raises AssertionError for anything between."""
    if not copy.snapshot.exists():
        return False
    for path, data in files.items():
        assert (copy.snapshot / path).read_bytes() == data, path
    return True
