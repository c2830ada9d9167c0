"""Whose the files of a folder are, where what was fetched there meets what stood there before.

A fetch keeps files that are there and equal, and records them with its own. Those of them that are published, or were
adopted from another program, stay what they were: read, and never replaced by a repair. Told by paths, since what a
repair does is to put another file under a path. Pure: folders are as the caller has them, with their links followed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from p2phub.content import RangeSet
from p2phub.manifest import Manifest, is_alone
from p2phub.store.holding import Origin

H = TypeVar("H")

READ_ONLY = (Origin.PUBLISHED, Origin.ADOPTED)
"""Whose files are only ever read."""

NOT_OURS = (*READ_ONLY, Origin.SHARED)
"""The same with what another home shares, which is in a folder as it says, and never by our doing."""


def files_of_others(
    manifest: Manifest,
    folder: Path,
    others: Iterable[tuple[Path, H]],
    manifest_of: Callable[[H], Manifest | None],
) -> RangeSet:
    """Return the files of `manifest`, by number, that stand in `folder` as files of `others`, too: of holdings that are
    read only, with their folders. `manifest_of` is asked of those that `folder` has to do with alone; None: nobody
    knows what it has, so that it may be any file below."""
    found: set[int] = set()
    for at, holding in others:
        if at == folder or at in folder.parents or folder in at.parents:
            found.update(_shared(manifest, folder, at, manifest_of(holding)))
    return RangeSet.from_indices(found)


def _shared(manifest: Manifest, folder: Path, at: Path, other: Manifest | None) -> Iterator[int]:
    itself, below = os.fspath(at), os.path.join(at, "")
    for number, entry in enumerate(manifest.files):
        place = os.path.join(folder, entry.path)
        alone = place == itself  # What is held alone has its own path for a folder.
        if alone or (place.startswith(below) and (other is None or _has(other, place[len(below) :]))):
            yield number


def _has(manifest: Manifest, path: str) -> bool:
    return not is_alone(manifest) and manifest.number_of(path) is not None
