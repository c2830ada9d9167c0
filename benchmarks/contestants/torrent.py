"""libtorrent over BitTorrent v2: the fastest native peer-to-peer tool measured, in its faster setting (no uTP).

All other settings that bear on speed are as they come. Finding peers (DHT, LAN, UPnP, NAT-PMP) is off: everything
stays on loopback, and the leecher is told where the seeder is, as every contestant is.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.isolation import LOOPBACK
from benchmarks.payload import Payload
from benchmarks.peers import install_module
from benchmarks.processes import Command, Ended, Running, run

_READY_S = 60.0
_CREATE_S = 600.0


class Torrent:
    """`programs.torrent seed` to `programs.torrent leech`."""

    name = "libtorrent"
    description = "BitTorrent v2 over TCP (uTP off), SHA-256 Merkle trees, no cipher"

    def __init__(self, *, cache: Path, host: str = LOOPBACK) -> None:
        self._cache, self._host = cache, host
        self._payload: Payload | None = None
        self._torrent = Path()

    def install(self) -> None:
        self._path()

    def prepare(self, payload: Payload, directory: Path) -> None:
        self._payload, self._torrent = payload, directory / "payload.torrent"
        command = self._program("create", str(payload.root), str(self._torrent))
        run(command, stderr=directory / "create.stderr", timeout_s=_CREATE_S)

    def provider(self) -> Command:
        return self.seed(bytes_per_s=0)

    def seed(self, *, bytes_per_s: int) -> Command:
        """Return a seeder that sends no faster than that; 0: as fast as it can."""
        assert self._payload is not None
        root = self._payload.root
        directory = root if len(self._payload.files) == 1 else root.parent  # a single-file torrent has no folder's name
        return self._program("seed", str(self._torrent), str(directory), self._host, str(bytes_per_s))

    def join(self, into: Path, own_port: str, ports: Sequence[str]) -> Command:
        """Return a leecher that says `complete` and stays, and knows those who listen at these ports."""
        return self._program("join", str(self._torrent), str(into), own_port, *ports)

    def address(self, provider: Running) -> str:
        return next(provider.lines(timeout_s=_READY_S))

    def requester(self, address: str, into: Path, scratch: Path) -> Sequence[Command]:
        return [self._program("leech", str(self._torrent), str(into), self._host, address)]

    def tree(self, into: Path) -> Path:
        assert self._payload is not None
        return into if len(self._payload.files) == 1 else into / self._payload.root.name

    def verified_at(self, ended: Sequence[Ended]) -> float:
        return ended[-1].moment

    def _program(self, *words: str) -> Command:
        return Command([sys.executable, "-m", "benchmarks.programs.torrent", *words], {"PYTHONPATH": self._path()})

    def _path(self) -> str:
        return install_module("libtorrent", "libtorrent", cache=self._cache)
