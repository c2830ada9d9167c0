"""Speak HTTP/1.1 with one client: heads and bodies bounded in size and time, one request after the other.

h11 keeps the protocol's state; this moves bytes between it and a socket. A file is read and sent in worker threads
(`sending`), and only when the socket takes something: a client that reads slowly costs its socket and nothing else.
A connection ends with FIN, and only after what was sent was read, where its client lets us: a reset would cost it what
it has not read yet, and clients give up on one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from http import HTTPStatus

import h11
import trio

from p2phub import limits
from p2phub.http.exchange import CutOff, Exchange, Headers, Request
from p2phub.http.refusal import Refusal
from p2phub.http.sending import FileThreads
from p2phub.http.traffic import Traffic
from p2phub.http.whose import NOBODY, user_at

_log = logging.getLogger(__name__)
_READ_BYTES = 64 * limits.KIB
_SENT_BYTES = 256 * limits.KIB  # What a client has to take within GATEWAY_UNREAD_S.

Handle = Callable[[Exchange], Awaitable[None]]
"""Answers one request. Raises CutOff for an answer that cannot go on."""


class Connection:
    """One client. `scope` is what ends it while it waits for a request, or for its client to take something: then it is
    among the server's `idle`, or `stuck` since a time."""

    def __init__(
        self,
        stream: trio.SocketStream,
        handle: Handle,
        idle: dict[Connection, None],
        stuck: dict[Connection, float],
        threads: FileThreads,
        traffic: Traffic,
    ) -> None:
        self.traffic = traffic
        self.scope = trio.CancelScope()
        self.stream = stream
        self.machine = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.GATEWAY_HEAD_BYTES_MAX)
        self.threads = threads
        self.ours = stream.socket.getsockname()[:2]
        self.user = _user_of(stream.socket, self.ours)
        self._handle = handle
        self._idle = idle
        self._stuck = stuck

    async def run(self) -> None:
        """Answer requests until one side ends it. Raises nothing that is the client's doing."""
        try:
            with self.scope:
                while await self._one():
                    self.machine.start_next_cycle()
        except CutOff as error:
            _log.info("a connection to the gateway ends: %s", error)
        finally:
            await hang_up(self.stream)

    async def _one(self) -> bool:
        """Answer one request; return whether another may follow."""
        try:
            head = await self._next_head()
        except h11.RemoteProtocolError as error:
            await self._refuse(error.error_status_hint, "this is no HTTP request")
            return False
        except trio.TooSlowError:
            if self.machine.trailing_data[0]:
                await self._refuse(408, "the request did not come in time")
            return False
        if head is None:
            return False
        if head.http_version not in (b"1.0", b"1.1"):
            await self._refuse(505, "this is HTTP/1.1")
            return False
        answering = _Answering(self, head)
        try:
            await self._handle(answering)
        except CutOff:
            raise
        except Exception:  # noqa: BLE001  # A bug in one answer must not end the node that others use; it is logged.
            _log.exception("the gateway could not answer")
            await self._refuse(500, "internal error in the gateway: see the log of the node")
            return False
        return self.machine.our_state is h11.DONE and await self.rest_is_here()

    async def _next_head(self) -> h11.Request | None:
        """Return the next request's head; None at the end of the connection. Raises TooSlowError."""
        event = self.machine.next_event()
        if event is h11.NEED_DATA and not self.machine.trailing_data[0]:
            self._idle[self] = None
            try:
                with trio.fail_after(limits.GATEWAY_IDLE_S):
                    await self._receive_head()
            finally:
                self._idle.pop(self, None)
            event = self.machine.next_event()
        with trio.fail_after(limits.GATEWAY_HEAD_S):
            while event is h11.NEED_DATA:
                await self._receive_head()
                event = self.machine.next_event()
        return event if isinstance(event, h11.Request) else None

    async def rest_is_here(self) -> bool:
        """Read what is left of a request, if it came already: a connection with more to come is not used again."""
        while self.machine.their_state is h11.SEND_BODY:
            try:
                if self.machine.next_event() is h11.NEED_DATA:
                    return False
            except h11.RemoteProtocolError:
                return False
            await trio.lowlevel.checkpoint()  # One read can hold thousands of pieces.
        return self.machine.their_state is h11.DONE

    async def _refuse(self, status: int, message: str) -> None:
        """Say what was wrong, if nothing was said yet."""
        if self.machine.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = [("Content-Length", "0"), ("Connection", "close"), ("X-Error-Message", message)]
            await self.send(self.machine.send(_head(status, headers)))
            await self.send(self.machine.send(h11.EndOfMessage()))

    async def _receive_head(self) -> None:
        # No more than a head may have: h11 looks at its length only as long as it has not ended.
        await self.receive(limits.GATEWAY_HEAD_BYTES_MAX + 1 - len(self.machine.trailing_data[0]))

    async def receive(self, most: int = _READ_BYTES) -> None:
        with _faults():
            data = bytes(await self.stream.receive_some(most))
            self.traffic.received_bytes += len(data)
            self.machine.receive_data(data)

    async def send(self, data: bytes | memoryview | None) -> None:
        """Raises CutOff if the client takes too little of it."""
        if data:
            view = memoryview(data)
            for at in range(0, len(view), _SENT_BYTES):
                with self.waiting_for_client():
                    await self.stream.send_all(view[at : at + _SENT_BYTES])
                self.traffic.sent_bytes += len(view[at : at + _SENT_BYTES])

    @contextlib.contextmanager
    def waiting_for_client(self) -> Iterator[None]:
        """Raises CutOff if the client is gone, or takes nothing for GATEWAY_UNREAD_S."""
        self._stuck[self] = trio.current_time()
        try:
            with _faults(), _in_time():
                yield
        finally:
            self._stuck.pop(self, None)


