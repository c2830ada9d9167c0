"""A verb that goes on beside whoever asked for it and tells of events until it ends: what streams of bytes and tensors
stand on.

One task runs it, and another waits: for news, which whoever takes the events says there is, or for its end, which is
news as well. How it failed is kept for who waits; stopped, it has just ended.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from p2phub.errors import HubError
from p2phub.observe import Watch


class UnderWay:
    """`call` has the node carry out the verb, and tell `take` of its events."""

    def __init__(self, call: Callable[[Watch], Awaitable[object]], take: Watch) -> None:
        self._call, self._take = call, take
        self._scope = trio.CancelScope()
        self._news = trio.Event()
        self._ended = trio.Event()
        self.error: HubError | None = None

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    async def begin(self, nursery: trio.Nursery) -> None:
        """Have it carried out in `nursery`, and return at its first news. Raises how it failed before there was any."""
        nursery.start_soon(self.run)
        try:
            await self.news()
        except BaseException:
            self.stop()
            raise
        if self.error is not None:
            raise self.error

    async def run(self) -> None:
        """Carry it out; once."""
        try:
            with self._scope:
                await self._call(self._take)
        except HubError as error:
            self.error = error
        finally:
            self._ended.set()
            self._news.set()

    def tell(self) -> None:
        """There is news."""
        self._news.set()

    async def news(self) -> None:
        """Wait until there is news that nobody was told of."""
        await self._news.wait()
        self._news = trio.Event()
        if self.ended:
            self._news.set()  # There is no other end.

    async def end(self) -> None:
        """Wait for its end."""
        await self._ended.wait()

    def stop(self, error: HubError | None = None) -> None:
        """End it, perhaps for a reason; before it runs, it then does nothing."""
        self.error = self.error or error
        self._scope.cancel()
