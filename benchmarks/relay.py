"""Relays on loopback to a port: one counts what crosses the wire, and passes bytes on as they come, both ways; one has
each byte arrive late, as over a long line.

Unlike `sockets`, which looks at the kernel's counts every 50 ms, it the first misses nothing of a fetch that is over in
less; but it is in the way, so nothing is timed through it. Tests count with it, too.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from contextlib import suppress
from types import TracebackType

_PIECE = 1 << 16


class CountingRelay:
    """A port that leads to `port`; `bytes_to_dialler` and `bytes_from_dialler` went over it so far."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        self._lock = threading.Lock()
        self.bytes_to_dialler = 0
        self.bytes_from_dialler = 0

    @property
    def bytes_passed(self) -> int:
        """What went over it so far, both ways."""
        return self.bytes_to_dialler + self.bytes_from_dialler

    @property
    def port(self) -> int:
        found: int = self._listener.getsockname()[1]
        return found

    def address(self, multiaddr: str) -> str:
        """Return `multiaddr`, which names the target's port, by way of this relay."""
        before, _, after = multiaddr.partition(f"/tcp/{self._target}/")
        assert after, f"{multiaddr} is not at port {self._target}"
        return f"{before}/tcp/{self.port}/{after}"

    def __enter__(self) -> CountingRelay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        with self._lock:
            sockets, self._sockets = self._sockets, []
        for each in sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):  # The listener was closed.
            while True:
                here, _ = self._listener.accept()
                there = socket.create_connection(("127.0.0.1", self._target))
                with self._lock:
                    self._sockets += [here, there]
                threading.Thread(target=self._pass_on, args=(there, here, True), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(here, there, False), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, to_dialler: bool) -> None:
        with suppress(OSError):
            while piece := source.recv(_PIECE):
                with self._lock:
                    if to_dialler:
                        self.bytes_to_dialler += len(piece)
                    else:
                        self.bytes_from_dialler += len(piece)
                target.sendall(piece)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


class DelayingRelay(CountingRelay):
    """A port that leads to `port` over a line of `round_trip_s`: each piece arrives half of that after it was sent, and
    a connection is up after the whole of it."""

    def __init__(self, port: int, *, round_trip_s: float) -> None:
        super().__init__(port)
        self._round_trip_s = round_trip_s

    def _pass_on(self, source: socket.socket, target: socket.socket, to_dialler: bool) -> None:
        # A dialler's first piece is here as soon as it has dialled; over the line its dialling took a round trip.
        up = time.monotonic() + (0 if to_dialler else self._round_trip_s)
        under_way: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
        threading.Thread(target=self._arrive, args=(under_way, target), daemon=True).start()
        with suppress(OSError):
            while piece := source.recv(_PIECE):
                under_way.put((max(up, time.monotonic()) + self._round_trip_s / 2, piece))
        under_way.put((0.0, b""))

    @staticmethod
    def _arrive(under_way: queue.SimpleQueue[tuple[float, bytes]], target: socket.socket) -> None:
        with suppress(OSError):
            while (sent := under_way.get())[1]:
                time.sleep(max(0.0, sent[0] - time.monotonic()))
                target.sendall(sent[1])
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
