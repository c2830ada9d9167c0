"""What is held here, kept in memory for whoever asks next: with ten thousand repositories the node takes a while to tell.

It is told anew when the node says that something changed, and now and then, since other programs may change what this
home has. Who asks while that is under way is told what was known before, if that is young enough; so the page never
waits for long, and is told by an event when there is more to see.
"""

from __future__ import annotations

import logging
from functools import partial

import trio

from p2phub import api
from p2phub.errors import HubError
from p2phub.web.listing import Held, held

_log = logging.getLogger(__name__)
STALE_S = 30.0
"""Older than this it is told anew, though nothing was said to have changed."""

WAIT_S = 0.25
"""How long somebody waits for what is newer than what is known."""


class Catalogue:
    """See the module. `version` grows when what is told is otherwise than before."""

    def __init__(self, hub: api.Hub, nursery: trio.Nursery) -> None:
        self._hub, self._nursery = hub, nursery
        self._held = Held()
        self._known_at: tuple[int, float] | None = None  # The node's count of changes, and when.
        self._changes = 0
        self._under_way: trio.Event | None = None
        self._error: HubError | None = None
        self.version = 0

    def note(self, changes: int) -> None:
        """The node counted so many changes. Has the list told anew if it may be old, and waits for nothing."""
        self._changes = changes
        if not self._is_fresh():
            self._begin()

    @property
    def known(self) -> Held:
        """What was told last; nothing before the first time."""
        return self._held

    async def held(self, *, newest: bool = False) -> Held:
        """Return what is held. `newest`: as it is now, however long that takes. Raises HubError if it was never told."""
        if newest or not self._is_fresh():
            self._changes = (await self._hub.pulse())["changes"]
        if newest:
            await self._until_fresh()
        elif not self._is_fresh():
            done = self._begin()
            with trio.move_on_after(WAIT_S if self._known_at is not None else float("inf")):
                await done.wait()
        if self._known_at is None:
            raise self._error or HubError("what is held here cannot be told now")
        return self._held

    async def _until_fresh(self) -> None:
        wanted = self._changes
        while self._known_at is None or self._known_at[0] < wanted:
            await self._begin().wait()
            if self._error is not None:
                raise self._error

    def _is_fresh(self) -> bool:
        known = self._known_at
        return known is not None and known[0] == self._changes and trio.current_time() - known[1] < STALE_S

    def _begin(self) -> trio.Event:
        """Have it told anew, unless that is under way; return what is set when it was."""
        if self._under_way is None:
            self._under_way = trio.Event()
            self._nursery.start_soon(self._refresh, self._under_way)
        return self._under_way

    async def _refresh(self, done: trio.Event) -> None:
        changes = self._changes  # As it was before: what changes meanwhile has it told once more.
        try:
            holdings, repositories = await self._hub.ls(), await self._hub.repositories()
            found = await trio.to_thread.run_sync(partial(held, holdings, repositories))
            if found.items != self._held.items:
                self._held = found
                self.version += 1
            self._known_at = changes, trio.current_time()
            self._error = None
        except HubError as error:
            _log.info("what is held cannot be told: %s", error)
            self._error = error
        finally:
            self._under_way = None
            done.set()
