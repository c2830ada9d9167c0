"""The port stands before what answers at it does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import cast

import pytest
import trio

from p2phub import api
from p2phub.errors import UsageError
from p2phub.gateway.app import App
from p2phub.http.front import Site
from p2phub.http.guard import Door
from p2phub.http.serving import SitesAt
from tests.support.memory_exchange import TOKEN
from tests.support.memory_shelf import MemoryShelf

NO_HUB = cast("api.Hub", None)


@asynccontextmanager
async def sites(hub: api.Hub, door: Door) -> AsyncIterator[Mapping[str, Site]]:
    shelf = MemoryShelf()
    shelf.add("acme/m", {"small.txt": b"small"})
    yield {"": App(shelf)}


async def free_port() -> int:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        return int(listener.socket.getsockname()[1])


async def test_who_comes_before_there_is_an_answer_waits_for_it() -> None:
    port = await free_port()
    serving = SitesAt(api.parse_listen(f"127.0.0.1:{port}"), [sites])
    await serving.listen()
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    head = f"GET /acme/m/resolve/main/small.txt HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n"
    await stream.send_all(head.encode())
    async with stream, trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: serving(NO_HUB, token=TOKEN, task_status=task_status))
        answer = b""
        while received := await stream.receive_some():
            answer += received
        nursery.cancel_scope.cancel()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"small")


async def test_a_port_that_was_opened_and_not_used_is_free_again() -> None:
    port = await free_port()
    first, second = (SitesAt(api.parse_listen(f"127.0.0.1:{port}"), [sites]) for _ in range(2))
    await first.listen()
    with pytest.raises(UsageError, match="cannot listen"):
        await second.listen()
    first.close()
    await second.listen()
    second.close()
