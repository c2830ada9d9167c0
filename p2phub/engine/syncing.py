"""Make what arrived durable, now and then, in a task that the coordinator never waits for.

A fetch that gets too far ahead of it is granted nothing more (`transfer.Backlog`), so whoever owns it is told of each
sync that is done.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import trio

from p2phub import limits
from p2phub.engine.awaited import Awaited, tell_ready
from p2phub.engine.workers import Workers
from p2phub.errors import HubError
from p2phub.observe import Watch
from p2phub.store import Arrival
from p2phub.transfer import Backlog


class Synced(msgspec.Struct, frozen=True):
    """What had come when the last sync began is durable."""


class SyncFailed(msgspec.Struct, frozen=True):
    """The disk would not keep what arrived."""

    error: HubError


class Syncing:
    """When to sync, and the task that does, one sync at a time. Whoever receives tells `backlog` what came. Where, by
    `awaited`, somebody waits for files, it is done more often, and they are told which are there."""

    def __init__(self, workers: Workers, awaited: Awaited, watch: Watch, *, now: float) -> None:
        self._workers = workers
        self._awaited, self._watch = awaited, watch
        self._synced_at = now
        self._wanted = trio.Event()
        self.backlog = Backlog()
        self.arrival: Arrival | None = None

    def look(self, *, now: float) -> None:
        """Have the task sync if enough came, or enough time passed."""
        due = self.backlog.due_bytes
        if not due or self.backlog.is_syncing:
            return
        sync_s = limits.SYNC_SOON_S if self._awaited.wants_files else limits.SYNC_S
        if due >= limits.SYNC_BEGIN_BYTES or now - self._synced_at >= sync_s:
            self._synced_at = now
            self.backlog.begin()
            self._wanted.set()

    async def run(self, tell: trio.MemorySendChannel[Synced | SyncFailed]) -> None:
        """Sync whenever it is wanted, until cancelled or the disk fails."""
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            began = trio.current_time()
            try:
                ready = await self._workers.run(self._sync)
            except HubError as error:
                await tell.send(SyncFailed(error))
                return
            self.backlog.synced(trio.current_time() - began)
            tell_ready(self._watch, ready)
            await tell.send(Synced())

    def _sync(self) -> Sequence[str]:
        assert self.arrival is not None
        self.arrival.sync()
        return self._awaited.take_ready(self.arrival)
