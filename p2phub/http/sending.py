"""Send a file to a socket from worker threads, so that no byte leaves that was not looked at after it was read.

Each piece is read into memory of our own, the file is looked at, and then the piece goes out. Not by `sendfile` or a
map: a socket then has the file's own pages, so that what somebody writes to them later is what its client reads.
A thread stays with a client that reads fast, since to ask the event loop for the next turn costs as much as to copy
half a megabyte, and gives it larger pieces then: each write wakes the client. It leaves one that does not read, at once
where others wait for a thread: no client holds up another.
Measured: docs/decisions/0109-gateway-speed.md.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

import trio

from p2phub import limits
from p2phub.http.exchange import CutOff

_PIECE_BYTES = 128 * limits.KIB  # The first: what a slow client does not take of it was read for nothing.
_PIECE_BYTES_MAX = 512 * limits.KIB  # For who took what came before at once.
_STAY_S = 0.25  # How long a thread may stay with one client; an end of the node waits for it, too.
_PAUSE_MS = 20  # How long it waits for a client to read on.


class FileThreads:
    """The threads that send files, for all clients of a server: so many pieces are in memory at most."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._limiter = trio.CapacityLimiter(count)
        self._asking = 0  # Who has a thread or waits for one; the event loop alone changes it.

    async def send(
        self, where: trio.socket.SocketType, descriptor: int, start: int, stop: int, unchanged: Callable[[], bool]
    ) -> int:
        """Send bytes `start` ..< `stop` of a file as far as the client takes them now; return up to where. No byte goes
        before the file was found `unchanged` after it was read. Raises CutOff if it is not, or became shorter; OSError.
        """

        def send() -> int:
            return _send_unchanged(
                where.fileno(), descriptor, start, stop, unchanged, lambda: self._asking <= self._count
            )

        self._asking += 1
        try:
            return await trio.to_thread.run_sync(send, limiter=self._limiter)
        finally:
            self._asking -= 1


def _send_unchanged(
    where: int, descriptor: int, start: int, stop: int, unchanged: Callable[[], bool], may_stay: Callable[[], bool]
) -> int:
    """As `FileThreads.send`. What a client did not take is dropped and read again: nothing waits in memory for it."""
    piece = memoryview(bytearray(min(_PIECE_BYTES_MAX, stop - start)))
    wanted = _PIECE_BYTES
    room = select.poll()
    room.register(where, select.POLLOUT)
    until = time.monotonic() + _STAY_S
    while start < stop:
        read = os.preadv(descriptor, [piece[: min(wanted, stop - start)]], start)
        if not read:
            raise CutOff("the file became shorter while it was sent")
        if not unchanged():
            raise CutOff("the file changed while it was sent")
        left = piece[:read]
        while left:
            try:
                sent = os.write(where, left)
            except BlockingIOError:
                if may_stay() and time.monotonic() < until and room.poll(_PAUSE_MS):
                    continue
                return start
            start, left = start + sent, left[sent:]
        if time.monotonic() >= until:
            break
        wanted = min(2 * wanted, _PIECE_BYTES_MAX)
    return start
