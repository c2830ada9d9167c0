"""`peers.json` in the home: the peers a node knew when it last ran, so that it finds the network again by itself.

It is a help, never a need: what cannot be read is forgotten, for it can be found again. The file is replaced whole.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from p2phub import limits
from p2phub.errors import Malformed
from p2phub.identity import PeerAddress, parse_peer_address
from p2phub.node.private_file import write_beside
from p2phub.store.disk import FOLDER_FLAGS, disk_errors, read_regular

PEERS_FILE = "peers.json"
PEERS_FILE_BYTES_MAX = limits.MIB


def read_peers(home: Path) -> tuple[PeerAddress, ...]:
    """Return the peers written down by `write_peers`, at most KNOWN_PEERS_MAX; none if the file makes no sense."""
    try:
        lines = json.loads(_read(home / PEERS_FILE))
        if not isinstance(lines, list):
            return ()
        return tuple(parse_peer_address(line) for line in lines[: limits.KNOWN_PEERS_MAX])
    except (OSError, ValueError, TypeError, AttributeError, LookupError, RecursionError, Malformed):
        return ()


def write_peers(home: Path, peers: Iterable[PeerAddress]) -> None:
    """Replace the list of known peers. Blocks. Raises DiskError, and then the old list stands."""
    data = json.dumps([str(peer) for peer in islice(peers, limits.KNOWN_PEERS_MAX)], indent=0).encode()
    with disk_errors(f"write {home / PEERS_FILE}", option="--home"):
        folder = os.open(home, FOLDER_FLAGS & ~os.O_NOFOLLOW)  # The home itself may be a link that the user made.
        try:
            part = write_beside(folder, data)
            try:
                os.rename(part, PEERS_FILE, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError:
                with contextlib.suppress(OSError):
                    os.unlink(part, dir_fd=folder)
                raise
        finally:
            os.close(folder)


def _read(path: Path) -> bytes:
    data = read_regular(path, PEERS_FILE_BYTES_MAX + 1)
    if len(data) > PEERS_FILE_BYTES_MAX:
        raise ValueError("too long")
    return data
