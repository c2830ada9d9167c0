"""Real libp2p nodes on loopback, for tests of discovery: `async with dht_node(bootstrap) as node`."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from p2phub.content import Digest
from p2phub.discovery import Candidate
from p2phub.identity import Address, PeerAddress, SecretKey
from p2phub.net.libp2p_dht import Dht, Mode, open_dht
from p2phub.net.libp2p_host import Host, open_host
from p2phub.net.listen import Listener, open_listener

ANY_PORT = Address("127.0.0.1", 0)


def secret(name: str) -> SecretKey:
    """Return the key of somebody called `name`: the same each time."""
    return SecretKey(hashlib.sha256(name.encode()).digest())


@dataclass(frozen=True)
class Node:
    host: Host
    dht: Dht
    listener: Listener | None

    @property
    def at(self) -> PeerAddress:
        return PeerAddress(self.host.peer_id, self.host.addresses[0])


async def not_served(stream: trio.SocketStream, settled: Callable[[], None]) -> None:
    await stream.aclose()


class ListenerPort:
    """The listener as the host wants it."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.addresses = listener.addresses

    def on_multistream(self, handler: Callable[[trio.SocketStream], Awaitable[None]] | None) -> None:
        async def serve(stream: trio.SocketStream, settled: Callable[[], None]) -> None:
            settled()
            if handler is not None:
                await handler(stream)

        self.listener.multistream = serve


@asynccontextmanager
async def listening_host(name: str, at: Address = ANY_PORT) -> AsyncIterator[tuple[Host, Listener]]:
    """Run a host that can be dialled."""
    async with open_listener([at], not_served) as listener, open_host(secret(name), ListenerPort(listener)) as host:
        yield host, listener


@asynccontextmanager
async def dht_node(
    name: str, bootstrap: Sequence[PeerAddress] = (), known: Sequence[PeerAddress] = ()
) -> AsyncIterator[Node]:
    """Run a DHT server on a port of its own."""
    async with (
        listening_host(name) as (host, listener),
        open_dht(host, bootstrap=bootstrap, known=known, mode=Mode.SERVER) as dht,
    ):
        yield Node(host, dht, listener)


@asynccontextmanager
async def dht_client(
    name: str, bootstrap: Sequence[PeerAddress] = (), known: Sequence[PeerAddress] = ()
) -> AsyncIterator[Node]:
    """Run what a command without a daemon is: it asks, and listens nowhere."""
    async with (
        open_host(secret(name)) as host,
        open_dht(host, bootstrap=bootstrap, known=known, mode=Mode.CLIENT) as dht,
    ):
        yield Node(host, dht, None)


async def providers_of(dht: Dht, manifest: Digest) -> list[PeerAddress]:
    """Return all that `dht` finds."""
    found: list[PeerAddress] = []
    send, receive = trio.open_memory_channel[Candidate](0)

    async def search() -> None:
        async with send:
            await dht.providers(manifest, send)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(search)
        async with receive:
            async for candidate in receive:
                found.append(candidate.provider)
    return found
