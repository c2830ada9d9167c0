"""One request to the gateway's app and its answer, without a socket."""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncGenerator, Callable
from typing import Any

from p2phub.gateway.app import App
from p2phub.gateway.shelf import Shelf
from p2phub.http.exchange import CutOff, Headers, Request
from p2phub.http.front import Front, Site
from p2phub.http.guard import Door
from p2phub.http.refusal import Refusal

TOKEN = "p2phub_0123456789abcdef"
DOOR = Door("127.0.0.1", 7700, TOKEN)
HOST = "127.0.0.1:7700"


class MemoryExchange:
    """`exchange.Exchange`. After it was handled: `status`, `headers` by lower-case name, `content`, and `cut` if the
    answer ended short of its head; `ended` if one of unknown length was. `gone`: the client says no more."""

    def __init__(self, request: Request, body: bytes = b"") -> None:
        self.request = request
        self.status = 0
        self.headers: dict[str, str] = {}
        self.content = b""
        self.cut: CutOff | None = None
        self.gone = False
        self.ended = False
        self._body = body

    async def body(self, *, most: int) -> bytes:
        if len(self._body) > most:
            raise Refusal(413, "too long")
        return self._body

    async def pieces(self, *, most: int) -> AsyncGenerator[bytes, None]:
        for at in range(0, len(self._body), 1000):
            if at + 1000 > most and len(self._body) > most:
                raise Refusal(413, "too long")
            yield self._body[at : at + 1000]

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        await self.begin(status, headers, length=len(body))
        self.content = b"" if self.request.method == "HEAD" else body

    async def begin(self, status: int, headers: Headers, *, length: int | None) -> None:
        assert not self.status, "an answer begins once"
        self.status = status
        told = [] if length is None else [("content-length", str(length))]
        for name, value in [*headers, *told]:
            assert re.fullmatch(r"[ -~]*", value), f"{name} is no header: {value!r}"
            assert name.lower() not in self.headers
            self.headers[name.lower()] = value

    async def send(self, piece: bytes | memoryview) -> None:
        self.content += piece

    async def end(self) -> None:
        self.ended = True

    async def send_file(self, descriptor: int, start: int, stop: int, unchanged: Callable[[], bool]) -> None:
        data = os.pread(descriptor, stop - start, start)
        if not unchanged():
            raise CutOff("the file changed while it was sent")
        self.content += data

    def is_gone(self) -> bool:
        return self.gone

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def length(self) -> int:
        return int(self.headers["content-length"])


async def ask(
    shelf: Shelf,
    target: str,
    method: str = "GET",
    *,
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    door: Door = DOOR,
    site: Site | None = None,
) -> MemoryExchange:
    """Have the app answer one request, or `site`, of a program of this machine unless the headers say otherwise."""
    request = Request(method, target, {"host": HOST, **(headers or {})}, "127.0.0.1")
    exchange = MemoryExchange(request, body)
    try:
        await Front(door, {"": site or App(shelf)}).handle(exchange)
    except CutOff as error:
        exchange.cut = error
    return exchange
