"""Letters between two processes of ours: small maps, in order, each with the descriptors that belong to it.

A letter is one packet of a SOCK_SEQPACKET pair, so nothing has to be framed and descriptors never part from their
letter. A long one travels as a descriptor of anonymous memory instead. Sending never blocks and may be done by any
thread; what the socket does not take now waits in an outbox that a task empties. Both ends are the same program, so
what does not fit the form is a bug, not a fault of a peer.
"""

from __future__ import annotations

import array
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

PACKET_BYTES_MAX = 64 << 10  # Half of what the smallest usual socket buffer takes at once.
_RIGHTS_BYTES_MAX = socket.CMSG_SPACE(200 * array.array("i").itemsize)
# Numbers, not flags: to join those is Python, for each letter.
_SEND_FLAGS = int(socket.MSG_DONTWAIT) | int(socket.MSG_NOSIGNAL)
_RECEIVE_FLAGS = int(socket.MSG_DONTWAIT) | int(socket.MSG_CMSG_CLOEXEC)
_LONG = b"\xc1"  # The byte that begins no msgpack value: the letter is in the last descriptor.


class PostClosed(Exception):
    """The other end is gone."""


class Post:
    """One end. `run` has to be running while letters are to go out. A letter's descriptors are given away with it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self._outbox: deque[tuple[bytes, list[int]]] = deque()
        self._token = trio.lowlevel.current_trio_token()
        self._waiting = trio.Event()
        self._closed = False

    def send(self, letter: Letter, descriptors: Sequence[int] = ()) -> None:
        """Send a letter and close `descriptors`. From any thread; lost without a word if the other end is gone."""
        packet, attached = msgpack.packb(letter), list(descriptors)
        if len(packet) > PACKET_BYTES_MAX:
            attached.append(_in_memory(packet))
            packet = _LONG
        with self._lock:
            if self._closed:
                _close(attached)
                return
            if not self._outbox and self._try(packet, attached):
                return
            self._outbox.append((packet, attached))
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(lambda: self._waiting.set())

    def _try(self, packet: bytes, attached: list[int]) -> bool:
        """Send now if there is room. Returns whether that is settled, which it also is if nobody is there any more."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", attached))] if attached else []
        try:
            self._sock.sendmsg([packet], rights, _SEND_FLAGS)
        except BlockingIOError:
            return False
        except OSError:
            pass  # `receive` meets the end, too.
        _close(attached)
        return True

    async def run(self) -> None:
        """Send what waits, until cancelled."""
        while True:
            await self._waiting.wait()
            self._waiting = trio.Event()
            while True:
                with self._lock:
                    while self._outbox and self._try(*self._outbox[0]):
                        self._outbox.popleft()
                    if not self._outbox:
                        break
                await trio.lowlevel.wait_writable(self._sock)

    async def receive(self) -> tuple[Letter, list[int]]:
        """Return the next letter, and its descriptors, which the caller closes. Raises PostClosed."""
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
            assert not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC), "a letter is longer than any that is sent"
            descriptors = [number for _, _, data in rights for number in array.array("i", data)]
            if packet == _LONG:
                packet = _out_of_memory(descriptors.pop())
            return msgpack.unpackb(packet, strict_map_key=False), descriptors

    def close(self) -> None:
        """Let the other end know that this one is done; what waits is dropped."""
        with self._lock:
            self._closed = True
            for _, attached in self._outbox:
                _close(attached)
            self._outbox.clear()
            self._sock.close()


def make_pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected ends. Blocking mode matters to neither: every call says that it does not wait."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def _in_memory(data: bytes) -> int:
    descriptor = os.memfd_create("p2phub-letter", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(descriptor), "wb", buffering=0) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
    return descriptor


def _out_of_memory(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        file.seek(0)
        return file.readall()


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
