"""Letters between two processes of ours: small maps, in order, each with the descriptors that belong to it.

A letter is one packet of a SOCK_SEQPACKET pair, so nothing has to be framed and descriptors never part from their
letter. A long one is several packets, one behind the other, so that none needs a descriptor to travel: a letter must
come through when there is none left. Sending never blocks and may be done by any thread; what the socket does not take
now waits in an outbox that a task empties. Both ends are the same program, so what does not fit the form is a bug, not
a fault of a peer; only descriptors can be lost, where the receiver has no room for them, and then the letter says so.
"""

from __future__ import annotations

import array
import errno
import os
import socket
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgpack
import trio

Letter = dict[str, Any]
"""`t` names it; the rest are numbers, text, bytes and lists of them."""

LOST = "lost"
"""What `receive` writes into a letter whose descriptors did not come through."""

PACKET_BYTES_MAX = 64 << 10  # Half of what the smallest usual socket buffer takes at once.
_RIGHTS_BYTES_MAX = socket.CMSG_SPACE(200 * array.array("i").itemsize)
# Numbers, not flags: to join those is Python, for each letter.
_SEND_FLAGS = int(socket.MSG_DONTWAIT) | int(socket.MSG_NOSIGNAL)
_RECEIVE_FLAGS = int(socket.MSG_DONTWAIT) | int(socket.MSG_CMSG_CLOEXEC)
_LONG = b"\xc1"  # The byte that begins no msgpack value: how many packets the letter is in follows it, then they.
_LATER = (errno.EAGAIN, errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM)  # Of us, not of the other end.
_AGAIN_S = 0.01


class PostClosed(Exception):
    """The other end is gone."""


class Post:
    """One end. `run` has to be running while letters are to go out. A letter's descriptors are given away with it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self._outbox: deque[tuple[bytes | memoryview, list[int]]] = deque()
        self._token = trio.lowlevel.current_trio_token()
        self._waiting = trio.Event()
        self._closed = False
        # Of the letter that is being received:
        self._parts: list[bytes] = []
        self._parts_due = 0
        self._descriptors: list[int] = []
        self._lost = False

    def send(self, letter: Letter, descriptors: Sequence[int] = ()) -> None:
        """Send a letter and close `descriptors`. From any thread; lost without a word if the other end is gone."""
        packets = deque(_packets(msgpack.packb(letter)))
        attached = list(descriptors)
        with self._lock:
            if self._closed:
                _close(attached)
                return
            while packets and not self._outbox and self._try(packets[0], attached):
                packets.popleft()
                attached = []
            if not packets:
                return
            self._outbox.append((packets.popleft(), attached))
            self._outbox.extend((packet, []) for packet in packets)
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(lambda: self._waiting.set())

    def _try(self, packet: bytes | memoryview, attached: list[int]) -> bool:
        """Send now if there is room. Returns whether that is settled, which it also is if nobody is there any more."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", attached))] if attached else []
        try:
            self._sock.sendmsg([packet], rights, _SEND_FLAGS)
        except OSError as exc:
            if exc.errno in _LATER:
                return False
            # Else the other end is gone, and `receive` meets that, too.
        _close(attached)
        return True

    async def run(self) -> None:
        """Send what waits, until cancelled."""
        while True:
            await self._waiting.wait()
            self._waiting = trio.Event()
            while True:
                with self._lock:
                    before = len(self._outbox)
                    while self._outbox and self._try(*self._outbox[0]):
                        self._outbox.popleft()
                    if not self._outbox:
                        break
                    stuck = len(self._outbox) == before
                await trio.lowlevel.wait_writable(self._sock)
                if stuck:  # There was room and it did not go: the system is at a limit, which time mends.
                    await trio.sleep(_AGAIN_S)

    async def receive(self) -> tuple[Letter, list[int]]:
        """Return the next letter, and its descriptors, which the caller closes. If those did not come through, for this
        process has too many open, it has none and LOST in it. Raises PostClosed."""
        while True:
            await trio.lowlevel.checkpoint_if_cancelled()
            try:
                # Not `socket.recv_fds`, which forgets its flags (CPython 3.11) and so would wait.
                packet, rights, flags, _ = self._sock.recvmsg(PACKET_BYTES_MAX + 1, _RIGHTS_BYTES_MAX, _RECEIVE_FLAGS)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._sock)
                continue
            except OSError as exc:
                raise PostClosed from exc
            if not packet:
                raise PostClosed
            assert not flags & socket.MSG_TRUNC, "a packet is longer than any that is sent"
            came = [number for _, _, data in rights for number in array.array("i", data)]
            if flags & socket.MSG_CTRUNC:
                _close(came)
                came, self._lost = [], True
            self._descriptors += came
            if self._parts_due:
                self._parts.append(packet)
                self._parts_due -= 1
            elif packet.startswith(_LONG):
                self._parts_due = int.from_bytes(packet[len(_LONG) :], "big")
            else:
                self._parts = [packet]
            if not self._parts_due:
                return self._whole()

    def _whole(self) -> tuple[Letter, list[int]]:
        letter = msgpack.unpackb(b"".join(self._parts), strict_map_key=False)
        if self._lost:
            letter[LOST] = True
        descriptors = self._descriptors
        self._parts, self._descriptors, self._lost = [], [], False
        return letter, descriptors

    def close(self) -> None:
        """Let the other end know that this one is done; what waits is dropped."""
        with self._lock:
            self._closed = True
            for _, attached in self._outbox:
                _close(attached)
            self._outbox.clear()
            _close(self._descriptors)
            self._descriptors = []
            self._sock.close()


def make_pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected ends. Blocking mode matters to neither: every call says that it does not wait."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def _packets(letter: bytes) -> list[bytes | memoryview]:
    if len(letter) <= PACKET_BYTES_MAX:
        return [letter]
    view = memoryview(letter)
    parts = [view[at : at + PACKET_BYTES_MAX] for at in range(0, len(view), PACKET_BYTES_MAX)]
    return [_LONG + len(parts).to_bytes(4, "big"), *parts]


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
