"""What an earlier version left in a folder that was given a newer one.

A fetch removes nothing: what stands in a folder is the user's. But a program that loads a folder takes whatever it
finds there, and who brought a model up to date would not look for what is no part of it any more; so they are told.
"""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

from p2phub.content import RangeSet
from p2phub.engine.resolve import Resolved
from p2phub.manifest import named_manifest
from p2phub.node.running import Running
from p2phub.store import Origin

LEFT_TOLD_MAX = 512


def left_of_earlier(node: Running, resolved: Resolved, folder: Path) -> list[str]:
    """Return the first paths, in order, of files that stand in `folder` since an earlier version of what was resolved
    was fetched into it, and that are no part of this one. Blocks."""
    release, now = resolved.release, node.manifest_of(resolved.manifest)
    if release is None or now is None:
        return []
    store = node.parts.store
    folder = Path(os.path.abspath(folder))
    history = node.parts.ledger.history(release.publisher, release.name, release.tag)
    earlier = {named_manifest(signed) for signed in history} - {resolved.manifest}
    paths: set[str] = set()
    for held in store.held_at() if earlier else ():
        is_there = held.folder == folder and held.origin is Origin.FETCHED and held.manifest in earlier
        if is_there and (before := node.manifest_of(held.manifest)) is not None:
            numbers = store.recorded(held.manifest, folder) & RangeSet.whole(len(before.files))
            paths.update(before.files[number].path for number in numbers)
    left = (path for path in sorted(paths) if now.number_of(path) is None and os.path.lexists(folder / path))
    return list(islice(left, LEFT_TOLD_MAX))
