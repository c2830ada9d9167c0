"""The hub's verbs of shared places: a folder in which one home lists what it holds there, for any number of others.

In what `ls`, `info`, `du` and `verify` return, what an attached place lists has the origin "shared"; it is "complete"
once it was read and verified by this home, and only then served to others.
"""

from __future__ import annotations

from pathlib import Path

from p2phub.api.verbs import HubPart, JsonObject, absolute, items, unwatched


class SharingVerbs(HubPart):
    """What is shared, and what is taken from there."""

    async def share(self, place: str | Path) -> JsonObject:
        """List in the folder `place`, from now on, what this home holds below it for everybody, so that other homes can
        attach it, on this machine or wherever it is mounted; what is there already, and what comes and goes.

        Nothing private or withheld is ever listed, and nothing but `place/.p2phub-shared` is written. Returns {"place",
        "listed": how many folders, "named": how many releases lead to them, "bytes", "left_out": [{"folder", "why"}],
        "others_may_read": whether the umask lets other users read the list, "problem": None}. Raises Occupied if
        another home shares it, UsageError, Damaged, DiskError.
        """
        return await self._verbs.call("share", {"place": absolute(place)}, unwatched)

    async def unshare(self, place: str | Path) -> JsonObject:
        """Remove what `share` wrote, and list nothing there any more. Returns {"place"}. Raises NotFound if this home
        does not share it, DiskError."""
        return await self._verbs.call("unshare", {"place": absolute(place)}, unwatched)

    async def shares(self) -> list[JsonObject]:
        """Return the places that this home shares, each as from `share`; "problem" says why its list is not up to date.
        Raises DiskError."""
        return items(await self._verbs.call("shares", {}, unwatched))

    async def attach(self, place: str | Path) -> JsonObject:
        """Offer from now on what another home shares at `place`: its files are a source of what is fetched, and its
        releases are found without a network. Nothing is written there, and nothing believed that was not checked here.

        Returns {"place", "configured": whether the settings attach it, "writer": the node whose home shares it,
        "listed", "named": how many folders and releases it lists, "left_out": [{"folder", "why"}] of what is not
        offered, "problem": None}. Raises UsageError, DiskError, Damaged if nothing is shared there that can be read.
        """
        return await self._verbs.call("attach", {"place": absolute(place)}, unwatched)

    async def detach(self, place: str | Path) -> JsonObject:
        """Offer nothing of `place` any more. Returns {"place"}. Raises NotFound if it is not attached, UsageError if
        the settings attach it, DiskError."""
        return await self._verbs.call("detach", {"place": absolute(place)}, unwatched)

    async def attached(self) -> list[JsonObject]:
        """Return the attached places, each as from `attach`; "problem" says why nothing of one is offered now, and then
        "writer" is None. Raises DiskError."""
        return items(await self._verbs.call("attached", {}, unwatched))
