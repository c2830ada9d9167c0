"""What is done for a peer that connected to us and proved who it is: its first frame says what it wants.

Bounds: DATA_CONNECTIONS_MAX bulk connections (a thread each), CONTROL_CONNECTIONS_MAX control connections (a task
each), CONNECTIONS_PER_PEER_MAX of one peer. Who finds no place is told "busy"; but a bulk connection that has asked for
nothing for GIVES_WAY_S gives its place to whoever comes, one of a network that holds most places to who comes from
another (`net.giving_way`), and within that who deserves a place more than who has had its turn gets it
(`transfer.slots`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio

from p2phub import limits
from p2phub.discovery import network_of
from p2phub.errors import Malformed, ProtocolViolation
from p2phub.identity import PeerId
from p2phub.net.bytestream import Connection, read_frame
from p2phub.net.channel import Channel, Watched, longest_idle
from p2phub.net.control import serve_control
from p2phub.net.giving_way import gives_way, in_reach
from p2phub.net.interface import AnswerControl, Shelf
from p2phub.net.paced import PacedChannel
from p2phub.net.service import BulkService
from p2phub.net.threads import run_blocking
from p2phub.net.throttle import Throttle, slots
from p2phub.transfer import Place, party_of
from p2phub.wire import ControlRequest, Open, Refuse, decode_first, encode


class Reception:
    """Serves proven connections; one for all carriers of a node, so that the bounds hold across them."""

    def __init__(
        self,
        shelf: Shelf,
        answer: AnswerControl,
        watched: Watched,
        service: Callable[[Channel, Open, Shelf], BulkService] = BulkService,
        up: Throttle | None = None,
    ) -> None:
        self._shelf, self._answer, self._watched = shelf, answer, watched
        self._service = service
        self._up = Throttle() if up is None else up
        self._peers: Counter[PeerId] = Counter()
        # Each with the network that it comes from, the oldest first.
        self._bulk: dict[Channel, str | None] = {}
        self._held: dict[Channel, Place] = {}  # Of those.
        self._control: dict[trio.CancelScope, str | None] = {}
        self._threads = trio.CapacityLimiter(limits.DATA_CONNECTIONS_MAX)

    @property
    def serving(self) -> int:
        """How many connections are being served."""
        return len(self._bulk) + len(self._control)

    async def receive(self, connection: Connection, settled: Callable[[], None]) -> None:
        """Serve `connection` to its end. `settled` is called once its first frame came: until then the caller's
        deadline runs. Raises PeerError, ended by whose fault; the connection is closed in any case."""
        handed_over = False
        try:
            request = await self._first(connection)
            settled()
            if isinstance(request, Open):
                many = self._peers[connection.peer] >= limits.CONNECTIONS_PER_PEER_MAX
                if many or not self._has_place(request, connection):
                    await self._refuse(connection)
                    return
                handed_over = True
                await self._serve_bulk(connection, request)
            else:
                await self._serve_control(connection, request)
        finally:
            if not handed_over:
                with trio.CancelScope(shield=True), trio.move_on_after(limits.GOODBYE_S):
                    await connection.aclose()

    def _has_place(self, first: Open, connection: Connection) -> bool:
        """Whether there is a place for one more, if need be by ending one that does nothing, or has had its turn."""
        if len(self._bulk) < slots(self._up.rate, limits.DATA_CONNECTIONS_MAX):
            return True
        ended = longest_idle(self._bulk, at_least_s=limits.GIVES_WAY_S)
        network = network_of(connection.address.ip)
        ended = ended or gives_way(self._bulk, network)
        if ended is None:
            among = [self._held[channel] for channel in in_reach(self._bulk, network)]
            place = self._up.gives_way(first.manifest, party_of(connection.peer, connection.address), among)
            ended = next((channel for channel, its in self._held.items() if its is place), None)
        if ended is None:
            return False
        del self._bulk[ended]  # Its thread ends in a moment; the newcomer waits for that.
        self._up.leave(self._held.pop(ended))
        ended.cancel()
        return True

    async def _first(self, connection: Connection) -> Open | ControlRequest:
        try:
            request = decode_first(await read_frame(connection))
        except Malformed as exc:
            raise ProtocolViolation(str(exc), peer=str(connection.peer)) from exc
        if isinstance(request, Open | ControlRequest):
            return request
        raise ProtocolViolation(f"{type(request).__name__} cannot come first [out-of-order]", peer=str(connection.peer))

    async def _refuse(self, connection: Connection) -> None:
        with trio.move_on_after(limits.GOODBYE_S):
            await connection.write(encode(Refuse((), "busy")))

    async def _serve_bulk(self, connection: Connection, first: Open) -> None:
        with self._counted(connection.peer):
            bare = connection.as_channel()  # First of all: where there is no descriptor left, no place is taken.
            place, flow = self._up.enter(first.manifest, party_of(connection.peer, connection.address), connection.peer)
            channel, begun = PacedChannel(bare, self._up, flow, sends=True), False

            def serve() -> None:
                nonlocal begun
                begun = True
                service.run()  # Which closes the channel.

            self._bulk[channel], self._held[channel] = network_of(connection.address.ip), place
            self._watched.add(channel)
            try:
                service = self._service(channel, first, self._shelf)
                await run_blocking(serve, channel.cancel, self._threads)
            finally:
                if not begun:  # Cancelled before a thread took it up.
                    channel.close()
                self._watched.discard(channel)
                self._bulk.pop(channel, None)
                self._held.pop(channel, None)
                self._up.leave(place)

    async def _serve_control(self, connection: Connection, first: ControlRequest) -> None:
        network = network_of(connection.address.ip)
        if self._peers[connection.peer] >= limits.CONNECTIONS_PER_PEER_MAX:
            return  # The control protocol has no word for it; a closed connection is asked again later.
        if len(self._control) >= limits.CONTROL_CONNECTIONS_MAX:
            leaves = gives_way(self._control, network)
            if leaves is None:
                return
            del self._control[leaves]
            leaves.cancel()
        with self._counted(connection.peer), trio.CancelScope() as scope:
            self._control[scope] = network
            try:
                await serve_control(connection, first, self._answer)
            finally:
                self._control.pop(scope, None)

    @contextmanager
    def _counted(self, peer: PeerId) -> Iterator[None]:
        self._peers[peer] += 1
        try:
            yield
        finally:
            self._peers[peer] -= 1
            if not self._peers[peer]:
                del self._peers[peer]
