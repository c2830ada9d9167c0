"""A file of an upstream hub as it comes: what came is written and hashed, and told of to all who wait for it.

`engine/upstream` brings the bytes. It has them written by a `Writing`, and notes in a `Coming` how far they are;
whoever asked for the file waits there, any number of them for one download.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import trio

from p2phub import limits
from p2phub.engine.workers import Workers
from p2phub.errors import HubError, PeerGone
from p2phub.store.disk import disk_errors

_GATHERED_BYTES = limits.MIB
_GATHERED_S = 0.2

Arrived = Callable[[Path, int, int], None]
"""Told where bytes from .. up to .. of a file stand, each time that there are more."""


class Writing:
    """Writes a file from `at` on, and hashes it. `written` is told how much was, each time.

    Pieces are gathered up to _GATHERED_BYTES, or for _GATHERED_S, since a turn of a thread for each would take longer
    than all else.
    """

    def __init__(
        self,
        workers: Workers,
        descriptor: int,
        place: Path,
        hasher: hashlib._Hash,
        *,
        at: int,
        written: Callable[[int], None],
    ) -> None:
        self._workers, self._descriptor, self._place, self._hasher = workers, descriptor, place, hasher
        self._at, self._written = at, written
        self._gathered: list[bytes | bytearray] = []
        self._count = 0
        self._since = 0.0

    async def add(self, piece: bytes | bytearray) -> None:
        """Take the next piece. Raises DiskError."""
        if not self._gathered:
            self._since = trio.current_time()
        self._gathered.append(piece)
        self._count += len(piece)
        if self._count >= _GATHERED_BYTES or trio.current_time() - self._since >= _GATHERED_S:
            await self.flush()

    async def flush(self) -> None:
        """Write what was gathered. Raises DiskError."""
        if not self._gathered:
            return
        pieces, count, at = self._gathered, self._count, self._at
        self._gathered, self._count = [], 0

        def write() -> None:
            to = at
            for piece in pieces:
                write_at(self._descriptor, self._place, piece, to)
                self._hasher.update(piece)
                to += len(piece)

        await self._workers.run(write)
        self._at += count
        self._written(count)


def write_at(descriptor: int, place: Path, piece: bytes | bytearray, at: int) -> None:
    """Write all of a piece. Raises DiskError."""
    with disk_errors(f"write to {place}"):
        view = memoryview(piece)
        while view:
            written = os.pwrite(descriptor, view, at)
            view, at = view[written:], at + written


class Coming:
    """A file that comes. `count`: bytes that are written, `left`: that are to be; `told`: up to where they may be told
    of."""

    def __init__(self) -> None:
        self.place = Path()
        self.count = self.left = 0
        self.told = 0
        self.error: HubError | None = None
        self._ended = False
        self._news = trio.Event()
        self._users = 0
        self._left_at = trio.current_time()

    @property
    def is_left(self) -> bool:
        return not self._users and trio.current_time() - self._left_at > limits.UPSTREAM_LEFT_S

    def tell(self, told: int) -> None:
        self.told = max(self.told, told)
        news, self._news = self._news, trio.Event()
        news.set()

    def end(self) -> None:
        self._ended = True
        self.tell(self.told)

    async def wait(self, arrived: Arrived, *, until: int) -> None:
        """Tell of what comes, until so much is here. Raises HubError where it failed before."""
        self._users += 1
        told = 0
        try:
            while True:
                news = self._news
                if self.told > told:
                    told = self.told
                    arrived(self.place, 0, told)
                if told >= until:
                    return
                if self._ended:
                    raise self.error or PeerGone("the node ends")
                await news.wait()
        finally:
            self._users -= 1
            self._left_at = trio.current_time()
