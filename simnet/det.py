"""Determinism: the same seed gives the same run, instant by instant, in any process.

Inside `run`, time is virtual (it jumps when every task waits), tasks are scheduled by a seeded generator, chance comes
from the seed, and what would run in a thread runs in a greenlet of the loop's own thread: production code blocks in
`Channel.fill` as ever, and meanwhile the loop goes on. So no thread exists, and nothing depends on the machine.
"""

from __future__ import annotations

import gc
import math
import os
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from heapq import heappop, heappush
from typing import Any, TypeVar
from unittest import mock

import trio
from greenlet import getcurrent, greenlet
from trio._core import _run as trio_scheduler
from trio._core._mock_clock import (
    MockClock,  # As of `trio.testing`, which imports pytest where there is one: half a second.
)

T = TypeVar("T")

GARBAGE_AT = 20_000  # Objects more than at the last look: looked for as often as usual, it costs a tenth of a run.
EPOCH_S = 1_800_000_000  # What the wall clock shows when a run begins.
NAMES_OF_TRIO = ("_ALLOW_DETERMINISTIC_SCHEDULING", "_r", "GLOBAL_RUN_CONTEXT")
"""Private names of trio's scheduler that this file uses; a test fails loudly if a version of trio has them no more."""


class Agenda:
    """Virtual time, and what is going to happen in it. `MockClock` may not be derived from, so its jump is replaced.

    When every task waits, time jumps to what comes next: a deadline of trio, or an act of the world. Acts run in the
    scheduler itself, one after the other until some task can go on: a task that did them would cost several rounds of
    the scheduler for each packet.
    """

    def __init__(self) -> None:
        self.clock = MockClock(autojump_threshold=0)
        setattr(self.clock, "_autojump", self._jump)  # noqa: B010  # mypy will not have it assigned.
        setattr(self.clock, "current_time", self._time)  # noqa: B010
        self._now = 0.0
        self._acts: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._whole = trio.CancelScope()

    async def watch(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run `main`, and end it with an error if nothing can happen any more: it would hang."""
        with self._whole:
            return await main()
        raise RuntimeError("every task waits, and nothing is going to happen")

    def at(self, when: float, act: Callable[[], None]) -> None:
        """Do `act`, which neither waits nor raises, at `when`."""
        self._count += 1
        heappush(self._acts, (when, self._count, act))

    def _time(self) -> float:
        return self._now

    def _jump(self) -> None:
        runner = trio_scheduler.GLOBAL_RUN_CONTEXT.runner
        deadlines, acts = runner.deadlines, self._acts
        while not runner.runq:
            deadline = deadlines.next_deadline()
            if acts and acts[0][0] <= deadline:
                self._now, _, act = heappop(acts)
                act()
            elif deadline < math.inf:
                self._now = deadline
                deadlines.expire(deadline)
            elif not self._whole.cancel_called:
                self._whole.cancel()
            else:
                raise RuntimeError("every task waits, and none of them can be ended")


_agenda = Agenda()  # Of the run that goes on, or went on last.


def at(when: float, act: Callable[[], None]) -> None:
    """Do `act`, which neither waits nor raises, at the virtual time `when`."""
    _agenda.at(when, act)


class Chance:
    """Generators of chance, one for each purpose, so that one more draw here does not shift another one there."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def of(self, *purpose: object) -> random.Random:
        """Return the generator for `purpose`; the same one each time it is made."""
        return random.Random(":".join(map(str, (self._seed, *purpose))))


def run(seed: int, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run `main` to its end in virtual time, all chance drawn from `seed`."""
    global _agenda
    _agenda = Agenda()
    usual = gc.get_threshold()
    gc.set_threshold(GARBAGE_AT, 20, 20)
    try:
        with determined(seed):
            return trio.run(_agenda.watch, main, clock=_agenda.clock)
    finally:
        gc.set_threshold(*usual)


@contextmanager
def determined(seed: int) -> Iterator[None]:
    """Take clock, chance, threads and scheduling out of the world's hands, and give them back at the end."""
    chance = Chance(seed)
    state, scheduler = random.getstate(), trio_scheduler._r.getstate()
    noise = chance.of("noise")
    random.seed(seed)
    trio_scheduler._r.seed(seed)
    replaced: dict[tuple[object, str], object] = {
        (trio_scheduler, "_ALLOW_DETERMINISTIC_SCHEDULING"): True,
        (trio.to_thread, "run_sync"): run_inline,
        (time, "monotonic"): _monotonic,
        (time, "time"): lambda: EPOCH_S + _monotonic(),
        (time, "time_ns"): lambda: int((EPOCH_S + _monotonic()) * 1e9),
        (os, "urandom"): noise.randbytes,
        (random, "_urandom"): noise.randbytes,
        (secrets, "token_bytes"): lambda count=32: noise.randbytes(count),
    }
    patches = [mock.patch.object(owner, name, new) for (owner, name), new in replaced.items()]
    try:
        for patch in patches:
            patch.start()
        yield
    finally:
        for patch in reversed(patches):
            patch.stop()
        random.setstate(state)
        trio_scheduler._r.setstate(scheduler)


def _monotonic() -> float:
    try:
        return trio.current_time()
    except RuntimeError:  # Before or after the loop.
        return 0.0


# --- threads that are none -------------------------------------------------------------------------------------------


async def run_inline(
    work: Callable[..., T], *args: object, limiter: trio.CapacityLimiter | None = None, **options: object
) -> T:
    """As `trio.to_thread.run_sync`, in a greenlet of this thread: cancelled, it still runs `work` to its end."""
    place = object()
    if limiter is None:
        await trio.lowlevel.checkpoint()
    else:
        await limiter.acquire_on_behalf_of(place)  # Others run meanwhile, as they do while a thread starts.
    try:
        with trio.CancelScope(shield=True):
            result: T = await _carry(greenlet(lambda: work(*args)))
        return result
    finally:
        if limiter is not None:
            limiter.release_on_behalf_of(place)


async def _carry(thread: greenlet) -> Any:  # What a greenlet hands over has no type that mypy could follow.
    """Run `thread`; await for it whatever it hands over through `block_on`."""
    given = thread.switch()
    while not thread.dead:
        try:
            result = await given
        except BaseException as exc:  # noqa: BLE001  # It belongs to whoever called `block_on`.
            given = thread.throw(exc)
        else:
            given = thread.switch(result)
    return given


def block_on(waiting: Awaitable[T]) -> T:
    """From a greenlet: let the loop await `waiting`, and return what comes of it."""
    parent = getcurrent().parent
    assert parent is not None, "only blocking work of a simulated thread may block"
    result: T = parent.switch(waiting)
    return result


def pause(seconds: float) -> None:
    """Let a simulated thread take so long; on the loop itself it takes no time."""
    if seconds > 0 and getcurrent().parent is not None:
        waiting = trio.sleep  # Awaited by the loop, not here.
        block_on(waiting(seconds))
