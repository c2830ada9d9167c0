"""iroh-blobs: BLAKE3 trees over QUIC, by the last Python bindings that carry blobs (iroh 0.35).

The provider takes the files into a new store by reference before each trial, because one that opens the store of an
earlier trial does not find small blobs in it. The requester exports from its store, which moves the files.
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.payload import Payload
from benchmarks.peers import install_module
from benchmarks.processes import Command, Ended, Running

_READY_S = 120.0


class Iroh:
    """`programs.iroh seed` to `programs.iroh fetch`."""

    name = "iroh"
    description = "iroh-blobs 0.35: QUIC with TLS 1.3, BLAKE3 trees, store and export"

    def __init__(self, *, cache: Path) -> None:
        self._cache = cache
        self._payload: Payload | None = None
        self._store = Path()

    def install(self) -> None:
        self._path()

    def prepare(self, payload: Payload, directory: Path) -> None:
        self._payload, self._store = payload, directory / "store"

    def provider(self) -> Command:
        assert self._payload is not None
        shutil.rmtree(self._store, ignore_errors=True)
        return self._program("seed", str(self._payload.root), str(self._store))

    def address(self, provider: Running) -> str:
        return next(provider.lines(timeout_s=_READY_S))

    def requester(self, address: str, into: Path, scratch: Path) -> Sequence[Command]:
        return [self._program("fetch", address, str(scratch / "store"), str(self.tree(into)))]

    def tree(self, into: Path) -> Path:
        return into / "payload"

    def verified_at(self, ended: Sequence[Ended]) -> float:
        return ended[-1].moment

    def _program(self, *words: str) -> Command:
        return Command([sys.executable, "-m", "benchmarks.programs.iroh", *words], {"PYTHONPATH": self._path()})

    def _path(self) -> str:
        return install_module("iroh", "iroh==0.35.0", cache=self._cache)
