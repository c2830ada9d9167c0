"""One HTTP/1.1 connection, as a client: a request, its answer's head, then its body piece by piece, into our hands.

h11 keeps the protocol's state and bounds heads; this moves bytes between it and a trio stream. A body whose length its
head says goes past h11, which would copy it twice over. No cookies, no proxy, no decoding, no redirects: who asks
decides. The address was checked before (`mirror_address`); the name is for Host, SNI and the certificate alone. Every
wait is bounded; an exchange as a whole is bounded by the caller.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import h11
import trio

from p2phub import limits
from p2phub.errors import PeerGone, PeerStalled
from p2phub.identity import Address, WebUrl

MakeTls = Callable[[], ssl.SSLContext]
_READ_BYTES = 1024 * limits.KIB
USER_AGENT = "p2phub"


class HttpConnection:
    """Made by `connect`. Used by one task at a time; after an error it is closed, never used again."""

    def __init__(self, stream: trio.abc.Stream, address: Address) -> None:
        self.address = address
        self._stream = stream
        self._machine = _machine()
        self._left: int | None = None
        """How much is to come of a body that goes past h11; None where it goes through."""
        self._stays = False

    async def ask(self, url: WebUrl, *, method: str = "GET", headers: Sequence[tuple[str, str]] = ()) -> h11.Response:
        """Send a request and return the head of its answer. Raises PeerGone, PeerStalled."""
        always = [("Host", url.authority), ("User-Agent", USER_AGENT), ("Accept-Encoding", "identity")]
        request = h11.Request(method=method, target=url.target, headers=[*always, *headers])
        data = (self._machine.send(request) or b"") + (self._machine.send(h11.EndOfMessage()) or b"")
        with _faults():
            await self._stream.send_all(data)
            for _ in range(limits.MIRROR_INTERIM_ANSWERS_MAX + 1):
                event = await self._next_event()
                if isinstance(event, h11.Response):
                    self._left = _length_of(event) if method == "GET" else None
                    self._stays = _stays_open(event)
                    return event
        raise PeerGone("it says without end that its answer will come")

    async def next_piece(self) -> bytes | bytearray | None:
        """Return the next bytes of the body, None at its end. Raises PeerGone if it ends early, PeerStalled."""
        with _faults():
            if self._left is None:
                event = await self._next_event()
                return event.data if isinstance(event, h11.Data) else None
            if not self._left:
                return None
            piece = await self._next_of_body()
            self._left -= len(piece)
            return piece

    def next_cycle(self) -> bool:
        """Be done with an exchange whose body was read to the end; return whether another may follow."""
        if self._left is not None:
            if self._left or not self._stays or self._machine.trailing_data[0]:
                return False
            self._machine, self._left = _machine(), None
            return True
        if self._machine.our_state is not h11.DONE or self._machine.their_state is not h11.DONE:
            return False
        if self._machine.trailing_data[0]:
            return False  # It sends what nobody asked for.
        self._machine.start_next_cycle()
        return True

    async def aclose(self) -> None:
        await trio.aclose_forcefully(self._stream)

    async def _next_of_body(self) -> bytes | bytearray:
        """Return the next of a body that goes past h11, first what that was given with the head."""
        assert self._left is not None
        event = self._machine.next_event()
        if isinstance(event, h11.Data):
            return event.data
        with trio.fail_after(limits.SOCKET_CALL_S):
            data = await self._stream.receive_some(min(_READ_BYTES, self._left))
        if not data:
            raise PeerGone(f"its answer ends early, {self._left} bytes too soon")
        return data

    async def _next_event(self) -> h11.Event | type[h11.PAUSED]:
        # One read can hold thousands of events (a body in chunks of a byte): others have their turn between them.
        await trio.lowlevel.checkpoint()
        while True:
            event = self._machine.next_event()
            if event is not h11.NEED_DATA:
                return event  # type: ignore[return-value]  # h11's type of NEED_DATA does not narrow.
            # No more than a head may have: h11 looks at its length only as long as it has not ended, and takes a second
            # for a mebibyte of headers.
            most = limits.MIRROR_HEADER_BYTES_MAX + 1 - len(self._machine.trailing_data[0])
            with trio.fail_after(limits.SOCKET_CALL_S):
                data = await self._stream.receive_some(most)
            if not data and self._machine.their_state is h11.SEND_RESPONSE:
                raise PeerGone("it closed the connection in place of an answer")
            self._machine.receive_data(data)  # type: ignore[arg-type]  # It takes a bytearray as well.


async def connect(url: WebUrl, address: Address, make_tls: MakeTls) -> HttpConnection:
    """Connect to `address`, which is where `url` is. Raises PeerGone, PeerStalled."""
    with _faults():
        with trio.fail_after(limits.DIAL_S):
            stream: trio.abc.Stream = await trio.open_tcp_stream(address.ip, address.port)
        if url.scheme == "https":
            secured = trio.SSLStream(stream, make_tls(), server_hostname=url.host, https_compatible=True)
            try:
                with trio.fail_after(limits.HANDSHAKE_S):
                    await secured.do_handshake()
            except BaseException:
                await trio.aclose_forcefully(stream)
                raise
            stream = secured
    return HttpConnection(stream, address)


def _length_of(head: h11.Response) -> int | None:
    """Return the length of a body that comes as it is; None where h11 has to say where it ends."""
    lengths = [value for name, value in head.headers if name == b"content-length"]
    is_plain = head.status_code in (200, 206) and not any(name == b"transfer-encoding" for name, _ in head.headers)
    is_number = len(lengths) == 1 and lengths[0].isdigit() and len(lengths[0]) <= 18
    return int(lengths[0]) if is_plain and is_number else None


def _stays_open(head: h11.Response) -> bool:
    tokens = b",".join(value for name, value in head.headers if name == b"connection").lower().split(b",")
    return head.http_version == b"1.1" and b"close" not in map(bytes.strip, tokens)


def _machine() -> h11.Connection:
    return h11.Connection(h11.CLIENT, max_incomplete_event_size=limits.MIRROR_HEADER_BYTES_MAX)


@contextmanager
def _faults() -> Iterator[None]:
    """Tell what ends a connection as faults of whoever is at its other end."""
    try:
        yield
    except trio.TooSlowError as exc:
        raise PeerStalled("no answer in time") from exc
    except h11.RemoteProtocolError as exc:
        raise PeerGone(f"its answer is no HTTP, or ends early: {str(exc)[:200]}") from exc
    except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as exc:
        why = exc.__cause__ if isinstance(exc, trio.BrokenResourceError) and exc.__cause__ is not None else exc
        raise PeerGone(f"the connection failed: {str(why)[:200] or type(why).__name__}") from exc
