"""What a home keeps, what may be collected of it and in which order, and what all of it takes. Pure values.

Collectable are what lies in the home's own store and is not pinned, what came from an upstream hub likewise, blobs that
describe nothing that is kept, what crashes left, and rows of the index that tell of nothing. A user's folders are never
among it. Who carries it out: `collecting`, `hub_collecting`; decisions/0093, 0119.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from p2phub.content import Digest
from p2phub.store.holding import Holding

RARE_BELOW = 3
"""What fewer others hold is collected last: with two copies elsewhere, one loss leaves one."""

OPENED_FOLDER = "opened"
"""Below the home: what tensors are read from while the rest arrives, a folder a call."""

UPSTREAM_FOLDER = "upstream"
"""Below the home: what came from an upstream hub, as its own client would keep it (`hub_copy`)."""

USED_LATELY_S = 300.0
"""A snapshot of an upstream hub that was used since then stays: clients ask for one file of it after the other."""

OPENED_LETTERS = 32
"""Hex digits, of which the name of such a folder consists: all else in there is nobody's to remove."""


class Keep(msgspec.Struct, frozen=True):
    """What is not to be touched. `busy`: manifests of fetches that run, or were begun and may go on. `described(held)`:
    manifests that keep what describes them, though they are not among those `held`; asked only if it matters.
    `published`: what names that are published here mean now."""

    pinned: frozenset[Digest] = frozenset()
    busy: frozenset[Digest] = frozenset()
    described: Callable[[frozenset[Digest]], Iterable[Digest]] = lambda held: ()
    published: frozenset[Digest] = frozenset()


class Spare(msgspec.Struct, frozen=True):
    """A holding of the home's own store that may go. `used_at`: Unix seconds, 0: nobody knows; `others`: how many
    others hold it, as far as was noted; None: nobody knows, so that it counts as rare."""

    manifest: Digest
    folder: Path
    bytes: int
    used_at: int = 0
    others: int | None = None

    @property
    def is_rare(self) -> bool:
        return self.others is None or self.others < RARE_BELOW

    @property
    def manifests(self) -> tuple[Digest, ...]:
        return (self.manifest,)


class SpareSnapshot(msgspec.Struct, frozen=True):
    """A commit of a repository of an upstream hub that may go. `manifests`: what is held of it, none before it was
    adopted; `bytes`: of what no other snapshot has that stays. It is not rare: the hub has it."""

    name: str
    commit: str
    folder: Path
    manifests: tuple[Digest, ...]
    bytes: int
    used_at: int

    @property
    def is_rare(self) -> bool:
        return False


Goes = TypeVar("Goes", Spare, SpareSnapshot, Spare | SpareSnapshot)


def in_order(spare: Iterable[Goes]) -> tuple[Goes, ...]:
    """Return what goes first first: not used for longest, but after all others what is rare."""
    return tuple(sorted(spare, key=lambda each: (each.is_rare, each.used_at, _raw(each), str(each.folder))))


def _raw(spare: Spare | SpareSnapshot) -> bytes:
    return spare.manifests[0].raw if spare.manifests else b""


def enough(spare: Iterable[Spare | SpareSnapshot], wanted_bytes: int) -> tuple[Spare | SpareSnapshot, ...] | None:
    """Return of `spare`, which are in order, the first that have `wanted_bytes`; None if all have less."""
    taken: list[Spare | SpareSnapshot] = []
    for each in spare:
        if wanted_bytes <= 0:
            break
        taken.append(each)
        wanted_bytes -= each.bytes
    return tuple(taken) if wanted_bytes <= 0 else None


class Leftover(msgspec.Struct, frozen=True):
    """A folder of the home that nothing names or uses: of a collection, a fetch, or a reader of tensors, that a crash
    ended."""

    folder: Path
    bytes: int


class Collectable(msgspec.Struct, frozen=True):
    """What a collection would remove: `spare` in its order, and `snapshots` in theirs; `rows` of the index that tell of
    nothing any more, among them those of earlier versions that are not all there any more."""

    spare: tuple[Spare, ...]
    leftovers: tuple[Leftover, ...]
    blobs: int
    blob_bytes: int
    rows: int
    snapshots: tuple[SpareSnapshot, ...] = ()


class Swept(msgspec.Struct, frozen=True):
    """What a sweep removed beside holdings of the own store."""

    leftovers: tuple[Leftover, ...]
    blobs: int
    blob_bytes: int
    rows: int


