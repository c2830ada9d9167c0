"""Wake those who wait to be told something new about a manifest: more was verified, or another member came.

One for a node; of its loop alone. Nothing is kept of a manifest that nobody waits for.
"""

from __future__ import annotations

import trio

from p2phub.content import Digest


class Bulletin:
    """Tells of changes; what changed each who waits looks up itself."""

    def __init__(self) -> None:
        self._waiting: dict[Digest, trio.Event] = {}

    def tell(self, manifest: Digest) -> None:
        """There is something new about `manifest`."""
        event = self._waiting.pop(manifest, None)
        if event is not None:
            event.set()

    async def change(self, manifest: Digest, *, until: float) -> None:
        """Return when there is something new about `manifest`, or at `until`."""
        event = self._waiting.setdefault(manifest, trio.Event())
        try:
            with trio.move_on_at(until):
                await event.wait()
        finally:
            if self._waiting.get(manifest) is event and not event.statistics().tasks_waiting:
                del self._waiting[manifest]
