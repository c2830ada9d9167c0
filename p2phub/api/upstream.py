"""The upstream hub of a gateway, where the user named one: what it has under a name, and its files as they come.

listing = await hub.hub_listing("model", "org/name", "main")
async for stretch in hub.hub_stretches("model", "org/name", listing["commit"], "config.json", 0, size): ...
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator

import trio

from p2phub.api.reading import Stretch, place_at
from p2phub.api.under_way import UnderWay
from p2phub.api.verbs import HubPart, JsonObject, bare_errors, unwatched
from p2phub.observe import Event, RangeReady


class UpstreamVerbs(HubPart):
    """What is asked of a hub that the user named, and of nobody else."""

    async def hub_listing(self, kind: str, name: str, revision: str) -> JsonObject:
        """Return what the hub has of a `kind` ("model", "dataset") at a branch, tag or commit: {"commit", "files":
        [{"path", "size" (bytes), "sha256" (hex, of files in LFS, else None), "git_sha1" (of the others)}]}. Raises
        UsageError where no hub was named, NotFound, PeerError."""
        return await self._verbs.call("hub_listing", {"kind": kind, "name": name, "revision": revision}, unwatched)

    async def hub_stretches(
        self, kind: str, name: str, commit: str, path: str, start: int, stop: int
    ) -> AsyncGenerator[Stretch, None]:
        """Yield where bytes `start` ..< `stop` of a file of the hub stand, in order, as they come; each stretch is the
        caller's to close. The last byte of a file comes after all of it was checked; of a part of a large file that is
        asked for by itself there is the hub's word alone. Raises NotFound, Damaged, PeerError, DiskError."""
        args = {"kind": kind, "name": name, "commit": commit, "path": path, "start": start, "stop": stop}
        ready: list[RangeReady] = []

        def take(event: Event) -> None:
            if isinstance(event, RangeReady):
                ready[:] = [event]
                under_way.tell()

        async def call(watch: object) -> None:
            with bare_errors():
                await self._verbs.call("hub_bring", args, take)

        under_way = UnderWay(call, take)
        assert self._nursery is not None, "only an open hub reads"
        self._nursery.start_soon(under_way.run)
        at, fd, place = start, -1, ""
        try:
            while at < stop:
                told = ready[-1] if ready else None
                if told is not None and told.stop > at and told.start <= at:
                    if fd < 0 or (told.place != place and not os.path.exists(place)):
                        with contextlib.suppress(FileNotFoundError):  # It was moved: the next event says where to.
                            opened = os.open(told.place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                            if fd >= 0:
                                os.close(fd)
                            fd, place = opened, told.place
                    if fd >= 0:
                        until = min(told.stop, stop)
                        yield Stretch(place_at(os.dup(fd)), at, until)
                        at = until
                        continue
                if under_way.ended:
                    if under_way.error is not None:
                        raise under_way.error
                    if told is None or told.stop <= at:
                        return
                await under_way.news()
                await trio.lowlevel.checkpoint()
        finally:
            under_way.stop()
            if fd >= 0:
                os.close(fd)
