"""Long work in threads hears that nobody waits for it any more."""

from __future__ import annotations

from collections.abc import Callable

import trio

from p2phub.engine.workers import Workers
from tests.support.covers import covers


async def test_long_work_returns_what_it_found() -> None:
    assert await Workers(1).run_until_cancelled(lambda stopped: (stopped(), 7)) == (False, 7)


@covers("F30")
async def test_long_work_that_is_cancelled_is_told_and_waited_for() -> None:
    begun, ended = trio.Event(), False
    token = trio.lowlevel.current_trio_token()

    def work(stopped: Callable[[], bool]) -> None:
        nonlocal ended
        token.run_sync_soon(begun.set)
        while not stopped():
            pass
        ended = True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(Workers(1).run_until_cancelled, work)
        await begun.wait()
        nursery.cancel_scope.cancel()
    assert ended
