"""Bounded worker threads: hashing and disk never run on the event loop.

trio's default limiter is shared with whatever else the program does in threads (40 of them); ours is small, because
more hashing threads than cores only cost memory. What may take minutes has threads of its own: a question about a name
must not wait until a hundred gigabytes are hashed.
"""

from __future__ import annotations

import os
import threading
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

    async def run_until_cancelled(self, work: Callable[[Callable[[], bool]], T]) -> T:
        """Like `run_long`. `work` is given what says whether it was cancelled, and looks at that now and then: what it
        returns after that counts for nothing. It raises nothing but bugs."""
        stopped = threading.Event()

        async def stop_with_us() -> None:
            try:
                await trio.sleep_forever()
            finally:
                stopped.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop_with_us)
            result = await self.run_long(lambda: work(stopped.is_set))
            nursery.cancel_scope.cancel()
        await trio.lowlevel.checkpoint_if_cancelled()
        return result
