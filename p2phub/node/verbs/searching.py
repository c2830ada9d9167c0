"""Find what this home holds or has seen by some words of it. Nobody else is asked."""

from __future__ import annotations

from p2phub import limits
from p2phub.catalog import Entry, parse_query
from p2phub.content import Codec, Digest
from p2phub.errors import UsageError
from p2phub.identity import PeerId
from p2phub.node.running import JsonObject, Running
from p2phub.observe import Watch


async def search(
    node: Running,
    watch: Watch,
    *,
    words: str,
    kind: str | None = None,
    held: bool = False,
    limit: int = 30,
    cursor: int | None = None,
) -> JsonObject:
    """Return {"items", "cursor", "total", "complete"}: "total" of what is held alone, else None; "cursor" where it goes
    on, or None; "complete": whether all that is known here could be looked through by now."""
    query = parse_query(words, kind=kind, held=held)
    first = cursor or 0
    if first < 0 or limit < 1:
        raise UsageError("a page begins at 0 or later, and has 1 entry at least")
    first, count = min(first, limits.SEARCH_DEPTH_MAX), min(limit, limits.SEARCH_LIMIT_MAX)
    parts = node.parts
    if node.announcer is None:  # A daemon looks at attached places by itself, and who types does not wait for a disk.
        await node.places.look()
    found, complete = await parts.catalog.search(query, first, count + 1)
    pins = await parts.workers.run(parts.ledger.pins) if found else frozenset()
    goes_on = len(found) > count and first + count < limits.SEARCH_DEPTH_MAX
    return {
        "items": [_told(entry, pinned=Digest(entry.manifest) in pins) for entry in found[:count]],
        "cursor": first + count if goes_on else None,
        "total": await parts.catalog.count(query) if held else None,
        "complete": complete,
    }


def _told(entry: Entry, *, pinned: bool) -> JsonObject:
    return {
        "ref": entry.reference,
        "name": entry.called,
        "publisher": str(PeerId(entry.publisher)) if entry.publisher else None,
        "tag": entry.tag or None,
        "manifest": Digest(entry.manifest).text(Codec.MSGPACK),
        "commit": entry.commit,
        "kind": entry.kind or None,
        "title": entry.title,
        "licence": entry.licence,
        "formats": list(entry.formats),
        "size": entry.size,
        "files": entry.files if entry.files >= 0 else None,
        "created": entry.created or None,
        "sequence": entry.sequence or None,
        "held": entry.is_held,
        "origin": entry.origin or None,
        "pinned": pinned,
        "private": entry.private,
        "seen": entry.seen,
    }
