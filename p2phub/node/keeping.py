"""What this node keeps: what a collection must not touch, and room within the quota, for fetches into the own store
and for what comes from an upstream hub.

A collection, and a fetch that makes room, wait for each other; what fetches under way will take counts as taken. Files
of a hub come by the thousand: what was free at a look is given to them for a while before there is another.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from p2phub.content import Digest
from p2phub.engine.collect import ask_others, collect
from p2phub.errors import DiskFull
from p2phub.manifest import named_manifest
from p2phub.node.compose import Parts, is_unfinished_in
from p2phub.node.unfinished import every_begun
from p2phub.store import Keep, Ledger, Origin, Spare, SpareSnapshot, enough, in_order

_LOOK_S = 60.0  # So long what was free at a look is believed to be.


def counted(parts: Parts) -> dict[str, int]:
    """Return by kind how many bytes count for the quota: what the own store has, what fetches into it left that did not
    end, and what came from an upstream hub. Blocks, for as long as it takes to look at the copies. Raises DiskError."""
    return {
        "own_bytes": parts.store.own_bytes(),
        "unfinished_bytes": sum(parts.store.own_unfinished().values()),
        "upstream_bytes": parts.store.upstream_bytes(),
    }


class Keeping:
    """What one node keeps. `busy` are the manifests it fetches, or gives to another program, now; `changed` is told
    of what is let go of; `online`: whether the network may be asked; `coming`: bytes still to come from a hub."""

    def __init__(
        self,
        parts: Parts,
        *,
        busy: Callable[[], Iterable[Digest]],
        changed: Callable[[Digest], None],
        online: bool,
        coming: Callable[[], int] = lambda: 0,
    ) -> None:
        self._parts = parts
        self._coming = coming
        self._free_until = 0.0
        self._free = 0  # Bytes, of what was free at the last look, that nobody was given yet.
        self._busy = busy
        self._changed = changed
        self._online = online
        self.lock = trio.Lock()
        self._promised: dict[Digest, int] = {}  # What fetches into the own store will take.

    def busy(self) -> Iterable[Digest]:
        """Return what is used by this node now."""
        return self._busy()

    async def keep(self, *, unfinished: bool = False) -> Keep:
        """Return what no collection touches now. `unfinished`: fetches that do not run are given up."""
        busy, parts = frozenset(self._busy()), self._parts

        def look() -> Keep:
            left = () if unfinished else every_begun(parts.config.home)
            waiting = {fetch.manifest for fetch in left if is_unfinished_in(fetch.folder, fetch.manifest)}
            published = frozenset(item.manifest for item in parts.ledger.publications())
            return Keep(parts.ledger.pins(), busy | waiting, lambda held: described(parts.ledger, held), published)

        return await parts.workers.run(look)

    async def in_order(
        self, spare: Iterable[Spare], snapshots: Iterable[SpareSnapshot]
    ) -> tuple[Spare | SpareSnapshot, ...]:
        """Return what may go in the order in which it goes, the network asked where it can be."""
        waiting, parts = tuple(spare), self._parts
        if self._online and waiting:
            finder = await parts.open_finder()
            waiting = await ask_others(waiting, finder, own=parts.key.peer_id, store=parts.store, workers=parts.workers)
        goes: list[Spare | SpareSnapshot] = [*waiting, *snapshots]
        return in_order(goes)

    async def collect(self, spare: Spare | SpareSnapshot, keep: Keep) -> int | None:
        """Let go of one holding, or of a hub's snapshot; return how many bytes, None if it is needed by now. Raises
        DiskError."""
        parts = self._parts
        return await collect(spare, keep, store=parts.store, workers=parts.workers, changed=self._changed)

    async def end_earlier(self, folder: Path) -> None:
        """Bring what is told and served of the versions that `folder` held in step with the one that was recorded there
        last, and let those end of which nothing is left. Raises DiskError."""
        parts, keep = self._parts, await self.keep()

        def settle() -> set[Digest]:
            at = Path(os.path.abspath(folder))
            here = {held.manifest for held in parts.store.held_at() if held.folder == at}
            parts.store.end_earlier(at, keep)
            return here

        for manifest in await parts.workers.run(settle):
            self._changed(manifest)

    @asynccontextmanager
    async def room_for(self, manifest: Digest) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
        """Give what makes room for a fetch of `manifest` into the own store, which holds until the end of the block."""
        try:
            yield lambda count: self._make_room(manifest, count)
        finally:
            self._promised.pop(manifest, None)

    async def room_for_hub(self, count: int) -> None:
        """Let go of what may go, so that `count` bytes of an upstream hub, which are among those that are `coming`, are
        within the quota. Raises DiskFull, DiskError."""
        if self._parts.config.quota is None:
            return
        async with self.lock:
            now = trio.current_time()
            if now >= self._free_until or count > self._free:
                self._free = await self._room(None, count)
                self._free_until = now + _LOOK_S
            else:
                self._free -= count

    async def _make_room(self, manifest: Digest, count: int) -> None:
        """Let go of what may go, so that `count` bytes more are within the quota. Raises DiskFull, DiskError."""
        if self._parts.config.quota is None:
            return
        async with self.lock:
            self._free_until = 0.0
            await self._room(manifest, count)
            self._promised[manifest] = count

    async def _room(self, manifest: Digest | None, count: int) -> int:
        """Make room for `count` bytes more of a manifest, or (None) of a hub's file; return how many are free
        beside."""
        parts, quota = self._parts, self._parts.config.quota
        assert quota is not None, "without a quota nobody needs room"

        def taken() -> int:
            mine = () if manifest is None else parts.store.holdings(manifest)
            held = parts.store.own_bytes() - sum(each.bytes_total for each in mine if each.origin is Origin.OWN)
            # Of those that run it counts what they will take.
            counted = self._promised.keys() | ({manifest} if manifest is not None else set())
            left = parts.store.own_unfinished()
            return held + sum(left[other] for other in left.keys() - counted) + parts.store.upstream_bytes()

        promised = sum(self._promised[other] for other in self._promised if other != manifest) + self._coming()
        more = 0 if manifest is None else count
        short = await parts.workers.run_long(taken) + promised + more - quota
        if short > 0:
            await self._let_go(manifest, short, count)
        return max(0, -short)

    async def _let_go(self, manifest: Digest | None, short: int, count: int) -> None:
        parts, keep = self._parts, await self.keep()
        found = await parts.workers.run_long(lambda: parts.store.collectable(keep))
        spare = await self.in_order((each for each in found.spare if each.manifest != manifest), found.snapshots)
        if enough(spare, short) is None:  # Nothing is let go of in vain.
            raise DiskFull(
                f"{count:,} bytes more would be {short:,} over the quota of {parts.config.quota:,} bytes, and "
                f"{sum(each.bytes for each in spare):,} of what is there may go",
                hint="unpin what is not needed (`p2phub du` shows what takes how much), give up fetches that did not "
                "end (`p2phub gc --unfinished`), raise `quota` in config.toml, "
                "or fetch it into a folder of yours: p2phub fetch REF --into DIR",
            )
        for each in spare:
            if short <= 0:
                return
            # Not what became free, which is nothing where another program has it, too, by a hard link.
            short -= each.bytes if await self.collect(each, keep) is not None else 0
        if short > 0:
            raise DiskFull("what was to make room was pinned meanwhile", hint="unpin something, then run it again")


def described(ledger: Ledger, held: frozenset[Digest]) -> set[Digest]:
    """Return the manifests that are published, and the history of each name of which something is held. Blocks."""
    publications = ledger.publications()
    found = {item.manifest for item in publications}
    names = {(item.publisher, item.name, item.tag) for item in publications}
    names |= {(publisher, name, tag) for publisher, name, tag, _ in ledger.all_accepted()}
    for each in names:
        history = {named_manifest(signed) for signed in ledger.history(*each)}
        if not history.isdisjoint(held):
            found |= history
    return found
