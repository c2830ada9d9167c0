"""How often others have their turn on the loop while somebody works."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def turns_of_others() -> AsyncIterator[Callable[[], int]]:
    """Give how many turns there were so far for a task that takes every one it can have."""
    turns = 0

    async def take() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        yield lambda: turns
        nursery.cancel_scope.cancel()
