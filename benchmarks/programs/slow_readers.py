"""Read ranges of one file over HTTP, slowly and very many at once:

    python -m benchmarks.programs.slow_readers URL FILE READERS

Each asks for RANGE_BYTES from somewhere in the file and takes RATE bytes a second. The last line is JSON: how many got
all of theirs, equal to FILE, and the most bytes that stood unsent in the server's sockets (Linux only). Who gets
nothing for SILENT_S gives up.
"""

import json
import os
import random
import resource
import socket
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

RANGE_BYTES = 2 << 20
RATE = 128 << 10
TICK_S = 0.25
SILENT_S = 60.0


class Reader:
    """One of them. `done`: None until it is; then whether it got what it asked for."""

    def __init__(self, url: str, source: int, start: int) -> None:
        where = urlsplit(url)
        self._source, self._at, self._stop = source, start, start + RANGE_BYTES
        self._head, self._began = b"", b""
        self._heard = time.monotonic()
        self.done: bool | None = None
        self._socket = socket.create_connection((where.hostname, where.port), timeout=SILENT_S)
        span = f"bytes={start}-{self._stop - 1}"
        self._socket.sendall(f"GET {where.path} HTTP/1.1\r\nHost: {where.netloc}\r\nRange: {span}\r\n\r\n".encode())
        self._socket.setblocking(False)

    def read(self) -> None:
        """Take what is there of a tick's share."""
        try:
            data = self._socket.recv(int(RATE * TICK_S))
        except BlockingIOError:
            if time.monotonic() - self._heard > SILENT_S:
                self._end(False)
            return
        except OSError:
            self._end(False)
            return
        self._heard = time.monotonic()
        if not data:  # It ended early.
            self._end(False)
            return
        if not self._began:
            self._head += data
            head, self._began, data = self._head.partition(b"\r\n\r\n")
            if self._began and not head.startswith(b"HTTP/1.1 206 "):
                self._end(False)
                return
            if not self._began:
                return
        if os.pread(self._source, len(data), self._at) != data:
            self._end(False)
            return
        self._at += len(data)
        if self._at >= self._stop:
            self._end(self._at == self._stop)

    def _end(self, well: bool) -> None:
        self.done = well
        self._socket.close()


def main() -> int:
    url, path, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    source = os.open(path, os.O_RDONLY)
    chance = random.Random(1)
    size = path.stat().st_size
    readers = [Reader(url, source, chance.randrange(size - RANGE_BYTES)) for _ in range(count)]
    unsent = 0
    while waiting := [reader for reader in readers if reader.done is None]:
        began = time.monotonic()
        for reader in waiting:
            reader.read()
        unsent = max(unsent, _unsent_bytes(urlsplit(url).port or 80))
        time.sleep(max(0.0, TICK_S - (time.monotonic() - began)))
    print(json.dumps({"served": sum(reader.done is True for reader in readers), "unsent_bytes_max": unsent}))
    return 0


def _unsent_bytes(port: int) -> int:
    """Return how many bytes stand in the sockets of this port, not taken by the other end's kernel yet."""
    total = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, here, _, _, queues, *_ = line.split()
        if int(here.rpartition(":")[2], 16) == port:
            total += int(queues.partition(":")[0], 16)
    return total


if __name__ == "__main__":
    sys.exit(main())
