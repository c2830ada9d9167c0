"""Earlier versions of a folder in the store in memory: what `earlier` does on a disk, in the second implementation.

Each is called with the store's lock held. The index is never lost here, so that nothing need be found anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from p2phub.store.fingerprints import Fingerprint
from p2phub.store.holding import Origin
from p2phub.store.interface import HashedFile
from p2phub.store.keeping import Keep

if TYPE_CHECKING:
    from p2phub.store.memory import MemoryStore
    from p2phub.store.memory_holding import Held

_USERS = (Origin.PUBLISHED, Origin.FETCHED)
_NONE = Fingerprint(0, 0, 0, 0, 0)


def settle_earlier(store: MemoryStore, newest: Held, held: Iterable[Held]) -> None:
    """Note what is left of the others of `held` that the folder of `newest` held before."""
    if not _is_the_users(newest):
        return
    holdings = list(held)
    for each in holdings:
        if each is not newest and each.folder == newest.folder and _is_the_users(each):
            is_selection = each.origin is Origin.FETCHED and bool(each.left_out) and not each.replaced
            if _settle(store, each, newest, holdings) and not is_selection:
                each.replaced = True


def _is_the_users(held: Held) -> bool:
    return held.origin in _USERS and held.source is None


def _settle(store: MemoryStore, held: Held, newest: Held, holdings: list[Held]) -> bool:
    """Note what is left of one; return whether anything is gone that was there."""
    is_less = False
    for number, entry in enumerate(held.manifest.files):
        if number in held.left_out:
            continue
        at = newest.manifest.number_of(entry.path)
        is_there = at is not None and at not in newest.doubted
        if is_there and at is not None and newest.manifest.files[at].root == entry.root:
            held.files[number] = newest.files[at]
            held.doubted.discard(number)
            continue
        known = held.files[number]
        if not is_there or known.place is not None:
            now = store.standing(*held.where(number))
            if now == known.fingerprint:
                continue
            if now is not None and known.place is None:
                held.doubted.add(number)
                continue
        found = _elsewhere(store, held, number, [newest, *holdings])
        if found is not None:
            held.files[number] = found
            held.doubted.discard(number)
        else:
            is_less = True
            held.files[number] = replace(known, fingerprint=_NONE, place=None)
            held.doubted.add(number)
            held.left_out.add(number)
    return is_less


def _elsewhere(store: MemoryStore, held: Held, number: int, holdings: Iterable[Held]) -> HashedFile | None:
    """Return a file as it stands under another path with the same content."""
    if held.origin is not Origin.PUBLISHED:
        return None
    file = held.files[number]
    for other in holdings:
        if other is held or other.origin not in (*_USERS, Origin.ADOPTED):
            continue
        for at, entry in enumerate(other.manifest.files):
            same = entry.root == file.entry.root and at not in other.doubted
            if same and store.standing(*other.where(at)) == other.files[at].fingerprint:
                return replace(file, fingerprint=other.files[at].fingerprint, place=Path(*other.where(at)))
    return None


def ended(held: Iterable[Held], keep: Keep, folder: Path | None = None) -> list[Held]:
    """Return the earlier versions that may be forgotten: of `folder` those of which nothing is left; without it also
    those that are not all there any more."""
    kept = keep.pinned | keep.busy | keep.published
    found = [each for each in held if each.replaced and each.digest not in kept]
    return [each for each in found if folder is None or (each.folder == folder and not each.held)]
