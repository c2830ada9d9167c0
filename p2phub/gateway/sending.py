"""Send what a repository has to a client: a file, whole or a range of it, from where it stands or while it is fetched.

A file gets its head at once where it stands here, and with the first verified bytes where it is fetched: so that nobody
who has them is a 503, and not an answer that breaks off. What fails after that ends the connection in good order, short
of what the head says: clients then ask for the rest with a Range.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import trio

from p2phub import limits
from p2phub.errors import HubError, NoProvider
from p2phub.gateway.shelf import Content, File, Piece, Shelf, Snapshot, StandingFile
from p2phub.http.exchange import CutOff, Exchange, Headers, Request
from p2phub.http.ranges import wanted_span


async def send_file(
    exchange: Exchange,
    shelf: Shelf,
    snapshot: Snapshot,
    file: File,
    headers: Headers,
    *,
    etag: str,
    tells_size: bool = True,
) -> None:
    """Answer a request for a file, or its head. `etag`: what names its content to clients, without quotes;
    `tells_size`: whether its head alone says how long it is. Raises Refusal(416), HubError as long as nothing was said,
    CutOff."""
    if exchange.request.method == "HEAD":  # Which no Range is about.
        await exchange.begin(200, headers, length=file.size if tells_size else None)
        return
    status, headers, start, stop = _answer_of(exchange.request, headers, file.size, etag)
    if start == stop:
        await exchange.answer(status, headers, b"")
        return
    until = trio.current_time() + limits.GATEWAY_FIRST_PIECE_S  # To open it takes of that, too.
    async with shelf.open(snapshot, file, start=start) as content:
        if content.standing is not None:
            await _send_standing(exchange, content.standing, status, headers, start, stop)
        else:
            await _send_fetched(exchange, content, status, headers, start, stop, until)


async def send_bytes(exchange: Exchange, content: bytes, headers: Headers, *, etag: str) -> None:
    """Answer a request for what was made just now as if it were a file. Raises Refusal(416), CutOff."""
    if exchange.request.method == "HEAD":
        await exchange.answer(200, headers, content)
        return
    status, headers, start, stop = _answer_of(exchange.request, headers, len(content), etag)
    await exchange.answer(status, headers, content[start:stop])


def _answer_of(request: Request, headers: Headers, size: int, etag: str) -> tuple[int, Headers, int, int]:
    """Return the status, the headers, and the bytes wanted, of so many. Raises Refusal(416)."""
    only_if = request.headers.get("if-range")
    is_of_this = only_if is None or only_if.strip() == f'"{etag}"'  # Else the Range is for another version.
    span = wanted_span(request.headers.get("range") if is_of_this else None, size)
    if span is None:
        return 200, headers, 0, size
    start, stop = span
    return 206, [*headers, ("Content-Range", f"bytes {start}-{stop - 1}/{size}")], start, stop


async def _send_standing(
    exchange: Exchange, standing: StandingFile, status: int, headers: Headers, start: int, stop: int
) -> None:
    """Send from the file itself, nothing of which is passed on before it was looked at again: clients check the
    length alone, and ask for what is missing of it, so what came before that has to be right, too."""
    if not standing.unchanged():
        raise NoProvider("the file changed while it was opened")
    await exchange.begin(status, headers, length=stop - start)
    await exchange.send_file(standing.descriptor, start, stop, standing.unchanged)


async def _send_fetched(
    exchange: Exchange, content: Content, status: int, headers: Headers, start: int, stop: int, until: float
) -> None:
    """Send what is read while it is fetched; the head at `until`, if there is nothing to send by then. Raises HubError,
    if it fails sooner."""
    put, pieces = trio.open_memory_channel[Piece | HubError](0)

    async def pass_on() -> HubError | CutOff | None:
        """Return what went wrong."""
        first: Piece | HubError | None = None
        with trio.move_on_at(until):
            first = await _next(pieces)
        if isinstance(first, HubError):
            return first
        try:
            try:
                await exchange.begin(status, headers, length=stop - start)
                if first is not None:
                    await _send_piece(exchange, first)
            finally:
                _let_go(first)
            await _send_pieces(exchange, pieces)
        except CutOff as error:
            return error
        return None

    async with trio.open_nursery() as nursery:
        nursery.start_soon(_read_into, put, content.pieces(start, stop))
        verdict = await pass_on()
        nursery.cancel_scope.cancel()
    if verdict is not None:
        raise verdict


async def _read_into(put: trio.MemorySendChannel[Piece | HubError], source: AsyncGenerator[Piece, None]) -> None:
    """Hand on each piece when it is taken, and last what went wrong."""
    async with put, aclosing(source) as pieces:
        try:
            async for piece in pieces:
                try:
                    await put.send(piece)
                except BaseException:  # Nobody took it.
                    _let_go(piece)
                    raise
        except HubError as error:
            await put.send(error)


async def _send_pieces(exchange: Exchange, pieces: trio.MemoryReceiveChannel[Piece | HubError]) -> None:
    """Send pieces to their end. Raises CutOff for what ends them sooner, and if the client is gone."""
    while True:
        with trio.move_on_after(limits.GATEWAY_GONE_S) as waiting:
            piece = await _next(pieces)
        if waiting.cancelled_caught:
            if exchange.is_gone():
                raise CutOff("the client is gone")
        elif piece is None:
            return
        elif isinstance(piece, HubError):
            raise CutOff(str(piece)) from piece
        else:
            try:
                await _send_piece(exchange, piece)
            finally:
                _let_go(piece)


async def _send_piece(exchange: Exchange, piece: Piece) -> None:
    """Send one piece. Of one that stands in a file nothing is in memory while its client does not read, so a thousand
    that read slowly cost their sockets."""
    if isinstance(piece, bytes | memoryview):
        await exchange.send(piece)
    else:
        await exchange.send_file(piece.descriptor, piece.start, piece.stop, piece.unchanged)


def _let_go(piece: Piece | None) -> None:
    """Close a piece that stands in a file: whoever has it does, and nobody else."""
    if piece is not None and not isinstance(piece, bytes | memoryview):
        piece.close()


async def _next(pieces: trio.MemoryReceiveChannel[Piece | HubError]) -> Piece | HubError | None:
    """Return what comes next, None at the end."""
    try:
        return await pieces.receive()
    except trio.EndOfChannel:
        return None
