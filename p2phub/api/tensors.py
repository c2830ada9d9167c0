"""Tensors as they come: what `Hub.open_tensors` gives.

The node tells where the bytes of a tensor stand once they are verified, and they are read here, in the reader's time:
mapped where the file stays, copied where it was fetched for this alone. Such files go at the end; if a fault was the
end they stay, for the same call to go on with.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Awaitable, Callable
from io import FileIO
from types import TracebackType
from typing import Any

import trio

from p2phub.api.arrays import array_of, mapped, read_part
from p2phub.api.under_way import UnderWay
from p2phub.errors import ContentChanged, HubError
from p2phub.observe import Event, TensorsReady, Watch

CLOSE_S = 10.0

Call = Callable[[Watch], Awaitable[None]]
"""Has the node tell `watch` of tensors, until all were told. Raises HubError."""

Remove = Callable[[str], Awaitable[None]]
"""Has the node remove the folder that was fetched for it."""


class _File:
    """A file that tensors are read from, opened when it was told of first: it may lose its name before it is read."""

    def __init__(self, path: str) -> None:
        try:
            self._file = FileIO(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as exc:
            raise ContentChanged(f"{path} cannot be read: {exc.strerror}") from exc
        self._path = path
        self._mapped: memoryview | None = None

    def read(self, start: int, stop: int, *, keeps: bool) -> bytearray | memoryview:
        """Return a part. Of a file that stands for good (`keeps`) it is not read, but mapped. Blocks."""
        if not keeps or start == stop:
            return read_part(self._file.fileno(), start, stop, self._path)
        if self._mapped is None:
            self._mapped = mapped(self._file.fileno(), self._path)
        if stop > len(self._mapped):
            raise ContentChanged(f"{self._path} became shorter while it was read")
        return self._mapped[start:stop]

    def close(self) -> None:
        self._file.close()


class OpenTensors:
    """An async iterator over (name, array), in the order asked; each comes once its bytes are verified, while the rest
    still arrives. `async with` it, or call `aclose`, to end it before its end; else it ends with the hub."""

    def __init__(self, nursery: trio.Nursery, call: Call, remove: Remove, framework: str, watch: Watch) -> None:
        self._nursery, self._remove = nursery, remove
        self._framework, self._watch = framework, watch
        self._arriving = UnderWay(call, self._take)
        self._waiting: deque[tuple[str, str, list[int], str, int, int, bool]] = deque()
        self._files: dict[str, _File] = {}
        self._folder: str | None = None
        self._begun = self._closed = False

    def __aiter__(self) -> OpenTensors:
        return self

    async def __anext__(self) -> tuple[str, Any]:
        """Raises what ended the fetch, after the tensors that came before."""
        if not self._begun:
            self._begun = True
            self._nursery.start_soon(self._arriving.run)
        while not self._waiting:
            if self._closed or self._arriving.ended:
                error = self._arriving.error
                await self.aclose(keep=error is not None)
                if error is not None:
                    raise error
                raise StopAsyncIteration
            await self._arriving.news()
        name, dtype, shape, path, start, stop, keeps = self._waiting.popleft()
        file = self._files[path]
        data = await trio.to_thread.run_sync(lambda: file.read(start, stop, keeps=keeps))
        return name, array_of(self._framework, data, dtype, shape)

    def _take(self, event: Event) -> None:
        if not isinstance(event, TensorsReady):
            self._watch(event)
            return
        self._folder = event.folder
        try:
            for name, dtype, shape, path, start, stop in event.tensors:
                if path not in self._files:
                    self._files[path] = _File(path)
                self._waiting.append((name, dtype, shape, path, start, stop, event.folder is None))
        except HubError as error:
            self._arriving.stop(error)
        self._arriving.tell()

    async def aclose(self, *, keep: bool = False) -> None:
        """End it. What was fetched for it goes, unless it is to be kept: then the same call goes on with it."""
        if self._closed:
            return
        self._closed = True
        self._arriving.stop()
        self._waiting.clear()
        try:
            with trio.move_on_after(CLOSE_S, shield=True):
                if self._begun:
                    await self._arriving.end()
                if self._folder is not None and not keep:
                    with contextlib.suppress(HubError):  # It is in the way of nobody.
                        await self._remove(self._folder)
        finally:
            self._begun = True
            for file in self._files.values():
                file.close()

    async def __aenter__(self) -> OpenTensors:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
