"""Who waits for news of a manifest is woken by it; who has gone leaves nothing."""

from __future__ import annotations

import math

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2phub import limits
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


@covers("T49")
async def test_what_strangers_do_is_told_at_once_and_then_together(autojump_clock: MockClock) -> None:
    """Without: one that moved 20 times a second had an answer worked out each time for all who waited."""
    bulletin, askers = Bulletin(), 20
    woken = [0] * askers

    async def ask_on_and_on(number: int) -> None:
        while True:
            await bulletin.change(ONE, until=math.inf)
            woken[number] += 1

    async with trio.open_nursery() as nursery:
        for number in range(askers):
            nursery.start_soon(ask_on_and_on, number)
        await wait_all_tasks_blocked()
        bulletin.tell_together(ONE)
        await wait_all_tasks_blocked()
        assert woken == [1] * askers, "at once, after a rest"
        for _ in range(200):
            await trio.sleep(0.05)
            bulletin.tell_together(ONE)
        await trio.sleep(1)
        assert woken == [woken[0]] * askers
        assert 10 / limits.NEWS_S * 0.9 <= woken[0] - 1 <= 10 / limits.NEWS_S + 1, "nobody misses the last of it"
        before = woken[0]
        bulletin.tell_together(ONE)
        bulletin.tell_together(ONE)
        for _ in range(5):
            bulletin.tell(ONE)
            await wait_all_tasks_blocked()
        assert woken[0] == before + 5, "what was verified here waits for nothing"
        nursery.cancel_scope.cancel()
    assert not bulletin._waiting


@covers("T49")
async def test_one_that_waits_alone_is_told_together_too_and_no_later_than_it_wants(autojump_clock: MockClock) -> None:
    bulletin, times = Bulletin(), list[float]()

    async def ask_on_and_on() -> None:
        for _ in range(4):
            await bulletin.change(ONE, until=trio.current_time() + 10)
            times.append(round(trio.current_time() - began, 3))
        await bulletin.change(ONE, until=trio.current_time() + 0.01)
        times.append(round(trio.current_time() - began, 3))

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_on_and_on)
        while len(times) < 4:
            await wait_all_tasks_blocked()
            bulletin.tell_together(ONE)
            await trio.sleep(0.05)
    assert times == [0.0, 0.25, 0.5, 0.75, 0.76]
