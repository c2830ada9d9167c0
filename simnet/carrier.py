"""The carrier of the simulated network: what `net.tls` and `net.direct` are on a real one, with the same timeouts.

Everything above it is production code: `BulkLink`, `BulkService`, `Reception`, `ControlConnection`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from p2phub import limits
from p2phub.content import Digest
from p2phub.errors import PeerError, PeerGone, PeerStalled
from p2phub.identity import Address, PeerAddress, PeerId
from p2phub.net import AnswerControl, Shelf
from p2phub.net.channel import Channel, Progress, Watched
from p2phub.net.control import ControlConnection
from p2phub.net.link import BulkLink
from p2phub.net.links import Links
from p2phub.net.reception import Reception
from p2phub.net.service import BulkService
from p2phub.net.throttle import Throttle
from p2phub.net.waiting import within
from p2phub.wire import Open
from simnet.det import block_on
from simnet.hashing import SlowRequester
from simnet.network import Host, Network, Stream
from simnet.witness import Witness

Service = Callable[[Channel, Open, Shelf], BulkService]


class SimConnection:
    """`net.bytestream.Connection` over a simulated stream."""

    def __init__(self, stream: Stream, witness: Witness) -> None:
        self.stream = stream
        self._witness = witness
        self._tap = None if stream.dialled else witness.tap_answers(stream)

    @property
    def peer(self) -> PeerId:
        return self.stream.other.peer

    @property
    def address(self) -> Address:
        return self.stream.other.address

    async def read(self, most: int) -> bytes:
        return await self.stream.read(most)

    async def write(self, data: bytes) -> None:
        if self._tap is not None:
            self._tap.said(data)
        await self.stream.write(data)

    async def aclose(self) -> None:
        self.stream.end()

    def as_channel(self) -> SimChannel:
        return SimChannel(self.stream, self._witness)


class SimChannel:
    """`net.channel.Channel` over a simulated stream, for a simulated thread."""

    def __init__(self, stream: Stream, witness: Witness) -> None:
        self.peer = stream.other.peer
        self.progress = Progress()
        self._stream = stream
        self._woken = False
        self._tap = witness.tap(self, stream)

    def fill(self, into: memoryview) -> None:
        self.progress.begin(len(into))
        try:
            if not self._stream.incoming.fill(into):
                block_on(self._fill())
        except PeerGone as exc:
            raise self.progress.lost(exc.message, self.peer) from exc
        finally:
            self.progress.end()
        self._tap.heard(into)

    def send(self, *parts: memoryview | bytes) -> None:
        for part in parts:
            self._send_part(part)

    def _send_part(self, data: memoryview | bytes) -> None:
        self._tap.said(data)
        self.progress.begin(len(data))
        try:
            if not self._stream.outgoing.send(data):
                block_on(self._send(len(data)))
        except PeerGone as exc:
            raise self.progress.lost(exc.message, self.peer) from exc
        finally:
            self.progress.end()

    def widen(self) -> None: ...

    def wait(self, timeout_s: float) -> bool:
        if self._stream.host.frozen or not (self._woken or self._has_come()):
            block_on(self._wait(timeout_s))
        self._woken = False
        return self._has_come()

    def nothing_for_us(self) -> bool:
        return False

    def received(self) -> int:
        return self._stream.incoming.delivered

    def wake(self) -> None:
        self._woken = True
        self._stream.incoming.readable.unpark_all()

    def cancel(self) -> None:
        self._stream.end()

    def close(self) -> None:
        self._stream.end()
        self._tap.closed()

    async def _fill(self) -> None:
        incoming, silent_since = self._stream.incoming, trio.current_time()
        while not incoming.filled():
            silent_since = max(silent_since, incoming.came_at)
            with trio.move_on_at(silent_since + limits.SOCKET_CALL_S):
                await incoming.readable.park()
                continue
            if incoming.came_at <= silent_since and not incoming.filled():
                raise PeerStalled(f"no byte for {limits.SOCKET_CALL_S:g} s", peer=str(self.peer))

    async def _send(self, length: int) -> None:
        outgoing = self._stream.outgoing
        with trio.move_on_after(limits.SOCKET_CALL_S + length / limits.RATE_MIN):
            while not outgoing.sent_all():
                await outgoing.writable.park()
            return
        raise PeerStalled("nothing taken for too long", peer=str(self.peer))

    async def _wait(self, timeout_s: float) -> None:
        with trio.move_on_after(timeout_s):
            while not (self._woken or self._has_come()):
                await self._stream.incoming.readable.park()
        await self._stream.host.awake()

    def _has_come(self) -> bool:
        """Whether there are bytes, or the end."""
        incoming = self._stream.incoming
        return bool(incoming.inbox) or incoming.at_end or self._stream.ended


class SimCondition(threading.Condition):
    """A condition on which simulated threads wait: the lock is free meanwhile, and the loop goes on."""

    def __init__(self, lock: threading.Lock) -> None:
        super().__init__(lock)
        self._notified = trio.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.release()
        try:
            return block_on(self._notified_within(math.inf if timeout is None else timeout))
        finally:
            self.acquire()

    async def _notified_within(self, seconds: float) -> bool:
        with trio.move_on_after(seconds):
            await self._notified.wait()
            self._notified = trio.Event()
            return True
        return False

    def notify_all(self) -> None:
        self._notified.set()


def throttle(rate: float | None) -> Throttle:
    """Return a throttle that keeps to `rate` in virtual time."""
    return Throttle(rate, clock=trio.current_time, condition=SimCondition)


class SimPlane:
    """`net.interface.Dialler` and the serving side of one simulated node. Made by `open_plane`."""

    def __init__(
        self,
        network: Network,
        host: Host,
        links: Links,
        reception: Reception,
        nursery: trio.Nursery,
        witness: Witness,
    ) -> None:
        self._network, self._host = network, host
        self._links, self._reception, self._nursery = links, reception, nursery
        self._witness = witness

    async def open_link(self, provider: PeerAddress, manifest: Digest, *, prefix_bytes: int, via: str) -> BulkLink:
        machine = SlowRequester(manifest, prefix_bytes, peer=str(provider.peer))
        machine.hashes = self._host.hashes
        connection = await self._connect(provider)
        try:
            with within(limits.HANDSHAKE_S, provider):
                await connection.write(machine.open())
        except BaseException:
            await connection.aclose()
            raise
        return self._links.start(connection.as_channel(), machine, provider.address, via)

    async def open_control(self, peer: PeerAddress) -> ControlConnection:
        connection = await self._connect(peer)
        connection.stream.kind = "control"
        self._witness.counts(connection.stream)
        return ControlConnection(connection)

    async def _connect(self, provider: PeerAddress) -> SimConnection:
        self._witness.dials(self._host.name, provider.peer)
        with within(limits.DIAL_S, provider):
            target = await self._network.connect(self._host, provider.address)
        with within(limits.HANDSHAKE_S, provider):
            return SimConnection(await self._network.handshake(self._host, target, provider.peer), self._witness)

    def accept(self, stream: Stream) -> None:
        self._nursery.start_soon(self._serve, SimConnection(stream, self._witness))

    async def _serve(self, connection: SimConnection) -> None:
        try:
            with trio.fail_after(limits.HANDSHAKE_S) as patience:

                def settled() -> None:
                    patience.deadline = float("inf")

                await self._reception.receive(connection, settled)
        except (PeerError, trio.TooSlowError):
            pass  # Expected, and about this connection only. Anything else is a bug, and ends the run.
        finally:
            connection.stream.end()


@asynccontextmanager
async def open_plane(
    network: Network, host: Host, shelf: Shelf, answer: AnswerControl, service: Service, witness: Witness, up: Throttle
) -> AsyncIterator[SimPlane]:
    """Run the carrier of one node, which sends within what `up` lets through. On the way out every connection ends."""
    watched = Watched(time.monotonic)
    async with trio.open_nursery() as nursery:
        links = Links(nursery, watched)
        plane = SimPlane(network, host, links, Reception(shelf, answer, watched, service, up), nursery, witness)
        nursery.start_soon(links.keep_looking)
        host.listener = plane.accept
        try:
            yield plane
        finally:
            host.listener = None
            nursery.cancel_scope.cancel()
