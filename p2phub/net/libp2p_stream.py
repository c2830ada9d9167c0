"""One libp2p stream that may be cancelled at any moment.

Cancelling a read or write of libp2p can leave half a frame on the connection: it still looks connected, and every other
stream on it hangs. So each call runs as a task of the host, and a caller that is cancelled leaves it behind: the stream
is reset, the connection stays whole. A call that takes longer than its time ends the *connection*, because a cancelled
frame cannot be taken back. Can go when a cancelled stream call leaves its connection usable (seen failing in 0.8.1:
1 of 1 cancelled writes, 2 of 2 opened streams, 10 of 30 reads).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import trio
from libp2p.abc import INetStream
from libp2p.network.stream.exceptions import StreamEOF

from p2phub import limits
from p2phub.errors import PeerGone
from p2phub.identity import Address, PeerId

if TYPE_CHECKING:
    from p2phub.net.libp2p_host import Host

T = TypeVar("T")
_WRITE_BYTES_MAX = 60_000  # One Yamux frame and one Noise message.


class Stream:
    """A stream to `peer`, whose end of the connection is at `remote`. One reader and one writer at a time."""

    def __init__(self, host: Host, raw: INetStream, peer: PeerId, remote: Address) -> None:
        self._host = host
        self._raw = raw
        self.peer = peer
        self.remote = remote

    async def read(self, count: int, *, seconds: float = limits.IDLE_LINK_S) -> bytes:
        """Return 1 ..= `count` bytes, or none at the end. Raises PeerGone, also after `seconds` without any."""

        async def receive() -> bytes:
            try:
                return await self._raw.read(count)
            except StreamEOF:
                return b""

        return await self._call(receive, seconds)

    async def write(self, data: bytes, *, seconds: float = limits.SOCKET_CALL_S) -> None:
        """Send all of `data`. Raises PeerGone, also if a piece takes longer than `seconds`."""
        for start in range(0, len(data), _WRITE_BYTES_MAX):
            piece = data[start : start + _WRITE_BYTES_MAX]

            async def send(piece: bytes = piece) -> None:
                await self._raw.write(piece)

            await self._call(send, seconds)

    async def end(self) -> None:
        """Say that nothing more comes from us; reading goes on."""
        await self._call(self._raw.close_write, limits.SOCKET_CALL_S)  # type: ignore[attr-defined]

    async def close(self) -> None:
        """End the stream in both directions; never raises and never waits for the peer."""
        self._host.start(self._finish, self._raw.close)

    async def abort(self) -> None:
        """End the stream at once, so that the other side sees that something was wrong."""
        self._host.start(self._finish, self._raw.reset)

    async def _call(self, work: Callable[[], Awaitable[T]], seconds: float) -> T:
        try:
            return await self._host.run_apart(self._raw.muxed_conn, work, seconds)
        except trio.Cancelled:
            self._host.start(self._finish, self._raw.reset)
            raise

    async def _finish(self, how: Callable[[], Awaitable[None]]) -> None:
        yamux: Any = self._raw.muxed_conn
        stream_id: int = self._raw.muxed_stream.stream_id  # type: ignore[attr-defined]
        waiting = yamux.stream_events.get(stream_id)
        try:
            await self._host.run_apart(self._raw.muxed_conn, how, limits.GOODBYE_S)
        except PeerGone:
            pass
        finally:
            if waiting is not None and how == self._raw.reset:
                waiting.set()  # A read that was left behind waits for this and would wait for ever.
                yamux.stream_events.pop(stream_id, None)
