"""How the nodes of a scene find each other: by somebody who knows them all, or by the real DHT on the real libp2p.

The first is quick and says who is there, whether they hold anything or not. The second is level L0: host, lookup,
tables and records as shipped, and the library under them, over sockets of the simulated network. It costs some hundred
times as much, so it is for ten to thirty nodes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING

import trio

from p2phub import limits
from p2phub.content import Digest
from p2phub.discovery import Asked, Candidate
from p2phub.identity import PeerAddress, SecretKey
from simnet.network import Host

if TYPE_CHECKING:  # Loaded where it is used: it takes a second.
    from p2phub.net.libp2p_dht import Dht

FINDING_S = 0.4  # What a lookup takes.
NAMED_MAX = limits.PROVIDERS_PER_KEY_MAX  # What a node of the DHT knows for one key; the others know much the same.


class SimFinder:
    """`net.Finder` of a node: names those it is given, of very many some, in an order of its own."""

    def __init__(self, others: list[PeerAddress], chance: Random, via: str = "dht") -> None:
        self._others, self._chance, self._via = others, chance, via
        self.releases: tuple[bytes, ...] = ()

    async def providers(self, manifest: Digest, found: trio.MemorySendChannel[Candidate]) -> None:
        await trio.sleep(FINDING_S * (1 + self._chance.random()))
        for other in self._chance.sample(self._others, min(len(self._others), NAMED_MAX)):
            await found.send(Candidate(other, self._via))

    async def release(self, publisher: object, name: str, tag: str) -> tuple[bytes, ...]:
        await trio.sleep(FINDING_S * (1 + self._chance.random()))
        return tuple(self._chance.sample(self.releases, len(self.releases)))

    async def announce(self, manifest: Digest) -> int:
        return 0

    async def put_release(self, key: str, signed: bytes) -> int:
        return 0

    def asked(self) -> tuple[Asked, ...]:
        return (Asked(self._via, tuple(str(other.peer) for other in self._others)),)


@asynccontextmanager
async def real_dht(host: Host, key: SecretKey, *, bootstrap: Sequence[PeerAddress], serves: bool) -> AsyncIterator[Dht]:
    """Run libp2p and the DHT on `host` until the block ends; `serves`: it can be dialled, and keeps records."""
    from p2phub.net.libp2p_dht import Mode, open_dht
    from p2phub.net.libp2p_host import open_host
    from simnet.libp2p_port import SimPort, connecting

    mode = Mode.SERVER if serves else Mode.CLIENT
    async with trio.open_nursery() as nursery:
        port = SimPort(host, nursery) if serves else None
        async with (
            open_host(key, port, connect=connecting(host)) as libp2p,
            open_dht(libp2p, bootstrap=bootstrap, mode=mode) as dht,
        ):
            yield dht
        nursery.cancel_scope.cancel()
