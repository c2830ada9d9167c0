"""The connections of one port: a task each, and no more than a number of them, however many come.

Beyond it, the one that waits longest for a request gives way; if there is none, the one whose client took nothing for
longest, if that is long; else the newcomer. Who has to go holds a socket for a moment more, and of those there is a
bound, too: in a flood newcomers are reset. What is said on a connection: `connection`.
"""

from __future__ import annotations

import resource
from collections.abc import Sequence

import trio

from p2phub import limits
from p2phub.http.connection import Connection, Handle, hang_up
from p2phub.http.sending import FileThreads
from p2phub.http.traffic import Traffic

_THREADS = 8
_DESCRIPTORS_SHARE = 4  # Each connection has a socket and a file of ours: half of what the process may open at most.
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"


class Server:
    """The connections of one gateway."""

    def __init__(self, handle: Handle, traffic: Traffic | None = None) -> None:
        self._handle = handle
        self._traffic = Traffic() if traffic is None else traffic
        self._open = 0
        self._count = 0  # Of those, what is more than told to come again.
        self._idle: dict[Connection, None] = {}  # Who waits longest comes first.
        self._stuck: dict[Connection, float] = {}  # Since when each waits for its client to take something; likewise.
        self._threads = FileThreads(_THREADS)
        self._allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // _DESCRIPTORS_SHARE

    @property
    def _most(self) -> int:
        """How many connections may be open, beside those that are told to come again."""
        return min(limits.GATEWAY_CONNECTIONS_MAX, self._allowed)

    async def serve(self, listeners: Sequence[trio.SocketListener]) -> None:
        """Serve until cancelled."""
        await trio.serve_listeners(self._converse, list(listeners))

    async def _converse(self, stream: trio.SocketStream) -> None:
        if self._open >= self._most + limits.GATEWAY_ENDING_MAX:
            self._traffic.turned_away += 1
            await trio.aclose_forcefully(stream)
            return
        self._open += 1
        try:
            if self._count >= self._most and not self._make_room():
                self._traffic.turned_away += 1
                await hang_up(stream, _BUSY)
                return
            self._count += 1
            self._traffic.connections += 1
            try:
                await Connection(stream, self._handle, self._idle, self._stuck, self._threads, self._traffic).run()
            finally:
                self._count -= 1
                self._traffic.connections -= 1
        finally:
            self._open -= 1

    def _make_room(self) -> bool:
        """Have the connection end that is least missed; False if none is."""
        longest = next(iter(self._idle), None)
        if longest is None:
            longest = next(iter(self._stuck), None)
            if longest is None or trio.current_time() - self._stuck[longest] < limits.GATEWAY_STUCK_S:
                return False
        self._idle.pop(longest, None)
        self._stuck.pop(longest, None)
        longest.scope.cancel()
        return True
