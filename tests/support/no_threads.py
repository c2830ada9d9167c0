"""Workers of an activity that runs in virtual time: while a thread works, that would run on."""

from __future__ import annotations

from collections.abc import Callable

import trio

from p2phub.engine.workers import T, Workers


class NoThreads(Workers):
    """Runs all at once, in the loop."""

    async def run(self, work: Callable[[], T]) -> T:
        await trio.lowlevel.checkpoint()
        return work()
