"""Who waits for news of a manifest is woken by it; who has gone leaves nothing."""

from __future__ import annotations

import math

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2phub.content import digest_of
from p2phub.engine.bulletin import Bulletin
from tests.support.covers import covers

ONE, TWO = digest_of(b"one"), digest_of(b"two")


async def test_all_who_wait_for_a_manifest_are_woken_and_no_others(autojump_clock: MockClock) -> None:
    bulletin, woken = Bulletin(), list[float]()

    async def wait(manifest: object, until: float) -> None:
        await bulletin.change(manifest, until=until)  # type: ignore[arg-type]
        woken.append(trio.current_time() - began)

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for manifest, until_s in ((ONE, 1), (ONE, 9), (ONE, 9), (TWO, 5)):
            nursery.start_soon(wait, manifest, began + until_s)
        await trio.sleep(2)
        bulletin.tell(ONE)
    assert woken == [1, 2, 2, 5]


@covers("T49")
async def test_nothing_is_kept_of_a_manifest_that_nobody_waits_for(autojump_clock: MockClock) -> None:
    bulletin = Bulletin()
    for number in range(9):
        await bulletin.change(digest_of(b"%d" % number), until=trio.current_time() + 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: bulletin.change(ONE, until=math.inf))
        nursery.start_soon(lambda: bulletin.change(ONE, until=trio.current_time() + 1))
        await trio.sleep(2)
        assert list(bulletin._waiting) == [ONE]  # The other still waits.
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert not bulletin._waiting
