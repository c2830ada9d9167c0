"""Files of models, opened for clients, who wait 10 s for an answer: what that takes is given in time, or refused.

What is here whole is sent from where it stands. Of the rest the beginning and end have to come first, by which it is
judged whether the file may run code when it is loaded; and others may have been lost, or be slow.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from functools import partial
from typing import TypeVar

import trio

from p2phub import api, limits
from p2phub.errors import HubError, NoProvider
from p2phub.gateway.open_models import OpenModels
from p2phub.gateway.shelf import Content, File, Piece, StandingFile

_COMES_LOOK_S = 1.0

T = TypeVar("T")


class OpenFiles:
    """Of a hub's models. `allow_unsafe`: as for `open_hub_shelf`."""

    def __init__(self, hub: api.Hub, models: OpenModels, *, allow_unsafe: bool) -> None:
        self._hub = hub
        self._models = models
        self._passing_on = api.PassingOn(hub, allow_unsafe=allow_unsafe)

    @asynccontextmanager
    async def open(self, manifest: str, key: str, file: File, *, start: int) -> AsyncIterator[Content]:
        """Open a file of a manifest, to which `key` leads: `shelf.Shelf.open`."""
        until = trio.current_time() + limits.GATEWAY_FIRST_PIECE_S
        async with AsyncExitStack() as stack:
            with _given_until(until, file.path):
                model = await stack.enter_async_context(self._models.model(manifest, key))
            standing = await model.descriptor(file.path)
            if standing is not None:
                stack.callback(standing.close)
                await self._passing_on.judge(model, file.path, start=start)  # By what is here.
            else:
                judge = partial(self._passing_on.judge, model, file.path, start=start)
                await self._while_given(until, manifest, file.path, judge)
            yield _OpenFile(model, file, standing, lambda: self._models.forget(manifest, model))

    async def _while_given(self, until: float, manifest: str, path: str, wait: Callable[[], Awaitable[None]]) -> None:
        """Wait until then for what others give of a file, and on for as long as something comes, a minute at most: over
        a slow line its beginning and end take longer than a lost provider is waited for. Raises NoProvider, and as
        `wait` does."""
        ended: list[HubError | None] = []
        latest = trio.current_time() + limits.GATEWAY_LOOKUP_S
        async with trio.open_nursery() as nursery:

            async def run() -> None:
                try:
                    await wait()
                    ended.append(None)
                except HubError as error:  # Raised outside: the nursery would wrap it.
                    ended.append(error)
                nursery.cancel_scope.cancel()

            nursery.start_soon(run)
            await trio.sleep_until(until)
            while trio.current_time() < latest:
                if not await self._comes(manifest):
                    break
                await trio.sleep(_COMES_LOOK_S)
            nursery.cancel_scope.cancel()
        if not ended:
            raise _not_given(path)
        if ended[0] is not None:
            raise ended[0]

    async def _comes(self, manifest: str) -> bool:
        """Return whether something of a manifest comes at this moment."""
        try:
            jobs = [job for job in (await self._hub.pulse())["jobs"] if job["manifest"] == manifest]
        except HubError:  # The node ends.
            return False
        sources = [each for job in jobs for each in (job["explanation"] or {"sources": ()})["sources"]]
        return any(each["bytes_per_s"] > 0 for each in sources)


class _OpenFile:
    """A file of an open model: `shelf.Content`."""

    def __init__(
        self, model: api.OpenModel, file: File, standing: StandingFile | None, failed: Callable[[], None]
    ) -> None:
        self._model = model
        self._file = file
        self._failed = failed
        self.standing = standing

    def read(self, start: int, stop: int) -> AsyncGenerator[bytes | memoryview, None]:
        return self._noting_failure(self._model.read(self._file.path, start, stop))

    def pieces(self, start: int, stop: int) -> AsyncGenerator[Piece, None]:
        return self._noting_failure(self._model.stretches(self._file.path, start, stop))

    async def _noting_failure(self, source: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        try:
            async with aclosing(source) as pieces:
                async for piece in pieces:
                    yield piece
        except HubError:
            self._failed()
            raise


@contextlib.contextmanager
def _given_until(until: float, path: str) -> Iterator[None]:
    """Wait no longer than until then for others to give what opening a file takes: a fetch looks on for a minute after
    its last provider is lost, and clients wait 10 s for an answer. Raises NoProvider."""
    with trio.move_on_at(until) as waiting:
        yield
    if waiting.cancelled_caught:
        raise _not_given(path)


def _not_given(path: str) -> NoProvider:
    hint = "what came is kept, and it is looked for again"
    return NoProvider(f"nobody gave the beginning of {path} in time", hint=hint)
