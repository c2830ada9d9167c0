"""What a node can do, one function a verb: the same for a command's transient node and for the daemon.

Arguments and results are JSON-able, because the daemon's control socket carries them; `api` gives them types.
Events go to `watch` as they happen. Errors are HubError. A verb's room is loaded when it is first asked for: hashing
and its libraries are no part of a fetch, whose start a user waits for.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from importlib import import_module

from p2phub.errors import HubError, UsageError
from p2phub.node.running import JsonObject, Running
from p2phub.observe import Watch

ROOMS = {
    "publishing": ("publish", "survey", "unpublish", "remove"),
    "drafting": ("open_draft", "close_draft", "draft_room", "draft_change", "draft_publish"),
    "fetching": ("fetch",),
    "opening": ("open_tensors", "close_tensors"),
    "reading": ("open_model", "close_model", "read_range", "want_ranges", "standing"),
    "giving": ("give",),
    "planning": ("plan",),
    "adopting": ("adopt",),
    "describing": ("info", "diff"),
    "holding": ("ls", "unfinished", "log", "verify"),
    "keeping": ("pin", "unpin", "gc", "du"),
    "sharing": ("share", "unshare", "shares", "attach", "detach", "attached"),
    "watching": ("counters", "readiness"),
    "node": ("init", "peers", "status", "explain", "limit", "doctor"),
    "calling": ("repository", "repositories", "publishable"),
    "upstream": ("hub_listing", "hub_refs", "hub_bring", "hub_kept"),
    "showing": ("pulse", "extents", "holdings", "holders"),
    "searching": ("search",),
    "naming": ("names", "name_add", "name_remove", "key_export", "key_import"),
}
ROOM_OF = {verb: room for room, verbs in ROOMS.items() for verb in verbs}


LOOK_FIRST = frozenset(
    ("fetch", "plan", "ls", "info", "diff", "log", "verify", "pin", "give", "open_tensors", "du", "remove", "attached")
)
"""Verbs that what attached places list matters to: these are looked at before."""

TELL_AFTER = frozenset(
    ("publish", "draft_publish", "unpublish", "remove", "fetch", "adopt", "verify", "pin", "give", "gc", "doctor")
)
"""Verbs that may change what this home holds, or may tell of: shared places hear of it after."""

CHANGING = TELL_AFTER | {"unpin", "name_add", "name_remove", "attach", "detach"}
"""Verbs after which lists of what is here may look otherwise: who looks on is told so (`pulse`)."""


class Verbs:
    """The verbs of one running node."""

    def __init__(self, node: Running) -> None:
        self._node = node

    async def call(self, verb: str, args: JsonObject, watch: Watch) -> JsonObject:
        """Carry out `verb`. Raises UsageError for one that does not exist or for arguments that do not fit it."""
        if verb not in ROOM_OF:
            raise UsageError(f"there is no verb {verb[:40]!r}")
        room = import_module(f"p2phub.node.verbs.{ROOM_OF[verb]}")
        carry_out: Callable[..., Awaitable[JsonObject]] = getattr(room, verb)
        try:
            inspect.signature(carry_out).bind(self._node, watch, **args)
        except TypeError as exc:
            raise UsageError(f"arguments do not fit {verb}: {exc}") from exc
        if verb in LOOK_FIRST:
            await self._node.places.look()
        try:
            return await self._told_of(verb, carry_out(self._node, watch, **args))
        finally:
            if verb in CHANGING:  # Also if it failed: half of it may be done.
                self._node.changes += 1

    async def _told_of(self, verb: str, carried_out: Awaitable[JsonObject]) -> JsonObject:
        """Return what it comes to, once shared places were told."""
        if verb not in TELL_AFTER:
            return await carried_out
        places = self._node.places
        try:
            result = await carried_out
            self._node.parts.tally.take(verb, result)
        except HubError:  # It may have changed something all the same. Cancelled, the next one tells of it.
            await places.tell()
            raise
        await places.tell()
        return result