class UpstreamUsage(msgspec.Struct, frozen=True):
    """What the copies of an upstream hub take, each file once, with what is coming; `bytes_held`: of that, what
    holdings have; `snapshots`: how many."""

    bytes: int = 0
    bytes_held: int = 0
    snapshots: int = 0


class UpstreamLook(msgspec.Struct, frozen=True):
    """What a look at the copies of an upstream hub found: what may go, what crashes left, what all of it takes."""

    spare: tuple[SpareSnapshot, ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    usage: UpstreamUsage = UpstreamUsage()


class HoldingUsage(msgspec.Struct, frozen=True):
    """`bytes_selected`: of its `bytes`, what files take that were made of selected parts of it.

    Of a holding's `bytes`, `bytes_same_file` are in files (by inode) that another holding has too, under whatever
    name, and `bytes_same_content` in chunks (by digest) that are held elsewhere, too, be it the same blocks of the
    disk (hard links, clones) or another copy."""

    holding: Holding
    bytes: int
    bytes_same_file: int
    bytes_same_content: int
    bytes_selected: int = 0

    @property
    def bytes_once(self) -> int:
        """What nothing else that is held here has: what would be free if it went."""
        return self.bytes - self.bytes_same_content


class Usage(msgspec.Struct, frozen=True):
    """What a home holds and takes, in bytes. `bytes_files`: each file counted once, however many holdings have it;
    `bytes_content`: each chunk counted once, which is the least that all of it could take."""

    holdings: tuple[HoldingUsage, ...]
    bytes: int
    bytes_files: int
    bytes_content: int
    blobs: int
    blob_bytes: int
    index_bytes: int
    log_bytes: int
    leftover_bytes: int
    unfinished_bytes: int = 0  # Of fetches into the own store that did not end.
    upstream: UpstreamUsage = UpstreamUsage()


class Keeper(Protocol):
    """What every `Store` can keep and collect. Calls block; none holds a lock of the store while files are removed."""

    def own_folder(self, manifest: Digest) -> Path:
        """Return where the home's own store has a manifest, if it has: what is held there is `Origin.OWN`."""

    def own_bytes(self) -> int:
        """Return what the files of all holdings of the own store come to, with those that drafts were published of."""

    def own_unfinished(self) -> dict[Digest, int]:
        """Return what each fetch into the own store takes there that did not end, or runs, beside what is held."""

    def upstream_bytes(self) -> int:
        """Return what the copies of an upstream hub take, each file once, with what is coming."""

    def note_others(self, manifest: Digest, others: int) -> None:
        """Note how many others hold a manifest that is held in the own store."""

    def in_use(self, manifest: Digest) -> AbstractContextManager[None]:
        """Nobody collects what the own store, or a hub's snapshot, has of a manifest, in whatever process, until this
        ends. Raises Occupied if somebody writes to it."""

    def collectable(self, keep: Keep) -> Collectable:
        """Return what may go. Changes nothing that is held."""

    def collect(self, spare: Spare | SpareSnapshot, keep: Keep) -> int | None:
        """Forget a holding of the own store, or what is held of a hub's snapshot, durably, then remove its files;
        return how many bytes those were.

        None, and nothing is done, if by now it is pinned, written to, in use, gone, or none of the own store."""

    def sweep(self, keep: Keep, stopped: Callable[[], bool]) -> Swept:
        """Remove what `collectable` tells of beside holdings, some at a time; look at `stopped` in between."""

    def end_earlier(self, folder: Path, keep: Keep) -> tuple[Digest, ...]:
        """Forget the earlier versions of `folder` of which nothing is left there, since newer ones were recorded; those
        that are pinned, published or busy stay. Returns which went. Of which a part is left, those go by `sweep`."""

    def unfinished_bytes(self, manifest: Digest, folder: Path) -> int:
        """Return what an unfinished fetch of `manifest` takes in `folder`, beside the files that are at their place."""

    def discard_unfinished(self, manifest: Digest, folder: Path) -> int | None:
        """Give up an unfinished fetch: remove what it left but for files at their place; return how many bytes. None
        if somebody is writing there."""

    def discard_opened(self, folder: Path) -> bool:
        """Remove what tensors were read from, a folder in OPENED_FOLDER of the home. False, and nothing is done, if
        somebody fetches into it."""

    def usage(self) -> Usage: ...
