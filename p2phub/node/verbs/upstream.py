"""The upstream hub of a gateway: what it has under a name, and its files, kept here and shared with others.

It is asked only where the user said so (`upstream`). What comes is adopted as a cache of its own client would be, in
`upstream/` of the home: a repository once all of it is here, before that its large files. What needed the token is
withheld. All of it counts for the quota, and may be collected.
"""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack
from pathlib import Path

import trio

from p2phub.engine.upstream import Listing, Upstream
from p2phub.engine.upstream_api import Repo
from p2phub.errors import HubError, UsageError
from p2phub.node.contained import contained
from p2phub.node.keystore import upstream_token
from p2phub.node.running import JsonObject, Running
from p2phub.node.verbs.adopting import adopt
from p2phub.observe import Event, RangeReady, Watch
from p2phub.store import UPSTREAM_FOLDER
from p2phub.store.disk import disk_errors
from p2phub.store.hub_copies import kind_and_name, newest_in, repositories_in

_log = logging.getLogger(__name__)


async def hub_listing(node: Running, watch: Watch, *, kind: str, name: str, revision: str) -> JsonObject:
    """Return what the hub has at a revision: {"commit", "files": [{"path", "size", "sha256", "git_sha1"}]}, of each
    file the digest by which the hub names it. Raises NotFound, PeerError, UsageError."""
    listing = await (await _upstream(node)).listing(Repo(kind, name), revision)
    return {
        "commit": listing.commit,
        "files": [
            {"path": file.path, "size": file.size, "sha256": file.sha256, "git_sha1": file.git_sha1}
            for _, file in sorted(listing.files.items())
        ],
    }


async def hub_refs(node: Running, watch: Watch, *, kind: str, name: str) -> JsonObject:
    """Return the hub's branches and tags: {"items": [{"name", "commit", "is_branch"}]}. Raises as `hub_listing`."""
    refs = await (await _upstream(node)).refs(Repo(kind, name))
    return {"items": [{"name": each.name, "commit": each.commit, "is_branch": each.is_branch} for each in refs]}


async def hub_bring(
    node: Running, watch: Watch, *, kind: str, name: str, commit: str, path: str, start: int, stop: int
) -> JsonObject:
    """Have bytes `start` ..< `stop` of a file of a commit here, and tell where they stand as they come (RangeReady)."""
    upstream = await _upstream(node)

    def arrived(place: Path, start: int, stop: int) -> None:
        watch(RangeReady(os.fspath(place), start, stop, None))

    listing = await upstream.listing(Repo(kind, name), commit)
    await upstream.bring(listing, path, start, stop, arrived)
    return {}


async def hub_kept(node: Running, watch: Watch) -> JsonObject:
    """Return what of the hub is here, whether all of it came or not: {"items": [{"kind", "name", "commit", "used"}]},
    of each repository the commit that was used last. The hub is not asked. Raises DiskError."""
    home = node.parts.config.home

    def look() -> list[JsonObject]:
        with disk_errors(f"look over {home}"):
            found = [(copy, newest_in(copy)) for copy in repositories_in(home)]
        return [
            {"kind": kind, "name": name, "commit": newest.commit, "used": newest.used_at}
            for copy, newest in found
            if newest is not None
            for kind, name in [kind_and_name(copy)]
        ]

    return {"items": await node.parts.workers.run(look)}


async def _upstream(node: Running) -> Upstream:
    parts = node.parts
    hub = parts.config.upstream
    if hub is None:
        raise UsageError("this node has no upstream hub", hint="name one: p2phub node --gateway --upstream URL")
    token = await parts.workers.run(lambda: upstream_token(parts.config.home))
    if node.upstream is None:
        assert node.nursery is not None, "verbs are asked of a node that runs"
        sharing = _Sharing(node, node.nursery)
        node.upstream = Upstream(
            hub,
            token=token,
            folder=parts.config.home / UPSTREAM_FOLDER,
            workers=parts.workers,
            mirrors=parts.open_mirrors(),
            nursery=node.nursery,
            kept=sharing.kept,
            make_room=node.keeping.room_for_hub,
        )
    return node.upstream


class _Sharing:
    """Adopts what came, one repository at a time; what comes meanwhile is adopted once more."""

    def __init__(self, node: Running, nursery: trio.Nursery) -> None:
        self._node, self._nursery = node, nursery
        self._waiting: dict[Path, Listing] = {}
        self._runs = False

    def kept(self, listing: Listing) -> None:
        self._waiting[listing.copy.folder] = listing
        if not self._runs:
            self._runs = True
            self._nursery.start_soon(self._run)

    async def _run(self) -> None:
        try:
            while self._waiting:
                _, listing = self._waiting.popitem()
                try:
                    with contained("an adoption"):
                        await self._adopt(listing)
                except HubError as error:  # It is here all the same, and is tried again with what comes next.
                    _log.warning("what came from the upstream hub could not be adopted: %s", error)
                await self._node.places.tell()
                self._node.changes += 1
        finally:
            self._runs = False

    async def _adopt(self, listing: Listing) -> None:
        place = ("hf", os.fspath(listing.copy.folder))
        announce = ["all"] if listing.for_everybody else []
        with ExitStack() as stack:  # Or what was hashed would be held after it was collected.
            await self._node.parts.workers.run(lambda: stack.enter_context(listing.copy.in_use()))
            await adopt(self._node, _nobody, places=[place], announce=announce)


def _nobody(event: Event) -> None:
    pass
