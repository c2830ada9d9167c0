"""Run a command's activity to its end, and let Ctrl-C and SIGTERM end it in good order.

The first signal cancels; a second one ends the process at once, which is safe at any moment: what is on disk is always
whole. Of an ExceptionGroup, what matters is told: a bug before an expected fault.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from types import FrameType

import trio

from p2phub.cli.entry import INTERRUPTED, end_early
from p2phub.cli.output import Output
from p2phub.errors import HubError

_SHOW_CURSOR = "\x1b[?25h"


def run_to_end(work: Callable[[], Awaitable[int]], output: Output) -> int:
    """Return what `work` returns. Raises its HubError or bug, bare; KeyboardInterrupt if a signal ended it."""
    if threading.current_thread() is not threading.main_thread():  # Signals reach the main thread alone.
        return _run_until(work, output, ())
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # What a parent ignores for its background jobs stays ignored.
    heard = tuple(number for number, handler in before.items() if handler is not signal.SIG_IGN)
    try:
        return _run_until(work, output, heard)
    except KeyboardInterrupt:  # Of which our caller tells, and once is enough.
        before = {number: _end_at_once if handler is end_early else handler for number, handler in before.items()}
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run_until(work: Callable[[], Awaitable[int]], output: Output, heard: Sequence[signal.Signals]) -> int:
    try:
        return trio.run(_run, work, output, heard)
    except BaseExceptionGroup as group:
        raise the_cause(group) from group


async def _run(work: Callable[[], Awaitable[int]], output: Output, heard: Sequence[signal.Signals]) -> int:
    code: int | None = None
    interrupted = False

    async def cancel_on_signal(task_status: trio.TaskStatus[None]) -> None:
        nonlocal interrupted
        with trio.open_signal_receiver(*heard) as signals:
            task_status.started()
            async for _ in signals:
                interrupted = True
                break
        for number in heard:
            signal.signal(number, _end_at_once)
        nursery.cancel_scope.cancel()

    try:
        async with trio.open_nursery() as nursery:
            output.on_lost = nursery.cancel_scope.cancel
            if heard:
                await nursery.start(cancel_on_signal)
            code = await work()
            nursery.cancel_scope.cancel()
    except* HubError:
        if not interrupted:  # Else it is how the cancelled work said goodbye.
            raise
    if code is None:
        raise KeyboardInterrupt
    return code


def _end_at_once(number: int, frame: FrameType | None) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(_SHOW_CURSOR + "\n")
        sys.stderr.flush()
    os._exit(INTERRUPTED)


def the_cause(error: BaseException) -> BaseException:
    """Return the one exception to tell of a group: a bug if there is one, else an interrupt, else the first fault."""
    leaves = list(_leaves(error))
    bugs = [leaf for leaf in leaves if not isinstance(leaf, (HubError, KeyboardInterrupt, trio.Cancelled))]
    interrupts = [leaf for leaf in leaves if isinstance(leaf, KeyboardInterrupt)]
    return (bugs or interrupts or leaves)[0]


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error
