"""A hub that is open in a thread of its own, for programs without trio: any thread may have it carry something out.

    with Background(home=home) as background:
        done = background.call(lambda hub: hub.fetch(ref))

The thread runs trio, and the hub in it; whoever calls waits for the answer. Ctrl-C comes to the thread that waits: what
was called is cancelled and ends cleanly before it is raised. A thread does not come along when a process is forked: of
what is open here nothing may be used in the child (`filesystem/shared` closes it before).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import TypedDict, TypeVar, Unpack

import trio

from p2phub.api.hub import Hub, open_hub
from p2phub.errors import UsageError

T = TypeVar("T")


class Options(TypedDict, total=False):
    """Which hub to open; see `open_hub`."""

    home: str | Path
    bootstrap: Sequence[str]
    lan: bool


class Background:
    """Made, it is open; until `close`, or the end of a `with` block. Raises what `open_hub` raises."""

    def __init__(self, **options: Unpack[Options]) -> None:
        self._options = options
        self._begun: Future[trio.lowlevel.TrioToken] = Future()
        self._opened: Future[Hub] = Future()
        self._ended: Future[None] = Future()
        self._opening = trio.CancelScope()
        self._calls: trio.Nursery | None = None  # None where nothing can be called: not yet, or not any more.
        self.closed = False
        """Whether it was closed, or is about to be."""
        self._thread = threading.Thread(target=self._run, name="p2phub", daemon=True)
        self._thread.start()
        self._token = self._begun.result()
        try:
            self._opened.result()
        except BaseException:  # Ctrl-C among them.
            with contextlib.suppress(BaseException):  # What went wrong is raised already.
                self.close()
            raise

    def call(self, verb: Callable[[Hub], Awaitable[T]]) -> T:
        """Return what `verb` gives, which runs in the hub's thread. Blocks; any number of threads may call at once.

        Raises what it raises, and UsageError where the hub is closed, or was before it was done.
        """
        if threading.current_thread() is self._thread:
            raise UsageError("the hub's own thread cannot wait for the hub", hint="call it from another thread")
        done: Future[T] = Future()
        scope = trio.CancelScope()
        try:
            self._token.run_sync_soon(self._start, verb, scope, done)
        except trio.RunFinishedError:
            raise _closed() from None
        try:
            return done.result()
        except BaseException:
            if not done.done():  # Ctrl-C, while it waited.
                with contextlib.suppress(trio.RunFinishedError):
                    self._token.run_sync_soon(scope.cancel)
                done.exception()
            raise

    def close(self) -> None:
        """End what is under way, then the hub. Blocks. Raises what the hub's end raises."""
        self.closed = True
        with contextlib.suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._end)
        self._thread.join()
        self._ended.result()

    def __enter__(self) -> Background:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- in the hub's thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            trio.run(self._be_open)
        except BaseException as error:  # noqa: BLE001  # Raised in the caller's thread instead.
            if not self._opened.done():
                self._opened.set_exception(error)
            self._ended.set_exception(error)
        else:
            if not self._opened.done():
                self._opened.set_exception(_closed())
            self._ended.set_result(None)

    async def _be_open(self) -> None:
        self._begun.set_result(trio.lowlevel.current_trio_token())
        with self._opening:
            async with open_hub(**self._options) as hub:
                try:
                    async with trio.open_nursery() as self._calls:
                        self._opened.set_result(hub)
                        await trio.sleep_forever()
                finally:
                    self._calls = None

    def _end(self) -> None:
        (self._opening if self._calls is None else self._calls.cancel_scope).cancel()

    def _start(self, verb: Callable[[Hub], Awaitable[T]], scope: trio.CancelScope, done: Future[T]) -> None:
        if self._calls is None or self._calls.cancel_scope.cancel_called:
            done.set_exception(_closed())
        else:
            self._calls.start_soon(self._carry_out, verb, scope, done)

    async def _carry_out(self, verb: Callable[[Hub], Awaitable[T]], scope: trio.CancelScope, done: Future[T]) -> None:
        try:
            with scope:
                done.set_result(await verb(self._opened.result()))
        except Exception as error:  # noqa: BLE001  # Raised in the caller's thread instead.
            done.set_exception(error)
        finally:
            if not done.done():  # Cancelled, by its caller or with all.
                done.set_exception(_closed())


def _closed() -> UsageError:
    return UsageError("the hub is closed")
