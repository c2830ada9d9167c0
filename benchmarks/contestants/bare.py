"""The bare limit: what Python can do with two plain TCP connections, recv, BLAKE3 and pwrite, and nothing else.

No cipher, no identity, no resume: nobody can be this fast and be of use. It is the yardstick for what a design costs.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.isolation import LOOPBACK
from benchmarks.payload import Payload
from benchmarks.processes import Command, Ended, Running

_READY_S = 20.0


class Bare:
    """`programs.bare_provider` to `programs.bare_requester`: a file at a time on each of two connections."""

    name = "bare"
    description = "2 plain TCP connections, sendfile -> recv, inline BLAKE3, pwrite (the limit)"

    def __init__(self, *, host: str = LOOPBACK) -> None:
        self._host = host
        self._payload: Payload | None = None

    def install(self) -> None:
        pass

    def prepare(self, payload: Payload, directory: Path) -> None:
        self._payload = payload

    def provider(self) -> Command:
        assert self._payload is not None
        return Command([sys.executable, "-m", "benchmarks.programs.bare_provider", str(self._payload.root), self._host])

    def address(self, provider: Running) -> str:
        return next(provider.lines(timeout_s=_READY_S))

    def requester(self, address: str, into: Path, scratch: Path) -> Sequence[Command]:
        assert self._payload is not None
        program = "benchmarks.programs.bare_requester"
        return [Command([sys.executable, "-m", program, self._host, address, str(self._payload.record), str(into)])]

    def tree(self, into: Path) -> Path:
        return into

    def verified_at(self, ended: Sequence[Ended]) -> float:
        return ended[-1].moment