class _Answering:
    """One request and its answer on a connection: `exchange.Exchange`."""

    def __init__(self, connection: Connection, head: h11.Request) -> None:
        headers: dict[str, str] = {}
        for raw_name, raw_value in head.headers:
            name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        self.request = Request(
            method=head.method.decode("ascii"),
            target=head.target.decode("latin-1"),
            headers=headers,
            came_to=connection.ours[0],
            user=connection.user,
        )
        self._connection = connection
        self._machine = connection.machine
        self._left: int | None = 0
        self.status = 0

    async def body(self, *, most: int) -> bytes:
        try:
            with trio.fail_after(limits.GATEWAY_BODY_S):
                async with aclosing(self.pieces(most=most)) as pieces:
                    return b"".join([piece async for piece in pieces])
        except trio.TooSlowError as exc:
            raise Refusal(408, "the body did not come in time") from exc

    async def pieces(self, *, most: int) -> AsyncGenerator[bytes, None]:
        length = 0
        if self._machine.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[])
            await self._connection.send(self._machine.send(go_on))
        while True:
            try:
                event = self._machine.next_event()
                if event is h11.NEED_DATA:
                    with trio.move_on_after(limits.GATEWAY_BODY_S) as waiting:
                        await self._connection.receive()
                    if waiting.cancelled_caught:
                        raise Refusal(408, "the body did not come in time")
                    continue
            except h11.RemoteProtocolError as exc:
                raise Refusal(400, "the body is no HTTP, or ends early") from exc
            if not isinstance(event, h11.Data):
                return
            length += len(event.data)
            if length > most:
                raise Refusal(413, f"a body here has at most {most} bytes")
            await trio.lowlevel.checkpoint()  # One read can hold thousands of pieces.
            yield bytes(event.data)

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        await self.begin(status, headers, length=len(body))
        if self._left:
            await self.send(body)

    async def begin(self, status: int, headers: Headers, *, length: int | None) -> None:
        self.status = status
        told = list(headers)
        if length is not None:  # Else the answer may be made of a body that still comes.
            told.append(("Content-Length", str(length)))
            if not await self._connection.rest_is_here():  # Untold, its client would send the next request in vain.
                told.append(("Connection", "close"))
        await self._connection.send(self._machine.send(_head(status, told)))
        self._left = 0 if self.request.method == "HEAD" else length
        await self._end_if_whole()

    async def send(self, piece: bytes | memoryview) -> None:
        if self._left is None:
            await self._connection.send(self._machine.send(h11.Data(data=bytes(piece))))
            return
        self._took(len(piece), piece)
        await self._connection.send(piece)
        await self._end_if_whole()

    async def end(self) -> None:
        self._left = 0
        await self._end_if_whole()

    async def send_file(self, descriptor: int, start: int, stop: int, unchanged: Callable[[], bool]) -> None:
        self._took(stop - start, _Span(stop - start))
        where = self._connection.stream.socket
        while start < stop:
            with self._connection.waiting_for_client():
                await trio.lowlevel.wait_writable(where)
            try:
                begun, start = start, await self._connection.threads.send(where, descriptor, start, stop, unchanged)
            except OSError as exc:
                raise CutOff(f"cannot be sent: {exc.strerror}") from exc
            self._connection.traffic.sent_bytes += start - begun
        await self._end_if_whole()

    def is_gone(self) -> bool:
        with contextlib.closing(socket.socket(fileno=os.dup(self._connection.stream.socket.fileno()))) as twin:
            try:
                return not twin.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            except BlockingIOError:
                return False
            except OSError:
                return True

    def _took(self, count: int, data: bytes | memoryview | _Span) -> None:
        """Have h11 count what is sent past it."""
        assert self._left is not None, "what has no length is framed"
        assert count <= self._left, "no more is sent than the head says"
        self._left -= count
        self._machine.send_with_data_passthrough(h11.Data(data=data))  # type: ignore[arg-type]  # It wants a length.

    async def _end_if_whole(self) -> None:
        if self._left == 0:
            await self._connection.send(self._machine.send(h11.EndOfMessage()))


class _Span:
    """So many bytes that h11 does not see."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length


def _user_of(client: trio.socket.SocketType, ours: tuple[str, int]) -> int | None:
    try:
        theirs = client.getpeername()[:2]
    except OSError:  # It has gone already.
        return NOBODY
    return user_at(ours, theirs)


def _head(status: int, headers: Headers) -> h11.Response:
    return h11.Response(status_code=status, headers=list(headers), reason=HTTPStatus(status).phrase.encode())


async def hang_up(stream: trio.SocketStream, last: bytes = b"") -> None:
    """Say `last`, and end the connection so that what was sent can be read: closed with something unread it would be
    reset. Waits for GATEWAY_GOODBYE_S at most, and not at all if cancelled."""
    try:
        with trio.move_on_after(limits.GATEWAY_GOODBYE_S), contextlib.suppress(trio.BrokenResourceError):
            if last:
                await stream.send_all(last)
            await stream.send_eof()
            while await stream.receive_some(_READ_BYTES):
                pass
    finally:
        await trio.aclose_forcefully(stream)


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    try:
        with trio.fail_after(limits.GATEWAY_UNREAD_S):
            yield
    except trio.TooSlowError as exc:
        raise CutOff("the client takes nothing") from exc


@contextlib.contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
        raise CutOff("the client is gone") from exc
