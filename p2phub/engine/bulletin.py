"""Wake those who wait to be told something new about a manifest: more was verified, or another member came.

What was verified here is told at once. Who comes is strangers' doing, and each time an answer is worked out for all who
wait: so that is told at once only after a rest, and else together with what comes until it is over.
One for a node; of its loop alone. Of a manifest that nobody waits for nothing is kept but how long that rest is.
"""

from __future__ import annotations

import math

import msgspec
import trio

from p2phub import limits
from p2phub.content import Digest


class _Waiting(msgspec.Struct):
    """Those who wait for one manifest: what wakes them, when that is due in any case, and until when each waits."""

    event: trio.Event = msgspec.field(default_factory=trio.Event)
    due: float = math.inf
    scopes: set[trio.CancelScope] = msgspec.field(default_factory=set)


class Bulletin:
    """Tells of changes; what changed each who waits looks up itself."""

    def __init__(self) -> None:
        self._waiting: dict[Digest, _Waiting] = {}
        self._rests: dict[Digest, float] = {}  # Until when what comes is told together.

    def tell(self, manifest: Digest) -> None:
        """There is something new about `manifest`."""
        waiting = self._waiting.pop(manifest, None)
        if waiting is not None:
            waiting.event.set()

    def tell_together(self, manifest: Digest) -> None:
        """There is something new about `manifest`, of which there may be more within NEWS_S."""
        now = trio.current_time()
        self._rests = {each: until for each, until in self._rests.items() if now < until}
        waiting = self._waiting.get(manifest)
        if waiting is None:
            return
        due = self._rests.get(manifest)
        if due is None:
            self._tell_and_rest(manifest)
        elif waiting.due > due:
            waiting.due = due
            for scope in waiting.scopes:
                scope.deadline = min(scope.deadline, due)

    async def change(self, manifest: Digest, *, until: float) -> None:
        """Return when there is something new about `manifest`, or at `until`."""
        waiting = self._waiting.setdefault(manifest, _Waiting())
        scope = trio.CancelScope(deadline=min(until, waiting.due))
        waiting.scopes.add(scope)
        try:
            with scope:
                await waiting.event.wait()
        finally:
            waiting.scopes.discard(scope)
            if self._waiting.get(manifest) is waiting:
                if waiting.due <= trio.current_time():  # The first of them tells the others.
                    self._tell_and_rest(manifest)
                elif not waiting.scopes:
                    del self._waiting[manifest]

    def _tell_and_rest(self, manifest: Digest) -> None:
        self._rests[manifest] = trio.current_time() + limits.NEWS_S
        self.tell(manifest)
