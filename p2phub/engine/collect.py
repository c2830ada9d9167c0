"""Carry out a collection: find out who else holds what may go, then let go of it, one manifest at a time.

What goes first is decided by `store.in_order`. The network is asked for a moment only: where nobody answers, what was
noted when it was fetched holds. Between two steps others get their turn, and a cancelled collection has done a part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio
from msgspec.structs import replace

from p2phub import limits
from p2phub.content import Digest
from p2phub.discovery import Candidate
from p2phub.engine.workers import Workers
from p2phub.identity import PeerId
from p2phub.net import Finder
from p2phub.store import Keep, Spare, SpareSnapshot, Store, in_order

ASK_S = 5.0  # For all that is asked of others: a collection, or a fetch that needs the room, waits for it.
ASKED_MAX = 16  # Those that would go first; what they make room for is little if they are rare.
ASKED_AT_ONCE = 4


async def collect(
    spare: Spare | SpareSnapshot, keep: Keep, *, store: Store, workers: Workers, changed: Callable[[Digest], None]
) -> int | None:
    """Let go of one holding of the own store, or of a snapshot of a hub; return how many bytes it was, None if it is
    needed by now.

    `changed` is told before, so that nobody is offered it any more, and after. Raises DiskError.
    """
    for manifest in spare.manifests:
        changed(manifest)
    freed = await workers.run_long(lambda: store.collect(spare, keep))
    for manifest in spare.manifests:
        changed(manifest)
    return freed


async def ask_others(
    spare: Sequence[Spare], finder: Finder, *, own: PeerId, store: Store, workers: Workers
) -> tuple[Spare, ...]:
    """Return `spare` in its order, after asking how many others hold those that would go first now."""
    known = {each.manifest: each for each in spare}
    asked: dict[Digest, int] = {}
    limiter = trio.CapacityLimiter(ASKED_AT_ONCE)

    async def ask(manifest: Digest) -> None:
        async with limiter:
            asked[manifest] = await _count_others(manifest, finder, own)

    with trio.move_on_after(ASK_S):
        async with trio.open_nursery() as nursery:
            for each in sorted(spare, key=lambda each: each.used_at)[:ASKED_MAX]:
                nursery.start_soon(ask, each.manifest)

    def note() -> None:
        for manifest, others in list(asked.items()):
            store.note_others(manifest, others)

    await workers.run(note)
    return in_order(replace(each, others=asked.get(each.manifest, each.others)) for each in known.values())


async def _count_others(manifest: Digest, finder: Finder, own: PeerId) -> int:
    """Return how many peers but us are said to provide it."""
    send, found = trio.open_memory_channel[Candidate](limits.PROVIDERS_PER_KEY_MAX)
    peers: set[PeerId] = set()

    async def search() -> None:
        async with send:
            await finder.providers(manifest, send)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(search)
        async for candidate in found:
            peers.add(candidate.provider.peer)
    return len(peers - {own})
