"""A static web server with byte ranges in memory, for mirrors in virtual time: no socket, no thread."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from unittest import mock

import h11
import trio
from trio.testing import memory_stream_pair

from p2phub.identity import Address, WebUrl
from p2phub.net import mirror_http
from p2phub.net.http import HttpConnection, MakeTls

PIECE_BYTES = 32_000
PIECE_S = 0.02


class MemoryWeb:
    """`files` by path; `moved`: which are answered with a redirect to this host. `connections`: how many are open."""

    def __init__(
        self, nursery: trio.Nursery, files: Mapping[str, bytes], moved: Mapping[str, str] | None = None
    ) -> None:
        self.files, self.moved = files, moved or {}
        self.connections = 0
        self._nursery = nursery

    async def connect(self, url: WebUrl, address: Address, make_tls: MakeTls) -> HttpConnection:
        """Stand in for `net.http.connect`."""
        await trio.sleep(0.01)
        near, far = memory_stream_pair()
        self._nursery.start_soon(self._serve, far, address.ip)
        return HttpConnection(near, address)

    @contextmanager
    def instead_of_sockets(self) -> Iterator[None]:
        with mock.patch.object(mirror_http, "connect", self.connect):
            yield

    async def _serve(self, stream: trio.abc.Stream, host: str) -> None:
        machine = h11.Connection(h11.SERVER)
        self.connections += 1
        try:
            async with stream:
                while await self._answer(stream, machine, host):
                    machine.start_next_cycle()
        except (trio.BrokenResourceError, h11.RemoteProtocolError):
            pass  # The client is gone, as it may be at any moment.
        finally:
            self.connections -= 1

    async def _answer(self, stream: trio.abc.Stream, machine: h11.Connection, host: str) -> bool:
        """Answer one request; False at the end of the connection."""
        request: h11.Request | None = None
        while not isinstance(event := machine.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                machine.receive_data(bytes(await stream.receive_some(PIECE_BYTES)))
            elif isinstance(event, h11.ConnectionClosed):
                return False
            elif isinstance(event, h11.Request):
                request = event
        assert request is not None
        path, wanted = request.target.decode(), dict(request.headers).get(b"range", b"").decode()
        status, headers, body = self._file(path, wanted, host)
        head = h11.Response(status_code=status, headers=[("content-length", str(len(body))), *headers])
        await stream.send_all(machine.send(head) or b"")
        for at in range(0, 0 if request.method == b"HEAD" else len(body), PIECE_BYTES):
            await trio.sleep(PIECE_S)
            await stream.send_all(machine.send(h11.Data(data=body[at : at + PIECE_BYTES])) or b"")
        await stream.send_all(machine.send(h11.EndOfMessage()) or b"")
        return True

    def _file(self, path: str, wanted: str, host: str) -> tuple[int, list[tuple[str, str]], bytes]:
        if path in self.moved and host != self.moved[path]:
            return 302, [("location", f"https://{self.moved[path]}{path}")], b"it has moved"
        body = self.files.get(path)
        if body is None:
            return 404, [], b""
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", wanted)
        if match is None:
            return 200, [], body
        start, last = int(match[1]), int(match[2])
        return 206, [("content-range", f"bytes {start}-{last}/{len(body)}")], body[start : last + 1]
