"""Judge a file by what it holds while it is read by awaiting: what judges reads here and there, and blocks for it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

import trio

T = TypeVar("T")


async def examine(
    read: Callable[[int, int], AsyncGenerator[bytes | memoryview, None]],
    judge: Callable[[Callable[[int, int], bytes]], T],
) -> T:
    """Return what `judge` returns, which runs in a thread and is given `read_at(offset, length)`. `read` yields the
    bytes start ..< stop, as `OpenModel.read` does; of what is behind the end it yields less. Raises what both raise."""

    async def gather(offset: int, length: int) -> bytes:
        async with aclosing(read(offset, offset + length)) as pieces:
            return b"".join([bytes(piece) async for piece in pieces])

    def run() -> T:
        return judge(lambda offset, length: trio.from_thread.run(gather, offset, length))

    # With no limit shared with others: it waits for `read`, which has to get a thread for itself.
    return await trio.to_thread.run_sync(run, limiter=trio.CapacityLimiter(1))
