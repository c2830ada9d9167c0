"""Share a place with other homes, and attach what others share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from p2phub.errors import HubError, UsageError
from p2phub.node.running import JsonObject, Running
from p2phub.node.shared_places import public_of
from p2phub.observe import Watch
from p2phub.store.sharing import AttachedPlace, SharedPlace

LEFT_OUT_TOLD_MAX = 1000


async def share(node: Running, watch: Watch, *, place: str) -> JsonObject:
    """List at `place`, from now on, what this home holds below it for everybody. Raises HubError."""
    return _shared_json(await node.places.share(_path(place)))


async def unshare(node: Running, watch: Watch, *, place: str) -> JsonObject:
    """Remove what was written at `place`. Raises HubError."""
    path = _path(place)
    await node.parts.workers.run(lambda: node.parts.places.unshare(path, node.places.writer))
    return {"place": str(path)}


async def shares(node: Running, watch: Watch) -> JsonObject:
    """What is shared from here, brought up to date."""
    parts, writer = node.parts, node.places.writer

    def look() -> list[SharedPlace]:
        public = public_of(parts.ledger)
        found = []
        for place in parts.places.shared():
            try:
                found.append(parts.places.bring_up_to_date(place, writer, public))
            except HubError as error:
                found.append(SharedPlace(place, problem=error.message))
        return found

    return {"items": [_shared_json(each) for each in await parts.workers.run_long(look)]}


async def attach(node: Running, watch: Watch, *, place: str) -> JsonObject:
    """Offer from now on what is listed at `place`. Raises HubError."""
    parts, path = node.parts, _path(place)
    return _attached_json(await parts.workers.run_long(lambda: parts.places.attach(path, parts.config.shared)))


async def detach(node: Running, watch: Watch, *, place: str) -> JsonObject:
    """Offer nothing of `place` any more. Raises HubError."""
    parts, path = node.parts, _path(place)
    await parts.workers.run_long(lambda: parts.places.detach(path, parts.config.shared))
    return {"place": str(path)}


async def attached(node: Running, watch: Watch) -> JsonObject:
    """The attached places, as they were when they were looked at a moment ago."""
    parts = node.parts

    def look() -> Sequence[AttachedPlace]:
        configured = parts.config.shared
        return [parts.places.told(place, configured) for place in parts.places.attached(configured)]

    return {"items": [_attached_json(each) for each in await parts.workers.run(look)]}


def _path(place: str) -> Path:
    if not os.path.isabs(place):
        raise UsageError(f"{place} is no absolute path")
    return Path(os.path.normpath(place))


def _shared_json(each: SharedPlace) -> JsonObject:
    return {
        "place": str(each.place),
        "listed": each.listed,
        "named": each.named,
        "bytes": each.bytes,
        "left_out": _told(each.left_out),
        "others_may_read": each.others_may_read,
        "problem": each.problem,
    }


def _attached_json(each: AttachedPlace) -> JsonObject:
    return {
        "place": str(each.place),
        "configured": each.configured,
        "writer": each.writer,
        "listed": each.listed,
        "named": each.named,
        "left_out": _told(each.left_out),
        "problem": each.problem,
    }


def _told(left_out: Sequence[tuple[str, str]]) -> list[JsonObject]:
    return [{"folder": folder, "why": why} for folder, why in left_out[:LEFT_OUT_TOLD_MAX]]
