"""The upstream hub of a gateway, where the user named one: what it has under a name, and its files as they come.

listing = await hub.hub_listing("model", "org/name", "main")
async for stretch in hub.hub_stretches("model", "org/name", listing["commit"], "config.json", 0, size): ...
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator

from p2phub.api.standing import Stretch, file_of
from p2phub.api.under_way import UnderWay
from p2phub.api.verbs import HubPart, JsonObject, bare_errors, unwatched
from p2phub.errors import DiskError
from p2phub.observe import Event, RangeReady, Watch


class UpstreamVerbs(HubPart):
    """What is asked of a hub that the user named, and of nobody else."""

    async def hub_listing(self, kind: str, name: str, revision: str) -> JsonObject:
        """Return what the hub has of a `kind` ("model", "dataset") at a branch, tag or commit: {"commit", "files":
        [{"path", "size" (bytes), "sha256" (hex, of files in LFS, else None), "git_sha1" (of the others)}]}. Raises
        UsageError where no hub was named, NotFound, PeerError."""
        return await self._verbs.call("hub_listing", {"kind": kind, "name": name, "revision": revision}, unwatched)

    async def hub_refs(self, kind: str, name: str) -> list[JsonObject]:
        """Return the branches and tags that the hub has of a repository: [{"name", "commit", "is_branch"}].
        Raises UsageError where no hub was named, NotFound, PeerError."""
        return list((await self._verbs.call("hub_refs", {"kind": kind, "name": name}, unwatched))["items"])

    async def hub_kept(self) -> list[JsonObject]:
        """Return which repositories of the hub have anything here, of each the commit that was used last: [{"kind",
        "name", "commit", "used" (Unix seconds)}]. The hub is not asked. Raises DiskError."""
        return list((await self._verbs.call("hub_kept", {}, unwatched))["items"])

    async def hub_stretches(
        self, kind: str, name: str, commit: str, path: str, start: int, stop: int
    ) -> AsyncGenerator[Stretch, None]:
        """Return a generator of where bytes `start` ..< `stop` of a file of the hub stand, in order, as they come.

        Each stretch is the caller's to close. The last byte of a file comes after all of it was checked; of a part of a
        large file that is asked for by itself there is the hub's word alone. Raises NotFound, Damaged, PeerError,
        DiskError.
        """
        args = {"kind": kind, "name": name, "commit": commit, "path": path, "start": start, "stop": stop}
        coming = _Coming()

        async def call(watch: Watch) -> None:
            with bare_errors():
                await self._verbs.call("hub_bring", args, watch)

        def take(event: Event) -> None:
            if isinstance(event, RangeReady):
                coming.take(event)
                under_way.tell()

        under_way = UnderWay(call, take)
        assert self._nursery is not None, "only an open hub reads"
        self._nursery.start_soon(under_way.run)
        at = start
        try:
            while at < stop:
                if coming.stop > at:
                    until = min(coming.stop, stop)
                    yield Stretch(file_of(os.dup(coming.descriptor)), at, until)
                    at = until
                elif under_way.ended:
                    raise under_way.error or DiskError(f"what came of {path} is not there any more")
                else:
                    await under_way.news()
        finally:
            under_way.stop()
            coming.close()


class _Coming:
    """A file of which more and more stands: opened when it is first heard of, since it may be moved, or removed."""

    def __init__(self) -> None:
        self.descriptor = -1
        self.stop = 0
        self._place = ""
        self._closed = False

    def take(self, event: RangeReady) -> None:
        if self._closed:
            return
        if event.place != self._place:
            with contextlib.suppress(FileNotFoundError):  # Where it was moved to comes next.
                self._open(event.place)
        if self.descriptor >= 0 and event.place == self._place:
            self.stop = event.stop

    def _open(self, place: str) -> None:
        """Go on at another place: what came was moved there, or all of it comes anew, as what takes a token."""
        descriptor, before = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), self.descriptor
        self.descriptor, self._place = descriptor, place
        if before >= 0:
            if not os.path.sameopenfile(before, descriptor):
                self.stop = 0
            os.close(before)

    def close(self) -> None:
        self._closed = True
        if self.descriptor >= 0:
            os.close(self.descriptor)
