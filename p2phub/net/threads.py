"""Blocking threads for bulk bytes, each in the scope of a trio task, and how often they ask for the interpreter's lock.

A thread cannot be cancelled; what it blocks on can be. So a task that runs one also says how to end its present call.

Bulk threads meet the loop at the GIL once per TLS record. Who waits for it wakes up each switch interval to ask: with
the usual 5 ms bulk threads starve beside a busy loop (2-150 times slower), so they ask after SWITCH_S. But twenty that
wait are then woken a hundred thousand times a second for nothing, where the loop is not what keeps them. So while it
rests most of the time the interval grows with their number, and together they ask as often as one. Figures:
docs/decisions/0020.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio

SWITCH_S = 0.0002
BUSY_PART = 0.25  # A loop that runs for more of the time than this is in the way.
_LOOK_MIN_S = 0.1  # Within less than that, what a loop did says little.

_lock = threading.Lock()
_running = 0
_busy = True  # Until somebody has looked.
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


class LoopLook:
    """How much of the time a loop runs. Made and called by the loop's own thread; `ran_s` counts what that ran."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, ran_s: Callable[[], float] = time.thread_time
    ) -> None:
        self._clock, self._ran_s = clock, ran_s
        self._then = clock(), ran_s()

    def look(self) -> None:
        """Set the interval by what the loop did since the last look. To be called about once a second."""
        global _busy
        now, ran_s = self._clock(), self._ran_s()
        passed_s = now - self._then[0]
        if passed_s < _LOOK_MIN_S:
            return
        busy = ran_s - self._then[1] > BUSY_PART * passed_s
        self._then = now, ran_s
        with _lock:
            _busy = busy
            if _running:
                _set_interval()


@contextmanager
def _quick_switching() -> Iterator[None]:
    global _running, _usual_s
    with _lock:
        if _running == 0:
            _usual_s = sys.getswitchinterval()
        _running += 1
        _set_interval()
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            _set_interval()


def _set_interval() -> None:
    if _running:
        sys.setswitchinterval(min(_usual_s, SWITCH_S * (1 if _busy else _running)))
    else:
        sys.setswitchinterval(_usual_s)
