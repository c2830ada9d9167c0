"""Bodies that come and go in pieces, whose length nobody knows beforehand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

import pytest
import trio

from p2phub.http.exchange import Exchange
from p2phub.http.refusal import Refusal
from p2phub.http.server import Server

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"


@asynccontextmanager
async def speaking(handle: Callable[[Exchange], Awaitable[None]]) -> AsyncIterator[trio.SocketStream]:
    """Give one connection to a server."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Server(handle).serve, listeners)
        async with await trio.open_tcp_stream("127.0.0.1", listeners[0].socket.getsockname()[1]) as stream:
            yield stream
        nursery.cancel_scope.cancel()


async def to_the_end(stream: trio.SocketStream) -> bytes:
    with trio.fail_after(10):
        return b"".join([part async for part in stream])


async def echo(exchange: Exchange) -> None:
    """Send back each piece as it comes."""
    await exchange.begin(200, [("Content-Type", "text/plain")], length=None)
    async with aclosing(exchange.pieces(most=1000)) as pieces:
        async for piece in pieces:
            await exchange.send(piece)
    await exchange.end()


async def test_an_answer_of_unknown_length_goes_out_piece_by_piece_while_the_body_comes() -> None:
    async with speaking(echo) as stream:
        await stream.send_all(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        said = b""
        with trio.fail_after(10):
            while not said.endswith(b"3\r\none\r\n"):  # Before anything else is sent.
                said += await stream.receive_some(1000)
        assert b"transfer-encoding: chunked" in said.lower()
        assert b"content-length" not in said.lower()
        await stream.send_all(b"4\r\nmore\r\n0\r\n\r\n")
        assert await to_the_end(stream) == b"4\r\nmore\r\n0\r\n\r\n"


async def test_a_body_that_grows_too_long_in_pieces_is_refused() -> None:
    refused: list[int] = []

    async def take(exchange: Exchange) -> None:
        try:
            async with aclosing(exchange.pieces(most=1000)) as pieces:
                async for piece in pieces:
                    assert len(piece) <= 1000
        except Refusal as refusal:
            refused.append(refusal.status)
            await exchange.answer(refusal.status, [], b"")

    async with speaking(take) as stream:
        await stream.send_all(HEAD + b"Content-Length: 1001\r\n\r\n" + b"x" * 1001)
        assert (await to_the_end(stream)).startswith(b"HTTP/1.1 413 ")
    assert refused == [413]


@pytest.mark.parametrize("end", [b"", b"5\r\nab"])
async def test_a_body_that_ends_early_is_told_from_one_that_is_whole(end: bytes) -> None:
    told: list[str] = []

    async def take(exchange: Exchange) -> None:
        try:
            async with aclosing(exchange.pieces(most=1000)) as pieces:
                told.extend([piece.decode() async for piece in pieces])
            told.append("whole")
        except Refusal as refusal:
            told.append(str(refusal.status))
            await exchange.answer(refusal.status, [], b"")

    async with speaking(take) as stream:
        await stream.send_all(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n" + end)
        await stream.send_eof()
        assert (await to_the_end(stream)).startswith(b"HTTP/1.1 400 ")
    assert told[-1] == "400"
    assert "whole" not in told
