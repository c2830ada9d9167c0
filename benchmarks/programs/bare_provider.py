"""Serve files over plain TCP: `python -m benchmarks.programs.bare_provider ROOT HOST` prints its port and serves.

A request is 64 bits of offset, 64 of length and 16 of path length (big endian), then the path; the answer is the
bytes.
"""

import os
import socket
import struct
import sys
import threading
from pathlib import Path

REQUEST = struct.Struct(">QQH")


def main() -> None:
    """Listen on a free port of that address; one blocking thread a connection."""
    root, host = Path(sys.argv[1]), sys.argv[2]
    listener = socket.create_server((host, 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_serve, args=(connection, root), daemon=True).start()


def _serve(connection: socket.socket, root: Path) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection, connection.makefile("rb", buffering=0) as requests:
        while head := requests.read(REQUEST.size):
            offset, length, path_bytes = REQUEST.unpack(head)
            with (root / (requests.read(path_bytes) or b"").decode()).open("rb") as file:
                while length:
                    sent = os.sendfile(connection.fileno(), file.fileno(), offset, length)
                    offset, length = offset + sent, length - sent


if __name__ == "__main__":
    main()
