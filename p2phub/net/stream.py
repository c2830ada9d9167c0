"""The same bulk and control machines over one stream of somebody else's connection, such as a libp2p stream.

For where no direct connection is possible; slower by an order of magnitude. The bulk threads are those of the direct
carrier: `StreamChannel` gives them exact reads and whole writes, and two tasks of the loop move the bytes. A stream
must be proven to be its peer's by whoever made it, and its calls must be cancellable at any moment.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Protocol

import trio

from p2phub import limits
from p2phub.content import Digest
from p2phub.errors import PeerError, PeerStalled
from p2phub.identity import Address, PeerAddress, PeerId
from p2phub.net.channel import Progress
from p2phub.net.control import ControlConnection
from p2phub.net.link import BulkLink
from p2phub.net.links import Links
from p2phub.net.reception import Reception
from p2phub.wire import BulkRequester

PROTOCOL = "/p2phub/bulk/1"
_READ_BYTES = 64 << 10
_BUFFERED_BYTES_MAX = limits.WINDOW_BYTES_MAX + limits.BATCH_BYTES_MAX
"""Read ahead up to what we asked for, so that reading hardly ever pauses: where streams share a connection, a reader
that pauses for seconds fails the writer (seen with Yamux: 5 s)."""


class ByteStream(Protocol):
    """What is needed of a stream. `remote` is where the other end of its connection is."""

    peer: PeerId
    remote: Address

    async def read(self, count: int) -> bytes:
        """Return 1 ..= `count` bytes, b"" at the end. Raises PeerGone."""

    async def write(self, data: bytes) -> None:
        """Send all of `data`. Raises PeerGone."""

    async def close(self) -> None:
        """End both directions; never raises, never waits for the peer."""


class OpenStream(Protocol):
    """Opens a stream to a peer, dialling it if need be. Raises PeerGone, WrongPeer."""

    async def __call__(self, peer: PeerId, addresses: Iterable[Address], protocol: str) -> ByteStream: ...


class StreamPlane:
    """`net.interface.Dialler` over streams, and the serving side: register `handle` for PROTOCOL.

    `nursery` holds the tasks that move bytes; links and served connections are those of the node's other carrier.
    """

    def __init__(self, open_stream: OpenStream, links: Links, reception: Reception, nursery: trio.Nursery) -> None:
        self._open_stream, self._links, self._reception = open_stream, links, reception
        self._nursery = nursery

    async def handle(self, stream: ByteStream) -> None:
        """Serve one stream that a peer opened, to its end."""
        with suppress(PeerError, trio.TooSlowError), trio.fail_after(limits.HANDSHAKE_S) as patience:

            def settled() -> None:
                patience.deadline = float("inf")

            await self._reception.receive(StreamConnection(stream, self._nursery), settled)

    async def open_link(self, provider: PeerAddress, manifest: Digest, *, prefix_bytes: int, via: str) -> BulkLink:
        """Open a stream to the provider and say Open. Raises PeerGone, WrongPeer."""
        machine = BulkRequester(manifest, prefix_bytes, peer=str(provider.peer))
        connection = await self._connect(provider)
        try:
            await connection.write(machine.open())
        except BaseException:
            await connection.aclose()
            raise
        return self._links.start(connection.as_channel(), machine, connection.address, via)

    async def open_control(self, peer: PeerAddress) -> ControlConnection:
        """Open a stream for questions. Raises PeerGone, WrongPeer."""
        return ControlConnection(await self._connect(peer))

    async def _connect(self, peer: PeerAddress) -> StreamConnection:
        return StreamConnection(await self._open_stream(peer.peer, [peer.address], PROTOCOL), self._nursery)


@asynccontextmanager
async def open_streams(open_stream: OpenStream, links: Links, reception: Reception) -> AsyncIterator[StreamPlane]:
    """Run a stream plane beside the carrier that `links` and `reception` belong to. On the way out its tasks end."""
    async with trio.open_nursery() as nursery:
        try:
            yield StreamPlane(open_stream, links, reception, nursery)
        finally:
            nursery.cancel_scope.cancel()


class StreamConnection:
    """A stream as `net.bytestream.Connection`."""

    def __init__(self, stream: ByteStream, nursery: trio.Nursery) -> None:
        self._stream, self._nursery = stream, nursery

    @property
    def peer(self) -> PeerId:
        return self._stream.peer

    @property
    def address(self) -> Address:
        return self._stream.remote

    async def read(self, most: int) -> bytes:
        return await self._stream.read(most)

    async def write(self, data: bytes) -> None:
        await self._stream.write(data)

    async def aclose(self) -> None:
        await self._stream.close()

    def as_channel(self) -> StreamChannel:
        channel = StreamChannel(self._stream)
        self._nursery.start_soon(channel.move)
        return channel


class StreamChannel:
    """A stream in a blocking thread: `net.channel.Channel`. `move` is the task that moves the bytes."""

    def __init__(self, stream: ByteStream) -> None:
        self.peer = stream.peer
        self.progress = Progress()
        self._stream = stream
        self._token = trio.lowlevel.current_trio_token()
        self._changed = threading.Condition()
        # Under the condition:
        self._arrived = bytearray()
        self._leaving: bytes | None = None
        self._error: PeerError | None = None
        self._ended = False
        self._woken = False
        self._received = 0
        # The loop's own:
        self._room = trio.Event()
        self._work = trio.Event()
        self._closed = trio.Event()

    # --- the thread's side -------------------------------------------------------------------------------------------

    def fill(self, into: memoryview) -> None:
        self.progress.begin(len(into))
        try:
            self._fill(into)
        finally:
            self.progress.end()

    def _fill(self, into: memoryview) -> None:
        at = 0
        while at < len(into):
            with self._changed:
                if not self._wait_for(lambda: bool(self._arrived), limits.SOCKET_CALL_S):
                    raise PeerStalled(f"no byte for {limits.SOCKET_CALL_S:g} s", peer=str(self.peer))
                part = self._arrived[: len(into) - at]
                del self._arrived[: len(part)]
            into[at : at + len(part)] = part
            at += len(part)
            self._in_loop(self._make_room)

    def send(self, *parts: memoryview | bytes) -> None:
        for data in parts:
            self.progress.begin(len(data))
            try:
                self._send(data)
            finally:
                self.progress.end()

    def _send(self, data: memoryview | bytes) -> None:
        with self._changed:
            self._raise_if_ended()
            self._leaving = bytes(data)
        self._in_loop(self._begin_work)
        with self._changed:
            seconds = limits.SOCKET_CALL_S + len(data) / limits.RATE_MIN
            if not self._wait_for(lambda: self._leaving is None, seconds):
                raise PeerStalled("nothing taken for too long", peer=str(self.peer))

    def widen(self) -> None: ...

    def wait(self, timeout_s: float) -> bool:
        until = time.monotonic() + timeout_s
        with self._changed:
            while not (self._arrived or self._ended or self._woken):
                if not self._changed.wait(until - time.monotonic()):
                    return False
            self._woken = False
            return bool(self._arrived) or self._ended

    def nothing_for_us(self) -> bool:
        return False

    def received(self) -> int:
        return self._received

    def wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def cancel(self) -> None:
        self._end(None)

    def close(self) -> None:
        self._end(None)
        self._in_loop(self._closed.set)

    def _wait_for(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait under the condition; returns False if `seconds` pass without a change. Raises PeerGone at the end."""
        while not condition():
            self._raise_if_ended()
            if not self._changed.wait(seconds):
                return False
        return True

    def _raise_if_ended(self) -> None:
        if self._ended:
            raise self._error or self.progress.lost("the stream ended", self.peer)

    def _in_loop(self, step: Callable[[], None]) -> None:
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(step)

    # --- the loop's side ---------------------------------------------------------------------------------------------

    async def move(self) -> None:
        """Move bytes both ways until the thread closes the channel; then close the stream."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._send_what_leaves)
                nursery.start_soon(self._receive_what_arrives)
                await self._closed.wait()
                nursery.cancel_scope.cancel()
        finally:
            self._end(None)
            with trio.CancelScope(shield=True), trio.move_on_after(limits.GOODBYE_S):
                await self._stream.close()

    async def _receive_what_arrives(self) -> None:
        try:
            while data := await self._stream.read(_READ_BYTES):
                with self._changed:
                    self._arrived += data
                    self._received += len(data)
                    self._changed.notify_all()
                while len(self._arrived) >= _BUFFERED_BYTES_MAX:
                    self._room = trio.Event()
                    if len(self._arrived) >= _BUFFERED_BYTES_MAX:
                        await self._room.wait()
        except PeerError as exc:
            self._end(exc)
        self._end(None)

    async def _send_what_leaves(self) -> None:
        while True:
            await self._work.wait()
            self._work = trio.Event()
            with self._changed:
                data = self._leaving
            if data is None:
                continue
            try:
                await self._stream.write(data)
            except PeerError as exc:
                self._end(exc)
            with self._changed:
                self._leaving = None
                self._changed.notify_all()

    def _make_room(self) -> None:
        self._room.set()

    def _begin_work(self) -> None:
        self._work.set()

    def _end(self, error: PeerError | None) -> None:
        with self._changed:
            if not self._ended:
                self._ended, self._error = True, error
            self._changed.notify_all()
