"""What goes over a port is counted: connections, bytes as they are on the wire, answers by site."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio
import trio.testing

from p2phub import limits
from p2phub.http.exchange import CutOff, Exchange, Request
from p2phub.http.front import Access, Front
from p2phub.http.guard import Door
from p2phub.http.server import Server
from p2phub.http.traffic import Traffic
from tests.support.memory_exchange import DOOR, HOST, TOKEN, MemoryExchange

BODY = os.urandom(300_000)


class Plays:
    """A site that answers each path in a way of its own."""

    def __init__(self, folder: Path) -> None:
        self._place = folder / "body"
        self._place.write_bytes(BODY)

    def access(self, request: Request) -> Access:
        return Access.OPEN

    async def answer(self, exchange: Exchange, host: str) -> None:
        match exchange.request.target:
            case "/file":
                await exchange.begin(200, [], length=len(BODY))
                descriptor = os.open(self._place, os.O_RDONLY)
                try:
                    await exchange.send_file(descriptor, 0, len(BODY), lambda: True)
                finally:
                    os.close(descriptor)
            case "/cut":
                await exchange.begin(200, [], length=len(BODY))
                raise CutOff("it ends here")
            case "/bug":
                raise ZeroDivisionError
            case _:
                await exchange.answer(200, [], await exchange.body(most=limits.MIB) + BODY)


async def test_bytes_and_connections_are_those_on_the_wire(tmp_path: Path) -> None:
    traffic = Traffic()
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    front = Front(Door("127.0.0.1", port, TOKEN), {"": Plays(tmp_path)}, traffic)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Server(front.handle, traffic).serve, listeners)
        sent = received = 0
        for target, body in (("/file", b""), ("/", b"x" * 1000)):
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                head = f"POST {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(body)}\r\n"
                request = head.encode() + b"Connection: close\r\n\r\n" + body
                await stream.send_all(request)
                sent += len(request)
                async for piece in stream:
                    received += len(piece)
        assert (traffic.received_bytes, traffic.sent_bytes) == (sent, received)
        assert received > 2 * len(BODY)
        assert traffic.answers == {("", "2xx"): 2}
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            await stream.receive_some(1)
            assert traffic.connections == 1
        nursery.cancel_scope.cancel()
    assert traffic.connections == 0


@pytest.mark.parametrize(("target", "error"), [("/cut", CutOff), ("/bug", ZeroDivisionError)])
async def test_an_answer_that_breaks_off_is_counted_as_such_and_a_bug_as_a_failure(
    tmp_path: Path, target: str, error: type[Exception]
) -> None:
    traffic = Traffic()
    front = Front(DOOR, {"": Plays(tmp_path), "v2": Plays(tmp_path)}, traffic)
    with pytest.raises(error):
        await front.handle(MemoryExchange(Request("GET", target, {"host": HOST}, "127.0.0.1")))
    assert traffic.cut == (target == "/cut")
    assert traffic.answers == ({} if target == "/cut" else {("", "5xx"): 1})


async def test_refusals_count_as_what_they_say_under_the_site_that_was_meant(tmp_path: Path) -> None:
    traffic = Traffic()
    front = Front(DOOR, {"": Plays(tmp_path), "v2": Plays(tmp_path)}, traffic)
    for target, host in (("/v2/x", "evil.example"), ("/v2/x", HOST), ("/x", "evil.example")):
        await front.handle(MemoryExchange(Request("GET", target, {"host": host}, "127.0.0.1")))
    assert traffic.answers == {("v2", "4xx"): 1, ("v2", "2xx"): 1, ("", "4xx"): 1}


async def test_who_finds_no_place_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GATEWAY_CONNECTIONS_MAX", 0)
    traffic = Traffic()
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Server(Front(DOOR, {}, traffic).handle, traffic).serve, listeners)
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.receive_some(1)
        assert (traffic.turned_away, traffic.connections) == (1, 0)
        nursery.cancel_scope.cancel()
