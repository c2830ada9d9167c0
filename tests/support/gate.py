"""A relay that lets so many bytes of a provider's answers through, of all connections together or of each, and then
holds the rest until it is opened.

So that a test is in the middle of a fetch for certain, however fast the machine is. TLS goes through it unchanged.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from p2phub.identity import PeerAddress


class Gate:
    """`address` is the provider's through the gate: a multiaddr with /p2p/... `shut` is set once it holds bytes."""

    def __init__(self, provider: PeerAddress, *, bytes_max: int, of_each: bool = False) -> None:
        self._target = (provider.address.ip, provider.address.port)
        self._room = bytes_max
        self._room_of_each = bytes_max if of_each else None
        self._lock = threading.Lock()
        self.shut = threading.Event()
        self._opened = threading.Event()
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.address = f"/ip4/127.0.0.1/tcp/{port}/p2p/{provider.peer}"
        threading.Thread(target=self._accept, daemon=True).start()

    def open(self) -> None:
        """Let everything through from now on."""
        self._opened.set()

    def close(self) -> None:
        """End it and every connection through it."""
        self.open()
        for end in (self._listener, *self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # It was closed.
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                self._ends += [near, far]
                threading.Thread(target=self._carry, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self._carry, args=(far, near, True), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, held: bool) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                passed += len(data)
                if held and (self._room_of_each is None or passed > self._room_of_each):
                    self._pass(len(data))
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def _pass(self, count: int) -> None:
        """Wait until `count` bytes may go through."""
        with self._lock:
            self._room -= count
            shut = self._room < 0 or self._room_of_each is not None
        if shut:
            self.shut.set()
            self._opened.wait()


@contextmanager
def gate(provider: PeerAddress, *, bytes_max: int, of_each: bool = False) -> Iterator[Gate]:
    """Run a gate before `provider` that holds all but the first `bytes_max` bytes it sends, until it is opened.

    `of_each`: that much of each connection, so that small questions are always answered.
    """
    made = Gate(provider, bytes_max=bytes_max, of_each=of_each)
    try:
        yield made
    finally:
        made.close()
