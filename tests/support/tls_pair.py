"""Two ends of a TLS connection in one process, both of them ours or one a stranger's."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from p2phub.identity import Address, SecretKey
from p2phub.net import tls
from p2phub.net.credential import make_credential
from tests.support.tls_stranger import TlsStranger

ANN, BOB, EVE = (SecretKey(letter * 32) for letter in (b"a", b"b", b"e"))
HERE = Address("127.0.0.1", 1)


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection, non-blocking."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    for end in (near, far):
        end.setblocking(False)
        tls.tune(end)
    return near, far


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[tls.TlsConnection, tls.TlsConnection]]:
    near, far = pair()
    ends: dict[str, tls.TlsConnection] = {}

    async def serve() -> None:
        ends["far"] = await tls.accept(tls.make_context(make_credential(ANN)), far, HERE)

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            ends["near"] = await tls.connect(tls.make_context(make_credential(BOB)), near, HERE, ANN.peer_id)
        try:
            yield ends["near"], ends["far"]
        finally:
            near.close()
            far.close()


@asynccontextmanager
async def beside_a_stranger(*, dials: bool) -> AsyncIterator[tuple[tls.TlsConnection, TlsStranger, socket.socket]]:
    """Ann's end of a connection with a stranger, the stranger, and its socket."""
    near, far = pair()
    far.setblocking(True)
    stranger = TlsStranger(far, EVE, dials=dials)
    context = tls.make_context(make_credential(ANN))
    with near, far, trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, stranger.shake)
            if dials:
                ann = await tls.accept(context, near, HERE)
            else:
                ann = await tls.connect(context, near, HERE, EVE.peer_id)
        yield ann, stranger, far
