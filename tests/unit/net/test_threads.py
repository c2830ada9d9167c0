"""`net.threads`: how often threads that wait for the GIL ask for it."""

import sys
import threading
from collections.abc import Iterator

import pytest
import trio

from p2phub.net import threads
from p2phub.net.threads import BUSY_PART, SWITCH_S, LoopLook, run_blocking

USUAL_S = 0.005


@pytest.fixture(autouse=True)
def usual_interval(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(threads, "_busy", True)
    before = sys.getswitchinterval()
    sys.setswitchinterval(USUAL_S)
    yield
    sys.setswitchinterval(before)


def loop_that_ran(part: float) -> LoopLook:
    """Return a look at a loop that ran for this part of the last second."""
    clock, ran_s = iter([10.0, 11.0]), iter([3.0, 3.0 + part])
    return LoopLook(lambda: next(clock), lambda: next(ran_s))


async def interval_beside(count: int, part: float | None) -> float:
    """Return the switch interval while `count` bulk threads run beside a loop that runs for `part` of the time."""
    running, end = threading.Semaphore(0), threading.Event()

    def work() -> None:
        running.release()
        end.wait()

    limiter = trio.CapacityLimiter(count)
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(run_blocking, work, end.set, limiter)
        try:
            for _ in range(count):
                await trio.to_thread.run_sync(running.acquire)
            if part is not None:
                loop_that_ran(part).look()
            return sys.getswitchinterval()
        finally:
            end.set()


@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize("part", [None, 2 * BUSY_PART])
async def test_beside_a_busy_loop_and_one_not_looked_at_they_ask_soon(count: int, part: float | None) -> None:
    assert await interval_beside(count, part) == pytest.approx(SWITCH_S)


async def test_beside_a_loop_that_rests_many_ask_together_as_often_as_one() -> None:
    assert await interval_beside(1, BUSY_PART / 2) == pytest.approx(SWITCH_S)
    assert await interval_beside(8, BUSY_PART / 2) == pytest.approx(8 * SWITCH_S)


async def test_no_number_of_them_makes_the_interval_longer_than_usual() -> None:
    assert await interval_beside(60, BUSY_PART / 2) == pytest.approx(USUAL_S)


@pytest.mark.parametrize("part", [BUSY_PART / 2, 2 * BUSY_PART])
async def test_the_usual_interval_is_back_after_the_last_one(part: float) -> None:
    await interval_beside(3, part)
    assert sys.getswitchinterval() == pytest.approx(USUAL_S)


def test_a_look_while_none_runs_changes_nothing() -> None:
    loop_that_ran(0.0).look()
    assert sys.getswitchinterval() == pytest.approx(USUAL_S)
