"""Blocking threads for bulk bytes, each in the scope of a trio task.

A thread cannot be cancelled; what it blocks on can be. So a task that runs one also says how to end its present call.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio

_SWITCH_INTERVAL_S = 0.0002
"""After so long a thread that waits for the GIL asks for it. Bulk threads meet the trio loop there once per TLS record;
with the usual 5 ms they starve beside a busy loop (2-150 times slower, docs/decisions/0020). Each thread that waits is
woken that often to ask anew, so the interval grows with their number: together they ask no more often than one."""

_lock = threading.Lock()
_running = 0
_usual_s = 0.005


async def run_blocking(work: Callable[[], None], cancel: Callable[[], None], limiter: trio.CapacityLimiter) -> None:
    """Run `work` in a thread. If this task is cancelled, call `cancel`, which must make it end, and wait for that."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as exc:  # noqa: BLE001  # Raised below: a nursery would wrap it in a group.
            failures.append(exc)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_with_us, cancel)
        with _quick_switching():
            await trio.to_thread.run_sync(run, limiter=limiter)
        nursery.cancel_scope.cancel()
    if failures:
        raise failures.pop()


async def _cancel_with_us(cancel: Callable[[], None]) -> None:
    try:
        await trio.sleep_forever()
    finally:
        cancel()


@contextmanager
def _quick_switching() -> Iterator[None]:
    global _usual_s
    with _lock:
        if _running == 0:
            _usual_s = sys.getswitchinterval()
        _count(1)
    try:
        yield
    finally:
        with _lock:
            _count(-1)


def _count(change: int) -> None:
    global _running
    _running += change
    sys.setswitchinterval(min(_usual_s, _running * _SWITCH_INTERVAL_S) if _running else _usual_s)
