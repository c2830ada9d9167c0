"""Whether a file is passed on to programs that may load it: for doors by which files leave p2phub unasked, one by one.

What may run code when it is loaded is refused where it came for the reading alone; what the user published, fetched or
adopted is theirs to judge (docs/decisions/0092). Reading a file in this process refuses nothing: `OpenModel.danger`.
"""

from __future__ import annotations

from collections import OrderedDict

import trio

from p2phub.api.hub import Hub
from p2phub.api.reading import OpenModel
from p2phub.api.recent import keep
from p2phub.errors import Unsafe

_OF_THE_USER = ("published", "fetched", "adopted")
_FRESH_S = 5.0  # What is the user's may be removed, and come.
_KEPT_MAX = 4096


class PassingOn:
    """Judges files of one hub. `allow_unsafe`: all are passed on."""

    def __init__(self, hub: Hub, *, allow_unsafe: bool) -> None:
        self._hub = hub
        self._allow_unsafe = allow_unsafe
        self._of_the_user: OrderedDict[str, tuple[float, bool]] = OrderedDict()  # By manifest.
        self._harmless: OrderedDict[tuple[str, str], None] = OrderedDict()  # Manifest and path of what was judged.

    async def judge(self, model: OpenModel, path: str, *, start: int = 0) -> None:
        """Raise Unsafe for a file that may run code when it is loaded, and is here for this alone; and what
        `OpenModel.danger` raises, which reads what it looks at. `start`: where it will be read from, if it is."""
        judged = model.manifest, path
        if self._allow_unsafe or judged in self._harmless:
            return
        if not await self._is_the_users(model.manifest):
            why = await model.danger(path, start=start)
            if why is not None:
                raise Unsafe(
                    f"{path} may run code when it is loaded: {why}",
                    hint="if you trust its publisher, fetch it with `p2phub fetch --allow-unsafe`, or set allow_unsafe",
                )
        keep(self._harmless, judged, None, most=_KEPT_MAX)

    async def _is_the_users(self, manifest: str) -> bool:
        """Return whether the user has it as files of their own."""
        kept = self._of_the_user.get(manifest)
        if kept is None or trio.current_time() - kept[0] >= _FRESH_S:
            items = await self._hub.ls(manifest)
            found = any(item["complete"] and item["origin"] in _OF_THE_USER for item in items)
            kept = trio.current_time(), found
            keep(self._of_the_user, manifest, kept, most=_KEPT_MAX)
        return kept[1]
