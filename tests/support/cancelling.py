"""Cancel an activity at its 1st, 2nd, 3rd … checkpoint, until it ends by itself, and look each time at what is left.

An activity goes from checkpoint to checkpoint; each time one of its tasks goes on is a step. `cancelled_at` cancels it
as step n begins: the task that goes on then ends at its next checkpoint, all others at those they wait at.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import trio

from simnet.descriptors import descriptors

Activity = Callable[[], Awaitable[object]]


class _AtStep(trio.abc.Instrument):
    """Counts steps of the tasks below `root`, and cancels `scope` at step `at`; 0: never."""

    def __init__(self, root: trio.lowlevel.Task, scope: trio.CancelScope, at: int) -> None:
        self.steps = 0
        self._root, self._scope, self._at = root, scope, at

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._is_ours(task):
            self.steps += 1
            if self.steps == self._at:
                self._scope.cancel()

    def _is_ours(self, task: trio.lowlevel.Task | None) -> bool:
        while task is not None:
            if task is self._root:
                return True
            nursery = task.parent_nursery
            task = None if nursery is None else nursery.parent_task
        return False


async def cancelled_at(step: int, activity: Activity) -> int | None:
    """Run `activity` and cancel it at `step`; return how many steps it took if it ended by itself, None if not."""
    with trio.CancelScope() as scope:
        instrument = _AtStep(trio.lowlevel.current_task(), scope, step)
        trio.lowlevel.add_instrument(instrument)
        try:
            await activity()
        finally:
            trio.lowlevel.remove_instrument(instrument)
    return None if scope.cancelled_caught else instrument.steps


def some_of(steps: int, most: int) -> list[int]:
    """Return which of `steps` steps to cancel at: all, or `most` of them at even distances, begun by a fixed chance."""
    if steps <= most:
        return list(range(1, steps + 1))
    first = Random("where cancelling begins").random()
    return [1, *(1 + int((number + first) * (steps - 1) / (most - 1)) for number in range(most - 1))]


# --- what may be left ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Left:
    """What there is now of what an activity must give back: tasks (a simulated thread is one) and descriptors."""

    tasks: int
    descriptors: Counter[str]

    def more_than(self, before: Left) -> str:
        """Say what is there now that was not there before; "" if nothing is."""
        told = [f"{self.tasks - before.tasks} tasks"] if self.tasks > before.tasks else []
        told += [f"{path} is open" for path in (self.descriptors - before.descriptors).elements()]
        return ", ".join(told)


def what_is_left() -> Left:
    """Count it."""
    found: Counter[str] = Counter()
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # That of the listing itself is gone.
            found[os.readlink(f"/proc/self/fd/{number}")] += 1
    found["a copy of a simulated descriptor"] = descriptors.copies
    return Left(trio.lowlevel.current_statistics().tasks_living, found)


def names_below(folder: Path) -> set[str]:
    """Return every file and folder in `folder`, but not what fetches keep in their own places to resume from."""
    found = set()
    for at, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != ".p2phub"]
        found |= {Path(at, name).relative_to(folder).as_posix() for name in (*folders, *names)}
    return found
