"""Reports from a thread to the loop: none lost, none out of order, few wake-ups."""

from __future__ import annotations

import threading

import trio

from p2phub.content import RangeSet
from p2phub.errors import PeerGone
from p2phub.net.interface import Blobs, Closed, Refused, Returned, Verified
from p2phub.net.reports import Reports


def run(start: int, stop: int) -> RangeSet:
    return RangeSet(((start, stop),))


async def test_verified_reports_that_wait_become_one() -> None:
    reports = Reports()
    reports.put(Verified(run(0, 2), 20))
    reports.put(Verified(run(2, 3), 10))
    reports.put(Refused(run(3, 4), "changed"))
    reports.put(Verified(run(4, 5), 10))
    assert await reports.take() == Verified(run(0, 3), 30)
    assert await reports.take() == Refused(run(3, 4), "changed")
    assert await reports.take() == Verified(run(4, 5), 10)


async def test_a_return_after_the_end_joins_it() -> None:
    reports = Reports()
    error = PeerGone("gone")
    reports.put(Closed(error, run(0, 2)))
    reports.put(Returned(run(5, 6)))
    assert await reports.take() == Closed(error, run(0, 2) | run(5, 6))


async def test_a_task_that_waits_is_woken_from_a_thread_each_time() -> None:
    reports, count = Reports(), 2000
    thread = threading.Thread(target=lambda: [reports.put(Blobs((bytes([n % 256]),))) for n in range(count)])
    with trio.fail_after(30):
        thread.start()
        got = [await reports.take() for _ in range(count)]
    thread.join()
    assert got == [Blobs((bytes([n % 256]),)) for n in range(count)]


async def test_waiting_can_be_cancelled_and_loses_nothing() -> None:
    reports = Reports()
    with trio.move_on_after(0):
        await reports.take()
    reports.put(Blobs((b"x",)))
    with trio.fail_after(5):
        assert await reports.take() == Blobs((b"x",))
