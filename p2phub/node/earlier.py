"""What there is of the versions of a name before its newest: files in a folder that was given a newer one, and what
goes on being served when nobody thinks of it any more.

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
from p2phub.node.compose import Parts
from p2phub.node.releases import earlier_references
from p2phub.node.running import Running
from p2phub.store import HeldAt, Origin, Publication

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


def earlier_published(parts: Parts, gone: Publication) -> list[HeldAt]:
    """Return where this home published the versions that a name meant before it was withdrawn, but those that another
    name means. Of a name only so many releases are remembered: what has none any more and was published from the same
    folder is one of them, unless something else is published from there. Blocks."""
    named = {named_manifest(signed) for signed in parts.ledger.history(gone.publisher, gone.name, gone.tag)}
    publications = parts.ledger.publications()
    meant = {gone.manifest, *(item.manifest for item in publications)}
    folder = Path(os.path.abspath(gone.folder))
    is_folder_ours = all(Path(os.path.abspath(item.folder)) != folder for item in publications)
    held = [each for each in parts.store.held_at() if each.origin is Origin.PUBLISHED and each.manifest not in meant]
    other = {each.manifest for each in held if is_folder_ours and each.folder == folder} - named
    named |= other - earlier_references(parts, other).keys()
    return [each for each in held if each.manifest in named]
