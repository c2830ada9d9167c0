"""libtorrent in a crowd: capped seeders, and leechers that are given the addresses of everybody.

A leecher is done when it says that every piece is checked; it goes on serving until the last one is.
"""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.contestants.crowd import Finished, Member, Scene
from benchmarks.contestants.torrent import Torrent
from benchmarks.payload import Payload
from benchmarks.processes import Command, ContestantFailed, Running
from benchmarks.web import free_port


class TorrentCrowd:
    """`programs.torrent seed` with a rate to several `programs.torrent join`."""

    name = "libtorrent"
    description = "BitTorrent v2 over TCP (uTP off), told all addresses; done: says that every piece is checked, stays"

    def __init__(self, torrent: Torrent) -> None:
        self._torrent = torrent
        self._cap_bytes_per_s = 0

    def install(self) -> None:
        self._torrent.install()

    def prepare(self, payload: Payload, scene: Scene, directory: Path) -> None:
        self._torrent.prepare(payload, directory)
        self._cap_bytes_per_s = scene.cap_bytes_per_s

    def provider(self, number: int) -> Command:
        return self._torrent.seed(bytes_per_s=self._cap_bytes_per_s)

    def address(self, provider: Running) -> str:
        return self._torrent.address(provider)

    def requesters(self, addresses: Sequence[str], members: Sequence[Member]) -> Sequence[Command]:
        ports = [str(free_port()) for _ in members]
        return [
            self._torrent.join(member.into, own, [*addresses, *(port for port in ports if port != own)])
            for member, own in zip(members, ports, strict=True)
        ]

    def finish(self, requester: Running, *, timeout_s: float) -> Finished:
        for said in requester.sayings(timeout_s=timeout_s):
            if said.line == "complete":
                return Finished(verified=said.moment, done=said.moment, cpu_s=requester.cpu_s())
        raise ContestantFailed("ended before it was complete")

    def tree(self, into: Path) -> Path:
        return self._torrent.tree(into)
