"""`net.threads`: how often threads that wait for the GIL ask for it."""

import sys
import threading
from collections.abc import Iterator

import pytest
import trio

from p2phub.net.threads import run_blocking

USUAL_S = 0.005


@pytest.fixture(autouse=True)
def usual_interval() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(USUAL_S)
    yield
    sys.setswitchinterval(before)


async def interval_beside(count: int) -> float:
    """Return the switch interval while `count` bulk threads run."""
    running, end = threading.Semaphore(0), threading.Event()

    def work() -> None:
        running.release()
        end.wait()

    limiter = trio.CapacityLimiter(count)
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(run_blocking, work, end.set, limiter)
        for _ in range(count):
            await trio.to_thread.run_sync(running.acquire)
        interval_s = sys.getswitchinterval()
        end.set()
    return interval_s


async def test_one_bulk_thread_asks_for_the_gil_much_sooner_than_usual() -> None:
    assert await interval_beside(1) <= USUAL_S / 20


async def test_many_bulk_threads_together_ask_no_more_often_than_one() -> None:
    alone, eight = await interval_beside(1), await interval_beside(8)
    assert eight == pytest.approx(8 * alone)


async def test_no_number_of_bulk_threads_makes_the_interval_longer_than_usual() -> None:
    assert await interval_beside(60) == pytest.approx(USUAL_S)


async def test_the_usual_interval_is_back_after_the_last_one() -> None:
    await interval_beside(3)
    assert sys.getswitchinterval() == pytest.approx(USUAL_S)
