"""Fetch files over plain TCP: `python -m benchmarks.programs.bare_requester HOST PORT RECORD INTO`.

Two connections, a blocking thread each; a thread takes a file, receives it into one reused buffer, hashes each buffer
while it is in the cache, writes it, and compares the digest with the record at the end of the file. The program fails
if one differs.
"""

import os
import socket
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from blake3 import blake3

from benchmarks.payload import PayloadFile, read_record
from benchmarks.programs.bare_provider import REQUEST

CONNECTIONS = 2
_BUFFER_BYTES = 1 << 20
_RECEIVE_BUFFER_BYTES = 4 << 20
_SWITCH_INTERVAL_S = 0.0002  # threads that meet at the GIL wait this long for it, not the usual 5 ms


def main() -> None:
    """Fetch all files of the record, then end."""
    provider, record, into = (sys.argv[1], int(sys.argv[2])), Path(sys.argv[3]), Path(sys.argv[4])
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    waiting = deque(read_record(record))
    for file in waiting:
        (into / file.path).parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        for work in [
            threads.submit(_fetch_files, provider, waiting, into) for _ in range(min(CONNECTIONS, len(waiting)))
        ]:
            work.result()


def _fetch_files(provider: tuple[str, int], waiting: deque[PayloadFile], into: Path) -> None:
    buffer = memoryview(bytearray(_BUFFER_BYTES))
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.connect(provider)
        while True:
            try:
                file = waiting.popleft()
            except IndexError:
                return
            path = file.path.encode()
            connection.sendall(REQUEST.pack(0, file.size, len(path)) + path)
            _fetch(connection, file, into / file.path, buffer)


def _fetch(connection: socket.socket, file: PayloadFile, path: Path, buffer: memoryview) -> None:
    hasher, offset = blake3(), 0
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        while offset < file.size:
            part = buffer[: min(len(buffer), file.size - offset)]
            if connection.recv_into(part, 0, socket.MSG_WAITALL) != len(part):
                raise EOFError(f"{file.path}: connection closed at {offset}")
            hasher.update(part)
            os.pwrite(target, part, offset)
            offset += len(part)
    finally:
        os.close(target)
    if hasher.hexdigest() != file.blake3:
        raise ValueError(f"{file.path}: digest differs")


if __name__ == "__main__":
    main()
