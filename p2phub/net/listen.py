"""One port for everything: listens, and tells by a connection's first byte whose it is.

0x16 begins a TLS handshake (the direct carrier), 0x13 multistream-select (libp2p, if it was loaded); anything else is
closed. A connection is undecided until its handler says that it is settled; of those there is a bounded number, and the
oldest gives way to the newest, so that strangers who say nothing cannot keep out one who does.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import math
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import trio

from p2phub import limits
from p2phub.errors import UsageError
from p2phub.identity import Address

_log = logging.getLogger(__name__)
_TLS, _MULTISTREAM = b"\x16", b"\x13"
_BACKLOG = 1024
_ACCEPTED_AT_ONCE = 64
_RETRY_S = 0.1
_WARN_EVERY_S = 60.0
OUR_LIMITS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""What the system says where it has no more sockets or memory for us: nobody at the other end is to blame."""

Handler = Callable[[trio.SocketStream, Callable[[], None]], Awaitable[None]]
"""Serves a connection to its end and closes it. The second argument is called once the other end is worth its place."""


class Listener:
    """The open port. `addresses` are those really bound, in the order asked for."""

    def __init__(self, addresses: Sequence[Address], direct: Handler) -> None:
        self.addresses = tuple(addresses)
        self.multistream: Handler | None = None
        self._direct = direct
        self._undecided: dict[trio.CancelScope, None] = {}
        self._open = 0
        self._sources: Counter[str] = Counter()
        self._warned_at = -math.inf

    @property
    def connections(self) -> int:
        """How many accepted connections are open, decided or not."""
        return self._open

    @property
    def undecided(self) -> int:
        """How many of them have not shown yet what they are."""
        return len(self._undecided)

    async def accept(self, listener: socket.socket, nursery: trio.Nursery) -> None:
        """Accept connections until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(listener.fileno())
            for _ in range(_ACCEPTED_AT_ONCE):
                try:
                    sock, _ = listener.accept()
                except BlockingIOError:
                    break
                except OSError as exc:
                    if exc.errno in OUR_LIMITS:
                        if trio.current_time() >= self._warned_at + _WARN_EVERY_S:  # A flood must not fill the log.
                            self._warned_at = trio.current_time()
                            _log.warning("cannot accept connections now: %s", exc.strerror)
                        await trio.sleep(_RETRY_S)
                        break
                    continue  # A fault of the one that was coming in: it is gone.
                self._admit(sock, nursery)
            # Room for those who were let in to say something, or the oldest of a flood would give way unheard.
            await trio.lowlevel.checkpoint()

    def _admit(self, sock: socket.socket, nursery: trio.Nursery) -> None:
        source = _source(sock)
        if source is not None and self._sources[source] >= limits.CONNECTIONS_PER_ADDRESS_MAX:
            sock.close()
            return
        try:
            sock.setblocking(False)
            stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        except OSError:  # Gone already.
            sock.close()
            return
        if len(self._undecided) >= limits.UNDECIDED_CONNECTIONS_MAX:
            oldest = next(iter(self._undecided))
            self._settle(oldest)  # It is as good as gone, so the next one in has another to push out.
            oldest.cancel()
        scope = trio.CancelScope()
        self._undecided[scope] = None
        self._open += 1
        if source is not None:
            self._sources[source] += 1
        nursery.start_soon(self._serve, stream, source, scope)

    async def _serve(self, stream: trio.SocketStream, source: str | None, scope: trio.CancelScope) -> None:
        try:
            with scope:
                await self._decide(stream, lambda: self._settle(scope))
        except Exception:  # noqa: BLE001  # A stranger's connection must never end the node, whatever fault it finds.
            _log.exception("a fault of our own ended a connection")
        finally:
            self._settle(scope)
            self._open -= 1
            if source is not None:
                self._sources[source] -= 1
                if not self._sources[source]:
                    del self._sources[source]
            stream.socket.close()

    def _settle(self, scope: trio.CancelScope) -> None:
        self._undecided.pop(scope, None)

    async def _decide(self, stream: trio.SocketStream, settled: Callable[[], None]) -> None:
        first = b""
        with trio.move_on_after(limits.FIRST_BYTE_S):
            try:
                first = await stream.socket.recv(1, socket.MSG_PEEK)
            except OSError:
                return
        if first == _TLS:
            await self._direct(stream, settled)
        elif first == _MULTISTREAM and self.multistream is not None:
            await self.multistream(stream, settled)


@asynccontextmanager
async def open_listener(addresses: Sequence[Address], direct: Handler) -> AsyncIterator[Listener]:
    """Listen on `addresses` (port 0: any free one) and serve what comes. On the way out every connection ends.

    Set `multistream` of what this yields to serve libp2p too. Raises UsageError if an address cannot be bound.
    """
    listeners: list[socket.socket] = []
    try:
        for address in addresses:
            listeners.append(_bind(address))
        bound = [_bound(listener) for listener in listeners]
        served = Listener(bound, direct)
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(served.accept, listener, nursery)
            try:
                yield served
            finally:
                nursery.cancel_scope.cancel()
    finally:
        for listener in listeners:
            listener.close()


def _bind(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.ip else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as exc:
        raise UsageError(f"cannot listen on {address}: {exc.strerror}") from exc
    try:
        # Lets a restarted node have its port while old connections linger; never two nodes on one (SO_REUSEPORT would).
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address.ip, address.port))
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except OSError as exc:
        sock.close()
        message, hint = _why_not(exc, address)
        raise UsageError(message, hint=hint) from exc
    return sock


def _why_not(error: OSError, address: Address) -> tuple[str, str]:
    """Return what to say of an address that cannot be listened on, and what to try."""
    ip = f"[{address.ip}]" if ":" in address.ip else address.ip
    if error.errno == errno.EADDRINUSE:
        hint = f"perhaps by another node: `ss -ltnp` shows by what; another port, or 0 for any: --listen {ip}:0"
        return f"port {address.port} of {address.ip} is in use", hint
    hint = f"choose another: --listen {ip}:4717"
    if error.errno == errno.EADDRNOTAVAIL:
        hint = "it is no address of this machine (`ip addr` shows them); --listen 0.0.0.0:4717 means all that are"
    elif error.errno == errno.EACCES:
        hint = f"ports below 1024 are for root; --listen {ip}:4717 is not"
    return f"cannot listen on {address}: {error.strerror}", hint


def _bound(listener: socket.socket) -> Address:
    ip, port = listener.getsockname()[:2]
    return Address(ip, port)


def _source(sock: socket.socket) -> str | None:
    """Return what connections are counted by: an IPv4 address or an IPv6 /56; None if they are not counted."""
    try:
        ip = sock.getpeername()[0]
    except OSError:
        return None  # Gone already; reading will say so.
    number = ipaddress.ip_address(ip.partition("%")[0])
    if not number.is_global:
        return None
    if number.version == 4:
        return str(number)
    return str(ipaddress.ip_network((int(number), 56), strict=False))
