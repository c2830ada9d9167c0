"""What is held here, and what was seen in the network, as lists: a page at a time, from the node's own search index.

So a list of ten thousand repositories costs what its page shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from p2phub import api
from p2phub.web.asked import Ask
from p2phub.web.jobs import short_name

Json = dict[str, Any]


async def listed(hub: api.Hub, asked: Ask, *, held: bool) -> Json:
    """Return {"items", "cursor", "total", "complete"}. `held`: what is held alone. Raises HubError."""
    found = await hub.search(
        " ".join(asked.words), kind=asked.kind or None, held=held, limit=asked.limit, cursor=asked.cursor
    )
    here = {each["manifest"]: each for each in await hub.holdings([each["manifest"] for each in found["items"]])}
    return {**found, "items": [_item(each, here.get(each["manifest"])) for each in found["items"]]}


def _item(entry: Mapping[str, Any], holding: Mapping[str, Any] | None) -> Json:
    """`entry` as `Hub.search` tells it, `holding` as `Hub.holdings` does."""
    held = holding or {}
    return {
        "ref": entry["ref"],
        "name": name_of(entry),
        "publisher": entry["publisher"],
        "tag": entry["tag"],
        "kind": entry["kind"],
        "size": entry["size"] or held.get("bytes"),
        "files": entry["files"] if entry["files"] is not None else held.get("files"),
        "files_here": held.get("files_here", 0),
        "formats": entry["formats"],
        "complete": held.get("complete", False),
        "held": holding is not None,
        "pinned": held.get("pinned", False),
        "origin": held.get("origin"),
        "published": held.get("published", False),
        "private": held.get("private", False),
        "created": entry["created"],
        "title": entry["title"],
        "licence": entry["licence"],
        "commit": entry["commit"],
        "manifest": entry["manifest"],
        "folder": held.get("folder"),
    }


def name_of(entry: Mapping[str, Any]) -> str:
    """Return what to call it where its publisher stands beside it: as the user does, or as its publisher does."""
    if entry["publisher"] is not None:
        return str(entry["name"]).removeprefix(f"{entry['publisher']}/")
    return short_name(str(entry["name"]))
