"""The direct carrier: TLS over TCP to an address, both ends proven, bulk bytes in blocking threads of this process.

`open_plane` is the door: the plane dials (`net.interface.Dialler`) and serves connections that `net.listen` accepts.
TLS and certificates are loaded with the first connection: most commands make none, and it takes a fifth of their time.
Source: proto/transfer.md; figures and reasons: docs/decisions/0020.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING

import trio

from p2phub import limits
from p2phub.content import Digest
from p2phub.errors import DiskError, PeerError, PeerGone
from p2phub.identity import Address, PeerAddress, SecretKey
from p2phub.net.alone import alone
from p2phub.net.channel import Watched
from p2phub.net.control import ControlConnection
from p2phub.net.interface import AnswerControl, Shelf
from p2phub.net.link import BulkLink
from p2phub.net.links import Links
from p2phub.net.listen import OUR_LIMITS
from p2phub.net.reception import Reception
from p2phub.net.throttle import Caps
from p2phub.net.waiting import within
from p2phub.wire import BulkRequester

if TYPE_CHECKING:
    from OpenSSL import SSL

    from p2phub.net.credential import Credential
    from p2phub.net.tls import TlsConnection

_log = logging.getLogger(__name__)
_RECEIVE_BUFFER_BYTES = 4 * limits.MIB
_AT_A_LIMIT = "this machine is at a limit"


class DirectPlane:
    """Dials peers, and serves those who dialled us. Made by `open_plane`."""

    def __init__(self, who: Credential | SecretKey, links: Links, reception: Reception) -> None:
        """`who`: the credential to show, or the key that makes one when it is first needed."""
        self._who = who
        self._links, self._reception = links, reception

    @cached_property
    def credential(self) -> Credential:
        from p2phub.net.credential import make_credential

        return make_credential(self._who) if isinstance(self._who, SecretKey) else self._who

    @cached_property
    def _context(self) -> SSL.Context:
        from p2phub.net import tls

        return tls.make_context(self.credential)

    def get_ready(self) -> None:
        """Load what the first connection needs, for whoever will have some. Blocks for a tenth of a second."""
        assert self._context is not None

    @property
    def links(self) -> Links:
        """Where links of other carriers of this node may run too."""
        return self._links

    @property
    def reception(self) -> Reception:
        """Who serves proven connections, those of other carriers too."""
        return self._reception

    async def handle(self, stream: trio.SocketStream, settled: Callable[[], None] = lambda: None) -> None:
        """Serve one accepted TCP connection to its end. Nothing is read as a request before the peer is proven.

        `settled` is called when handshake and first frame are done. An error ends this connection only.
        """
        from p2phub.net import tls

        sock = take_socket(stream)
        try:
            address = _address_of(sock)
            tls.tune(sock)
            with trio.fail_after(limits.HANDSHAKE_S) as patience:

                def proven() -> None:
                    patience.deadline = float("inf")
                    settled()

                connection = await tls.accept(self._context, sock, address)
                await self._reception.receive(connection, proven)
        except (PeerError, OSError, trio.TooSlowError) as exc:
            _log.debug("a connection ended: %s", exc)
        except DiskError as exc:  # Ours to mend; but strangers can have it said as often as they like.
            _log.info("a connection ended: %s", exc)
        except Exception:  # noqa: BLE001  # A stranger's connection must never end the node, whatever fault it finds.
            _log.exception("a fault of our own ended a connection")
        finally:
            sock.close()

    async def open_link(self, provider: PeerAddress, manifest: Digest, *, prefix_bytes: int, via: str) -> BulkLink:
        """Connect, prove both identities, send Open. Raises PeerGone, WrongPeer."""
        machine = BulkRequester(manifest, prefix_bytes, peer=str(provider.peer))
        connection = await self._connect(provider, bulk=True)
        try:
            with within(limits.HANDSHAKE_S, provider):
                await connection.write(machine.open())
            channel = connection.as_channel()
        except OSError as exc:
            await connection.aclose()
            raise PeerGone(f"no thread for {provider.address}: {exc.strerror}", hint=_AT_A_LIMIT) from exc
        except BaseException:
            await connection.aclose()
            raise
        return self._links.start(channel, machine, provider.address, via)

    async def open_control(self, peer: PeerAddress) -> ControlConnection:
        """Open a control connection. Raises PeerGone, WrongPeer."""
        return ControlConnection(await self._connect(peer, bulk=False))

    async def _connect(self, peer: PeerAddress, *, bulk: bool) -> TlsConnection:
        from p2phub.net import tls

        with within(limits.DIAL_S, peer):
            sock = await _dial(peer.address, bulk=bulk)
        try:
            with within(limits.HANDSHAKE_S, peer), alone("a dial", peer.peer):
                return await tls.connect(self._context, sock, peer.address, peer.peer)
        except BaseException:
            sock.close()
            raise


@asynccontextmanager
async def open_plane(
    key: SecretKey, shelf: Shelf, answer: AnswerControl, caps: Caps | None = None
) -> AsyncIterator[DirectPlane]:
    """Run a direct plane as the node that `key` is, within `caps`. On the way out every connection ends."""
    async with run_plane(key, shelf, answer, caps) as plane:
        yield plane


@asynccontextmanager
async def run_plane(
    who: Credential | SecretKey, shelf: Shelf, answer: AnswerControl, caps: Caps | None = None
) -> AsyncIterator[DirectPlane]:
    """As `open_plane`, also for whoever has a credential of the node and not its key."""
    watched, caps = Watched(), caps or Caps()
    async with trio.open_nursery() as nursery:
        links = Links(nursery, watched, caps.down)
        plane = DirectPlane(who, links, Reception(shelf, answer, watched, up=caps.up))
        nursery.start_soon(links.keep_looking)
        try:
            yield plane
        finally:
            nursery.cancel_scope.cancel()


async def _dial(address: Address, *, bulk: bool) -> socket.socket:
    """Return a connected, non-blocking socket. Raises PeerGone."""
    from p2phub.net import tls

    sock = _new_socket(address, bulk=bulk)
    try:
        tls.tune(sock)
        wrapped = trio.socket.from_stdlib_socket(sock)
        await wrapped.connect((address.ip, address.port))
    except OSError as exc:
        sock.close()
        # Not what trio says, which names the address once more.
        why = os.strerror(exc.errno) if exc.errno else str(exc)
        raise PeerGone(
            f"no connection to {address}: {why}", hint=_AT_A_LIMIT if exc.errno in OUR_LIMITS else None
        ) from exc
    except BaseException:
        sock.close()
        raise
    return sock


def _new_socket(address: Address, *, bulk: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.ip else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as exc:
        raise PeerGone(f"no socket for {address}: {exc.strerror}", hint=_AT_A_LIMIT) from exc
    sock.setblocking(False)
    if not (bulk and _is_near(address)):
        return sock
    # Near, a large fixed buffer is 11 % faster. Far, and where less is granted, the kernel's own tuning is better,
    # which asking switches off: then take a socket that was never asked.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
    if sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= _RECEIVE_BUFFER_BYTES:
        return sock
    sock.close()
    return _new_socket(address, bulk=False)


def _is_near(address: Address) -> bool:
    """Whether an address is of this machine or this network, where a round trip is far below 2 ms."""
    number = ipaddress.ip_address(address.ip)
    return number.is_loopback or number.is_private


def take_socket(stream: trio.SocketStream) -> socket.socket:
    """Take the socket out of trio's hands; it stays non-blocking."""
    held = stream.socket
    return socket.socket(held.family, held.type, held.proto, fileno=held.detach())


def _address_of(sock: socket.socket) -> Address:
    ip, port = sock.getpeername()[:2]
    return Address(str(ipaddress.ip_address(ip.partition("%")[0])), port)
