"""A libp2p host on the node's one port: proven connections to peers, and streams on them.

`open_host` starts it; everything else of libp2p's life stays inside. Addresses are dialled one by one by us, because
libp2p tries one per kind and then refuses the peer for a minute. A connection is a hint: it may look whole and be dead,
so whatever fails on it ends it, and the next call dials anew. The library is imported when this module is: 0.8 s and
60 MB, so only who needs discovery imports it. Source: docs/decisions/0040.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Protocol, TypeVar

import trio
from libp2p.abc import IMuxedConn, INetStream
from libp2p.custom_types import TProtocol
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.security.noise.exceptions import PeerIDMismatchesPubkey
from libp2p.tools.anyio_service import background_trio_service

from p2phub import limits
from p2phub.discovery import DialBudget, dialable
from p2phub.errors import Malformed, PeerError, PeerGone, WrongPeer
from p2phub.identity import Address, PeerId, SecretKey
from p2phub.net.libp2p_connections import Connection, Connections
from p2phub.net.libp2p_library import (
    Connect,
    TcpStream,
    build,
    connect_tcp,
    contain_tasks,
    dial_tcp,
    libp2p_id_of,
    peer_id_of,
)
from p2phub.net.libp2p_stream import Stream

log = logging.getLogger("p2phub.libp2p")
T = TypeVar("T")
OnStream = Callable[[Stream], Awaitable[None]]
_CLOSE_ALL_S = 0.5


class Port(Protocol):
    """What the host needs of the node's listener."""

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where the node can be dialled."""

    def on_multistream(self, handler: Callable[[trio.SocketStream], Awaitable[None]] | None) -> None:
        """Set who gets connections that begin as multistream does; None: nobody."""


class Host:
    """A running host. Made by `open_host`; all calls may run at the same time."""

    def __init__(self, key: SecretKey, port: Port | None, connect: Connect, nursery: trio.Nursery) -> None:
        self.peer_id = key.peer_id
        self.budget = DialBudget()
        self._port = port
        self._connect = connect
        self._nursery = nursery
        self._host = build(key, self._overflow)
        self._swarm = self._host.get_network()
        self._connections = Connections(self._host)
        self._dialling: dict[PeerId, trio.Lock] = {}
        self._shaking_hands: dict[trio.CancelScope, None] = {}

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where this node listens, which may be "any address" (0.0.0.0); nothing if it does not."""
        return self._port.addresses if self._port is not None else ()

    @property
    def protocols(self) -> tuple[str, ...]:
        """What is answered here."""
        return tuple(str(protocol) for protocol in self._host.multiselect.handlers)

    def connected(self) -> tuple[PeerId, ...]:
        """Return the peers that we have a connection to, which may be dead. Who came with a key of another kind than
        ours is none of them: such a one can connect, and is answered nothing."""
        found: list[PeerId] = []
        for each in self._host.get_connected_peers():
            with suppress(Malformed):
                found.append(peer_id_of(each))
        return tuple(found)

    def remote_ip(self, peer: PeerId) -> str | None:
        """Return the IP address of the other end of a connection to `peer`, None if there is none."""
        return next((known.address.ip for known in self._connections.to(peer)), None)

    def dialled(self, peer: PeerId) -> Address | None:
        """Return the address at which we dialled `peer` and it proved who it is, if that connection stands."""
        return next((known.address for known in self._connections.to(peer) if known.dialled), None)

    async def reach(self, peer: PeerId, addresses: Iterable[Address], *, heard_from: str | None = None) -> Address:
        """Make sure of a connection to `peer`; return the address of its other end.

        Dials `addresses` in turn unless there is a connection. `heard_from`: the IP address of who named them, None if
        the user did. Raises PeerGone, or WrongPeer if somebody else answered.
        """
        for known in self._connections.to(peer):
            return known.address
        async with self._dialling_alone(peer):
            for known in self._connections.to(peer):  # Somebody else may have dialled meanwhile.
                return known.address
            return await self._dial(peer, addresses, heard_from)

    async def prove(self, peer: PeerId, addresses: Iterable[Address], *, heard_from: str | None) -> Address:
        """Dial `peer` even if it is connected to us, and return the address where it proved who it is.

        Raises PeerGone or WrongPeer.
        """
        proven = self.dialled(peer)
        if proven is not None:
            return proven
        async with self._dialling_alone(peer):
            return await self._dial(peer, addresses, heard_from)

    async def open_stream(
        self, peer: PeerId, addresses: Iterable[Address], protocol: str, *, heard_from: str | None = None
    ) -> Stream:
        """Return a new stream to `peer` that speaks `protocol`, dialling if need be. Raises PeerGone or WrongPeer."""
        address = await self.reach(peer, addresses, heard_from=heard_from)

        async def open_one() -> INetStream:
            return await self._host.new_stream(libp2p_id_of(peer), [TProtocol(protocol)])

        try:
            raw = await self.run_apart(None, open_one, limits.DHT_RPC_S, undo=lambda unwanted: unwanted.reset())
        except PeerGone as exc:
            # Refused protocol or dead connection cannot be told apart for sure; only silence ends the connection.
            if isinstance(exc.__cause__, trio.TooSlowError):
                await self.drop(peer)
            raise PeerGone(f"no stream to {peer}: {exc}", peer=str(peer)) from exc
        self._connections.touch(raw.muxed_conn)
        return Stream(self, raw, peer, address)

    def on_stream(self, protocol: str, handler: OnStream) -> None:
        """Answer streams of `protocol` by `handler`, which may raise PeerError freely. A later one replaces it."""

        async def handle(raw: INetStream) -> None:
            known = self._connections.of(raw.muxed_conn)
            remote = raw.muxed_conn.get_remote_address()  # type: ignore[attr-defined]
            if remote is None:
                await raw.reset()
                return
            self._connections.touch(raw.muxed_conn)
            try:
                peer = peer_id_of(raw.muxed_conn.peer_id)
            except Malformed:
                await raw.reset()
                return
            stream = Stream(self, raw, peer, known.address if known is not None else Address(*remote))
            try:
                await handler(stream)
            except PeerGone:
                await stream.abort()

        self._host.set_stream_handler(TProtocol(protocol), handle)

    async def drop(self, peer: PeerId) -> None:
        """End all connections to `peer`."""
        await self._connections.end_peer(peer)

    def start(self, work: Callable[..., Awaitable[object]], *args: object) -> None:
        """Run `work` as a task of the host, which ends with it. What it raises ends that task and no other: strangers
        decide what it meets, and the whole node stands on the host. A bug is still seen, in the log."""

        async def alone() -> None:
            try:
                await work(*args)
            except PeerError as exc:
                log.debug("%s: %s", work, exc)
            except Exception:
                log.exception("a fault of our own ended %s", work)

        self._nursery.start_soon(alone)

    async def run_apart(
        self,
        muxed: IMuxedConn | None,
        work: Callable[[], Awaitable[T]],
        seconds: float,
        *,
        undo: Callable[[T], Awaitable[None]] | None = None,
    ) -> T:
        """Run a call of the library so that a cancelled caller does not cut it off in the middle.

        Returns its value, or gives it to `undo` if the caller was cancelled meanwhile. Raises PeerGone for whatever it
        raises; if it takes longer than `seconds` the connection `muxed` is ended: a call cut off leaves it broken.
        """
        values: list[T] = []
        errors: list[Exception] = []
        finished = trio.Event()
        wanted = True

        async def call() -> None:
            try:
                with trio.fail_after(seconds):
                    values.append(await work())
                    if not wanted and undo is not None:
                        await undo(values[0])
            except Exception as exc:  # noqa: BLE001 - the library raises many kinds; all mean that the peer is gone.
                errors.append(exc)
                if isinstance(exc, trio.TooSlowError) and muxed is not None:
                    self.start(self._connections.end_muxed, muxed)
            finally:
                finished.set()

        self._nursery.start_soon(call)
        try:
            await finished.wait()
        except trio.Cancelled:
            wanted = False
            if values and undo is not None:  # It ended at the same moment.
                self.start(self.run_apart, muxed, partial(undo, values[0]), limits.GOODBYE_S)
            raise
        if values:
            return values[0]
        if errors:
            raise PeerGone(_why(errors[0])) from errors[0]
        raise PeerGone("this node is closing")

    async def accept(self, socket: trio.SocketStream) -> None:
        """Take a connection that came in on the node's port; return when it has ended. Never raises for its faults.

        Of those in the middle of their handshake there is a bounded number; the oldest gives way to the newest, so that
        strangers who begin and then say nothing do not keep out one who goes on.
        """
        if len(self._shaking_hands) >= limits.LIBP2P_HANDSHAKES_MAX:
            next(iter(self._shaking_hands)).cancel()
        scope = trio.CancelScope()
        self._shaking_hands[scope] = None
        try:
            stream = TcpStream(socket)
            with scope:
                raw = RawConnection(stream, False)
                # The second argument is for a log line that nobody reads.
                muxed = await self._swarm.upgrade_inbound_raw_conn(raw, stream.remote)
            if not scope.cancelled_caught:
                del self._shaking_hands[scope]
                self._connections.add(muxed, Connection(stream, stream.remote, False, trio.current_time()))
                self.start(self._connections.keep_within, muxed)
                await self._connections.attend(muxed)
        except Exception as exc:  # noqa: BLE001 - whatever a stranger's handshake did, it is about this socket only.
            log.debug("a connection that came in: %r", exc)
        finally:
            self._shaking_hands.pop(scope, None)
            await trio.aclose_forcefully(socket)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled. For `open_host`."""
        async with background_trio_service(self._swarm) as manager:
            contain_tasks(manager)
            if self._port is not None:
                self._port.on_multistream(self.accept)
            task_status.started()
            try:
                await self._connections.end_idle()
            finally:
                if self._port is not None:
                    self._port.on_multistream(None)
                with trio.move_on_after(_CLOSE_ALL_S, shield=True):
                    await self._connections.end_all()

    @asynccontextmanager
    async def _dialling_alone(self, peer: PeerId) -> AsyncIterator[None]:
        """Let one caller at a time dial `peer`; the last takes the lock along, or strangers' names pile up."""
        lock = self._dialling.setdefault(peer, trio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked() and self._dialling.get(peer) is lock:  # Locked still, for the next, if anybody waits.
                del self._dialling[peer]

    async def _dial(self, peer: PeerId, addresses: Iterable[Address], heard_from: str | None) -> Address:
        wanted = libp2p_id_of(peer)
        failures: list[str] = []
        wrong: WrongPeer | None = None
        tried = dialable(addresses, heard_from=heard_from)
        for address in tried:
            if heard_from is not None and not self.budget.allow(address, now=trio.current_time()):
                failures.append(f"{address}: dialled too often lately")
                continue

            async def dial_one(target: Address = address) -> IMuxedConn:
                stream = await dial_tcp(target, self._connect)
                try:
                    raw = RawConnection(stream, True)
                    connection = await self._swarm.upgrade_outbound_raw_conn(raw, wanted)
                except BaseException:
                    await trio.aclose_forcefully(stream.stream)
                    raise
                # Here, not below: whoever asked for the dial may have been cancelled meanwhile.
                muxed: IMuxedConn = connection.muxed_conn
                self._connections.add(muxed, Connection(stream, target, True, trio.current_time()))
                self.start(self._connections.attend, muxed)
                return muxed

            try:
                muxed = await self.run_apart(None, dial_one, limits.DIAL_S + limits.HANDSHAKE_S)
            except PeerGone as exc:
                failures.append(f"{address}: {exc.message}")
                if _is_wrong_peer(exc):
                    wrong = WrongPeer(f"somebody else than {peer} answers at {address}", peer=str(peer))
                continue
            self.budget.proved(address)
            if not await self._connections.keep_within(muxed):
                raise PeerGone("this node has too many connections", peer=str(peer))
            return address
        if wrong is not None and len(failures) == 1:
            raise wrong
        reason = "; ".join(failures) or "it has no address that may be dialled"
        raise PeerGone(f"cannot reach {peer}: {reason}", peer=str(peer))

    def _overflow(self, muxed: IMuxedConn) -> None:
        self.start(self._connections.end_muxed, muxed)


@asynccontextmanager
async def open_host(key: SecretKey, port: Port | None = None, *, connect: Connect = connect_tcp) -> AsyncIterator[Host]:
    """Run a host of `key` on `port`, or one that only dials if there is none, until the block ends. `connect`: how."""
    async with until_end() as nursery:
        host = Host(key, port, connect, nursery)
        await nursery.start(host.run)
        yield host


@asynccontextmanager
async def until_end() -> AsyncIterator[trio.Nursery]:
    """A nursery for what runs until the block ends."""
    error: Exception | None = None
    async with trio.open_nursery() as nursery:
        try:
            yield nursery
        except Exception as exc:  # noqa: BLE001 - the caller's own, raised again below as it was, without a group.
            error = exc
        finally:
            nursery.cancel_scope.cancel()
    if error is not None:
        raise error


def _causes(error: BaseException) -> list[BaseException]:
    causes = [error]
    while causes[-1].__cause__ is not None and len(causes) < 8:
        causes.append(causes[-1].__cause__)
    return causes


def _is_wrong_peer(error: BaseException) -> bool:
    return any(isinstance(each, PeerIDMismatchesPubkey) or "ID mismatch" in str(each) for each in _causes(error))


def _why(error: BaseException) -> str:
    """Return what lies at the bottom of a chain of the library's errors, in one line."""
    if isinstance(error, trio.TooSlowError):
        return "no answer in time"
    last = _causes(error)[-1]
    text = str(last).strip() or type(last).__name__
    return text.splitlines()[0][:200]
