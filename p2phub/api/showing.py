"""The hub's verbs for who looks on: what moves now, which bytes of a manifest are here, who else has it.

They are asked again and again, so they cost little and change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from p2phub.api.verbs import HubPart, JsonObject, items, unwatched


class ShowingVerbs(HubPart):
    """What a page or a gauge asks."""

    async def pulse(self) -> JsonObject:
        """Return what the node does this moment, cheap enough to be asked twice a second.

        {"jobs": [as in `status`, without "references", and with "explanation": as `explain` has it, or None],
        "bytes_sent" (since the node began), "up", "down" (its caps in bytes/s, or None), "by_schedule", "changes"
        (grows when what is held, named, pinned or published here may have changed), "free_bytes" (of the home's disk,
        or None), "quota" (bytes of the own store, or None)}. Raises DiskError.
        """
        return await self._verbs.call("pulse", {}, unwatched)

    async def extents(self, ref: str, *, first: int = 0, count: int = 1000, largest: bool = False) -> JsonObject:
        """Return which bytes of the files of `ref` stand on this disk, verified, those of fetches under way included.

        {"manifest", "release", "contradiction" (both as in `info`), "bytes", "bytes_here", "files_total", "files",
        "files_unknown_because"}; the last says why those before it are None. "files" is [{"path", "size" (bytes),
        "sha256" (hex), "chunks", "here": [[start, stop], …]}], offsets in bytes, ascending: of `count` files (10,000
        at most) from number `first` on in the order of paths; with `largest`, of the `count` largest, the largest
        first. What an interrupted fetch left does not count before that goes on. What is held is told
        without asking anybody, by the newest release that is known here. Raises UsageError, Malformed, NotFound,
        NotTrusted, NoProvider, DiskError.
        """
        args = {"ref": ref, "first": first, "count": count, "largest": largest}
        return await self._verbs.call("extents", args, unwatched)

    async def holdings(self, manifests: Sequence[str]) -> list[JsonObject]:
        """Return how these manifests (200 at most) are held here: as in `ls`, without "references" and "announced_to";
        of each one holding, one that is whole if there is one. Those that are not held are left out. Raises UsageError,
        Malformed, DiskError."""
        return items(await self._verbs.call("holdings", {"manifests": list(manifests)}, unwatched))

    async def holders(self, ref: str) -> list[JsonObject]:
        """Return who else is known to have `ref`, or found in the network within 5 s: {"peer_id", "address", "via"}
        each. Nobody is dialled for it. Raises UsageError, Malformed, NotFound, NotTrusted, DiskError."""
        return items(await self._verbs.call("holders", {"ref": ref}, unwatched))
