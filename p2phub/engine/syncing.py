"""Make what arrived durable, now and then, in a task that the coordinator never waits for."""

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


class SyncFailed(msgspec.Struct, frozen=True):
    """The disk would not keep what arrived."""

    error: HubError


class Syncing:
    """When to sync, and the task that does. `unsynced_bytes` is counted up by whoever receives. Where, by `awaited`,
    somebody waits for files, it is done more often, and they are told which are there."""

    def __init__(self, workers: Workers, awaited: Awaited, watch: Watch, *, now: float) -> None:
        self._workers = workers
        self._awaited, self._watch = awaited, watch
        self._synced_at = now
        self._wanted = trio.Event()
        self.unsynced_bytes = 0
        self.arrival: Arrival | None = None

    def look(self, *, now: float) -> None:
        """Have the task sync if enough came, or enough time passed."""
        sync_s = limits.SYNC_SOON_S if self._awaited.wants_files else limits.SYNC_S
        if self.unsynced_bytes and (self.unsynced_bytes >= limits.SYNC_BYTES or now - self._synced_at >= sync_s):
            self.unsynced_bytes, self._synced_at = 0, now
            self._wanted.set()

    async def run(self, tell: trio.MemorySendChannel[SyncFailed]) -> None:
        """Sync whenever it is wanted, until cancelled or the disk fails."""
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            try:
                ready = await self._workers.run(self._sync)
            except HubError as error:
                await tell.send(SyncFailed(error))
                return
            tell_ready(self._watch, ready)

    def _sync(self) -> Sequence[str]:
        assert self.arrival is not None
        self.arrival.sync()
        return self._awaited.take_ready(self.arrival)
