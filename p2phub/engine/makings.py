"""Whose turn it is to have an offer made: who asks for one after the other keeps nobody from being answered.

To make one reads all that describes a manifest, on the few threads that answer questions about names as well. So one is
made at a time, of the askers of one network one waits for that, and who had many made waits before the next. What is at
hand costs nothing, and is nobody's turn. Source: proto/transfer.md §6.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from p2phub import limits
from p2phub.content import Digest
from p2phub.discovery import Allowance, network_of
from p2phub.engine.workers import Workers
from p2phub.identity import PeerAddress
from p2phub.net import Offer


class Makings:
    """Gets offers for askers. `at_hand` says whether one is made already; `look_up` returns it or makes it, in a
    thread, and None if the asker gets none."""

    def __init__(self, workers: Workers, at_hand: Callable[[Digest], bool]) -> None:
        self._workers = workers
        self._at_hand = at_hand
        self._one = trio.CapacityLimiter(1)
        self._turns: dict[str, trio.Lock] = {}
        self._pace = Allowance(burst=limits.OFFERS_MADE_BURST, per_s=limits.OFFERS_MADE_PER_S)

    async def offer(self, manifest: Digest, asker: PeerAddress, look_up: Callable[[], Offer | None]) -> Offer | None:
        """Return what `look_up` returns, when it is the asker's turn."""
        if self._at_hand(manifest):
            return await self._workers.run(look_up)
        ip = asker.address.ip
        network = network_of(ip) or ip
        async with self._turn_of(network):
            async with self._one:
                makes = not self._at_hand(manifest)  # Somebody else may have had it made meanwhile.
                offer = await self._workers.run(look_up)
            if makes and offer is not None:
                await trio.sleep(self._pace.reserve(network, now=trio.current_time()))
        return offer

    @asynccontextmanager
    async def _turn_of(self, network: str) -> AsyncIterator[None]:
        lock = self._turns.setdefault(network, trio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked() and self._turns.get(network) is lock:  # Locked still, for the next, if anybody waits.
                del self._turns[network]
