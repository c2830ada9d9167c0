"""Sockets of the simulated network for libp2p: level L0, on which Noise, Yamux, identify and the DHT run as shipped.

Only what lies under `net.libp2p_host` is replaced: the listener that hands over connections which begin as multistream
does, and what connects. Keys of a handshake come from OpenSSL and are not drawn from the seed: a trace knows lengths
and times, and those are the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, cast
from unittest import mock
from weakref import WeakKeyDictionary

import trio
from libp2p.network import swarm

from p2phub.errors import PeerGone
from p2phub.identity import Address
from p2phub.net.libp2p_library import Connect
from simnet.network import Host, Stream

OnSocket = Callable[[trio.SocketStream], Awaitable[None]]
READ_BYTES = 65536  # What one read takes at most, where nothing is said.


class SimSocket:
    """What libp2p uses of a `trio.SocketStream`, over a simulated stream; it is its own `socket`, too."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    @property
    def socket(self) -> SimSocket:
        return self

    def getpeername(self) -> tuple[str, int]:
        address = self._stream.other.address
        return address.ip, address.port

    def setsockopt(self, *option: Any) -> None:
        """Keep-alive and timeouts of the machine: nothing here loses track of a connection."""

    async def send_all(self, data: bytes) -> None:
        try:
            await self._stream.write(data)
        except PeerGone as exc:
            raise self._ended(exc) from exc

    async def receive_some(self, most: int | None = None) -> bytes:
        try:
            return await self._stream.read(most or READ_BYTES)
        except PeerGone as exc:
            raise self._ended(exc) from exc

    async def aclose(self) -> None:
        self._stream.end()
        await trio.lowlevel.checkpoint()

    def _ended(self, error: PeerGone) -> Exception:
        return trio.ClosedResourceError() if self._stream.ended else trio.BrokenResourceError(error.message)


class SimPort:
    """`net.libp2p_host.Port` of a simulated host. `nursery` runs what takes connections, for as long as it listens."""

    def __init__(self, host: Host, nursery: trio.Nursery) -> None:
        self._host, self._nursery = host, nursery

    @property
    def addresses(self) -> tuple[Address, ...]:
        return (self._host.address,)

    def on_multistream(self, handler: OnSocket | None) -> None:
        def accept(stream: Stream) -> None:
            assert handler is not None
            self._nursery.start_soon(handler, cast(trio.SocketStream, SimSocket(stream)))

        self._host.multistream = accept if handler is not None else None


def connecting(source: Host) -> Connect:
    """Return how `source` connects to others."""

    async def connect(address: Address) -> trio.SocketStream:
        network = source.network
        try:
            target = await network.connect(source, address)
        except PeerGone as exc:
            raise OSError(exc.message) from exc
        if target.multistream is None:
            raise OSError(f"nobody speaks libp2p at {address}")
        near, far = network.join(source, target, apart=True)
        target.multistream(far)
        return cast(trio.SocketStream, SimSocket(near))

    return connect


@contextmanager
def numbered() -> Iterator[None]:
    """Have libp2p, which decides by `id()` between connections to one peer that are as busy, count them instead."""
    numbers: WeakKeyDictionary[object, int] = WeakKeyDictionary()
    following = count()

    def number(each: object) -> int:
        return numbers.setdefault(each, next(following))

    with mock.patch.object(swarm, "id", number, create=True):
        yield
