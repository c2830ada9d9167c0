"""Bounded worker threads: hashing and disk never run on the event loop.

trio's default limiter is shared with whatever else the program does in threads (40 of them); ours is small, because
more hashing threads than cores only cost memory. What may take minutes has threads of its own: a question about a name
must not wait until a hundred gigabytes are hashed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

import trio

T = TypeVar("T")


class Workers:
    """Runs blocking functions in at most `threads` threads at once."""

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or max(2, os.cpu_count() or 2)
        self._limiter = trio.CapacityLimiter(self.threads)
        self._long = trio.CapacityLimiter(self.threads)

    async def run(self, work: Callable[[], T]) -> T:
        """Return what `work()` returns, run in a thread. A cancelled caller still waits: half a write helps nobody."""
        return await trio.to_thread.run_sync(work, limiter=self._limiter)

    async def run_long(self, work: Callable[[], T]) -> T:
        """Like `run`, for what reads whole models: in at most `threads` threads beside those of `run`."""
        return await trio.to_thread.run_sync(work, limiter=self._long)
