"""The books of a libp2p host's connections: where each leads, when it was used, and that its socket ends with it.

The library keeps connections too, but not who dialled, nor a bound, and it may lose a socket: here the count is kept
within LIBP2P_CONNECTIONS_MAX, the idle are ended, and each ends politely for half a second, then by its socket.
"""

from __future__ import annotations

import logging

import msgspec
import trio
from libp2p.abc import IHost, IMuxedConn, INetConn

from p2phub import limits
from p2phub.identity import Address, PeerId
from p2phub.net.libp2p_library import TcpStream, libp2p_id_of

log = logging.getLogger("p2phub.libp2p")
_CLOSE_S = 0.5


class Connection(msgspec.Struct):
    """One: where its other end is, whether we dialled it (so that the address is proven), when it was used."""

    stream: TcpStream
    address: Address
    dialled: bool
    used_at: float


class Connections:
    """The connections of a host, by what the library calls muxed connections."""

    def __init__(self, host: IHost) -> None:
        self._swarm = host.get_network()
        self._known: dict[int, Connection] = {}  # By id of the muxed connection.

    def __len__(self) -> int:
        return len(self._known)

    def of(self, muxed: IMuxedConn) -> Connection | None:
        """Return what is known of `muxed`, None once it has ended."""
        return self._known.get(id(muxed))

    def to(self, peer: PeerId) -> list[Connection]:
        """Return the connections to `peer`, which may be dead."""
        connections = self._swarm.get_connections(libp2p_id_of(peer))
        found = [self.of(each.muxed_conn) for each in connections if not each.is_closed]
        return [known for known in found if known is not None]

    def add(self, muxed: IMuxedConn, connection: Connection) -> None:
        """Note a new one. Somebody must `attend` it from then on."""
        self._known[id(muxed)] = connection

    async def attend(self, muxed: IMuxedConn) -> None:
        """Return when the connection has ended, and see to it that its socket ended with it."""
        connection = self._known[id(muxed)]
        try:
            await muxed.event_closed.wait()  # type: ignore[attr-defined]
        finally:
            await trio.aclose_forcefully(connection.stream.stream)
            self._known.pop(id(muxed), None)

    def touch(self, muxed: IMuxedConn) -> None:
        """It is used now."""
        known = self.of(muxed)
        if known is not None:
            known.used_at = trio.current_time()

    async def keep_within(self, newest: IMuxedConn) -> bool:
        """If there are too many connections end the one idle the longest, or `newest`: return whether that stays."""
        connections = [each for each in self._swarm.get_connections() if not each.is_closed]
        if len(connections) <= limits.LIBP2P_CONNECTIONS_MAX:
            return True
        idle = [
            (known.used_at, number)
            for number, each in enumerate(connections)
            if (known := self.of(each.muxed_conn)) and not each.get_streams() and each.muxed_conn is not newest
        ]
        if not idle:
            await self.end_muxed(newest)
            return False
        await self.end(connections[min(idle)[1]])
        return True

    async def end_idle(self) -> None:
        """End, again and again until cancelled, what was not used for LIBP2P_CONNECTION_IDLE_S."""
        while True:
            await trio.sleep(limits.LIBP2P_CONNECTION_IDLE_S / 4)
            long_ago = trio.current_time() - limits.LIBP2P_CONNECTION_IDLE_S
            for each in list(self._swarm.get_connections()):
                known = self.of(each.muxed_conn)
                if known is not None and known.used_at < long_ago and not each.get_streams():
                    await self.end(each)

    async def end_all(self) -> None:
        async with trio.open_nursery() as nursery:
            for each in list(self._swarm.get_connections()):
                nursery.start_soon(self.end, each)
        self._swarm.connections.clear()

    async def end_peer(self, peer: PeerId) -> None:
        """End all connections to `peer`."""
        for each in list(self._swarm.get_connections(libp2p_id_of(peer))):
            await self.end(each)

    async def end_muxed(self, muxed: IMuxedConn) -> None:
        for each in list(self._swarm.get_connections()):
            if each.muxed_conn is muxed:
                await self.end(each)

    async def end(self, connection: INetConn) -> None:
        """End one: politely for half a second, which libp2p itself does not bound, then by its socket."""
        with trio.move_on_after(_CLOSE_S):
            try:
                await connection.close()
                return
            except Exception as exc:  # noqa: BLE001 - it is being thrown away.
                log.debug("closing: %r", exc)
        with trio.CancelScope(shield=True):
            known = self.of(connection.muxed_conn)
            if known is not None:
                await trio.aclose_forcefully(known.stream.stream)
            self._swarm.remove_conn(connection)  # type: ignore[attr-defined]
