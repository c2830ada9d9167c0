"""The port of discovery: how providers and releases are found and made findable.

Adapters: `net.libp2p_dht` (the DHT) and `net.lan` (the local network). `Finders` puts several side by side behind the
same port. A finder never says that a provider is good, only that somebody named it; what it costs is bounded by the
caller, who may cancel at any moment without harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import trio

from p2phub import limits
from p2phub.content import Digest
from p2phub.discovery import Asked, Candidate, CandidateQueue
from p2phub.identity import PeerId


class Finder(Protocol):
    """One way of finding. All methods may run at the same time for different things."""

    async def providers(self, manifest: Digest, found: trio.MemorySendChannel[Candidate]) -> None:
        """Send each candidate for `manifest` as soon as it is known; one peer may come with several addresses.

        Returns when everyone was asked once, or after LOOKUP_S. Closes nothing. Never raises for a peer's fault.
        """

    async def release(self, publisher: PeerId, name: str, tag: str) -> tuple[bytes, ...]:
        """Return the signed releases found for publisher/name@tag, newest first, none twice; their signatures hold."""

    async def announce(self, manifest: Digest) -> int:
        """Tell the network that this node provides `manifest`; return how many peers were seen to hold the record."""

    async def put_release(self, key: str, signed: bytes) -> int:
        """Give a signed release to the network under its key; return how many peers took it."""

    def asked(self) -> tuple[Asked, ...]:
        """Return who was asked in the latest search, for a message such as "no provider"."""


class Finders:
    """Several finders as one: all are asked at once, nothing is told twice."""

    def __init__(self, finders: Sequence[Finder], *, proven: frozenset[PeerId] = frozenset()) -> None:
        self._finders = tuple(finders)
        self._proven = proven

    async def providers(self, manifest: Digest, found: trio.MemorySendChannel[Candidate]) -> None:
        queue = CandidateQueue(self._proven)
        gather, gathered = trio.open_memory_channel[Candidate](limits.PROVIDERS_PER_KEY_MAX)

        async def search(finder: Finder, send: trio.MemorySendChannel[Candidate]) -> None:
            async with send:
                await finder.providers(manifest, send)

        async with trio.open_nursery() as nursery:
            async with gather:
                for finder in self._finders:
                    nursery.start_soon(search, finder, gather.clone())
            async with gathered:
                async for candidate in gathered:
                    queue.add(candidate)
                    while True:  # What came together is told in the order of its worth.
                        try:
                            queue.add(gathered.receive_nowait())
                        except (trio.WouldBlock, trio.EndOfChannel):
                            break
                    while (best := queue.take()) is not None:
                        await found.send(best)

    async def release(self, publisher: PeerId, name: str, tag: str) -> tuple[bytes, ...]:
        answers: list[tuple[bytes, ...]] = [()] * len(self._finders)

        async def search(index: int, finder: Finder) -> None:
            answers[index] = await finder.release(publisher, name, tag)

        async with trio.open_nursery() as nursery:
            for index, finder in enumerate(self._finders):
                nursery.start_soon(search, index, finder)
        return tuple(dict.fromkeys(signed for answer in answers for signed in answer))

    async def announce(self, manifest: Digest) -> int:
        return sum([await finder.announce(manifest) for finder in self._finders])

    async def put_release(self, key: str, signed: bytes) -> int:
        return sum([await finder.put_release(key, signed) for finder in self._finders])

    def asked(self) -> tuple[Asked, ...]:
        return tuple(asked for finder in self._finders for asked in finder.asked())
