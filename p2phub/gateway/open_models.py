"""Models that stay open for whoever asks next: a client reads one file by file, and each by many requests.

While a model is open it is a fetch under way, so the last GATEWAY_MODELS_OPEN_MAX stay so, and none for longer than
GATEWAY_MODEL_IDLE_S after its last use. One whose fetch failed is forgotten, and opened anew for who comes next.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from p2phub import api, limits
from p2phub.errors import ContentChanged
from p2phub.gateway.turns import Turns


class OpenModels:
    """Models that are open for reading: the last few stay so for a while, for whoever asks next."""

    def __init__(self, hub: api.Hub) -> None:
        self._hub = hub
        self._open: OrderedDict[str, api.OpenModel] = OrderedDict()  # By manifest; who was used last comes last.
        self._users: dict[api.OpenModel, int] = {}  # Of those that are not open any more for newcomers, too.
        self._used: dict[api.OpenModel, float] = {}
        self._turns = Turns()

    @asynccontextmanager
    async def model(self, manifest: str, key: str) -> AsyncIterator[api.OpenModel]:
        """Yield the model of a manifest, opened by `key`, which leads to it. Raises HubError."""
        async with self._turns.of(manifest):
            model = self._open.get(manifest)
            if model is None:
                model = await self._hub.open_model(key).__aenter__()
                self._open[manifest], self._users[model] = model, 0
                if model.manifest != manifest:
                    self.forget(manifest, model)
                    await self._close_unused()
                    raise ContentChanged(f"{key} leads to something else by now")
            self._open.move_to_end(manifest)
            self._users[model] += 1
        try:
            yield model
        finally:
            self._users[model] -= 1
            self._used[model] = trio.current_time()
            await self._close_unused()

    def forget(self, manifest: str, model: api.OpenModel) -> None:
        """Have the next who asks open it anew: a fetch that failed does not come back to life."""
        if self._open.get(manifest) is model:
            del self._open[manifest]

    async def tidy(self) -> None:
        """Close what was not used for GATEWAY_MODEL_IDLE_S: while it is open, it is a fetch under way."""
        for manifest, model in list(self._open.items()):
            idle = trio.current_time() - self._used.get(model, trio.current_time())
            if not self._users[model] and idle >= limits.GATEWAY_MODEL_IDLE_S:
                del self._open[manifest]
        await self._close_unused()

    async def close(self) -> None:
        self._open.clear()
        await self._close_unused()

    async def _close_unused(self) -> None:
        """Close what nobody uses and nobody will: all that is not open for the next request."""
        for manifest, model in list(self._open.items()):
            if len(self._open) <= limits.GATEWAY_MODELS_OPEN_MAX:
                break
            if not self._users[model]:
                del self._open[manifest]
        while (unused := self._next_unused()) is not None:
            del self._users[unused]  # Before it is waited for: whoever else is here meanwhile leaves it alone.
            self._used.pop(unused, None)
            with trio.CancelScope(shield=True):  # It bounds its own end.
                await unused.__aexit__(None, None, None)

    def _next_unused(self) -> api.OpenModel | None:
        kept = set(self._open.values())
        return next((each for each, users in self._users.items() if not users and each not in kept), None)
