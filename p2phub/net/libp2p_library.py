"""libp2p made safe to stand on: what is built from it, what is left out, and what is changed.

Built by hand from the parts that are needed (Noise, Yamux, multistream) instead of by `new_host`, which offers
plaintext, dials peers on its own account and answers more protocols than we speak. TCP is ours in both directions: a
libp2p listener keeps one of its places for every connection that ever came, so that a node goes deaf after 250 of them,
and a libp2p dial tries one address of a peer, waits 250 ms after success and then refuses the peer for a minute.
Each change below says what goes wrong without it and when it can go; tests/integration/test_libp2p_guards.py shows each
one at work. Source: docs/decisions/0040.
"""

from __future__ import annotations

import functools
import ipaddress
import logging
import socket
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from libp2p.abc import IMuxedConn, INetStream, ISecureConn
from libp2p.crypto.ed25519 import Ed25519PrivateKey
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.x25519 import create_new_key_pair as new_noise_key
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.identity.identify.identify import identify_handler_for
from libp2p.io.trio import TrioTCPStream
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.network.connection import swarm_connection
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.stream_muxer.yamux.yamux import Yamux
from libp2p.transport.upgrader import TransportUpgrader

from p2phub import limits
from p2phub.identity import Address, PeerId, SecretKey

log = logging.getLogger("p2phub.libp2p")


def peer_id_of(libp2p_id: ID) -> PeerId:
    """Return libp2p's peer id as ours. Raises Malformed for one that is no Ed25519 key."""
    from p2phub.identity import peer_id_of_bytes

    return peer_id_of_bytes(libp2p_id.to_bytes())


def libp2p_id_of(peer: PeerId) -> ID:
    return ID(peer.raw)


def plain_ip(text: str) -> str:
    """Return an IP address as `Address` wants it: without zone, and IPv4 as IPv4 where a dual-stack socket names it."""
    number = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(number, "ipv4_mapped", None)
    return str(mapped or number)


class TcpStream(TrioTCPStream):
    """A TCP connection that knows who is at the other end, for IPv6 too.

    libp2p takes a socket's address for a pair, which IPv6's is not, and then knows no address at all.
    Can go when `TrioTCPStream.get_remote_address` answers for IPv6.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        super().__init__(stream)
        host, port = stream.socket.getpeername()[:2]
        self.remote = Address(plain_ip(host), port)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(limits.SOCKET_CALL_S * 1000))

    def get_remote_address(self) -> tuple[str, int]:
        return self.remote.ip, self.remote.port


Connect = Callable[[Address], Awaitable[trio.SocketStream]]
"""Opens a connection to where an address says. Raises OSError."""


async def connect_tcp(address: Address) -> trio.SocketStream:
    return await trio.open_tcp_stream(address.ip, address.port)


async def dial_tcp(address: Address, connect: Connect) -> TcpStream:
    """Connect within DIAL_S. Raises OSError or trio.TooSlowError."""
    with trio.fail_after(limits.DIAL_S):
        socket_stream = await connect(address)
    try:
        return TcpStream(socket_stream)
    except OSError:
        await trio.aclose_forcefully(socket_stream)
        raise


class _BoundedBuffer(bytearray):
    """What arrived on one stream and was not read; refuses to grow beyond what its connection may hold."""

    buffers: _BoundedBuffers

    def extend(self, data: Any) -> None:
        self.buffers.check(len(data))
        super().extend(data)


class _BoundedBuffers(dict[int, bytearray]):
    """The receive buffers of one connection, by stream: at most LIBP2P_STREAMS_PER_CONNECTION_MAX streams, and
    LIBP2P_BUFFERED_BYTES_MAX bytes in all of them.

    Yamux only logs when a peer ignores its window, and keeps what it sends: one stream that nobody reads fills the
    memory. Nor does it count the streams that a peer opens. Going beyond either bound ends the connection.
    Can go when Yamux enforces its receive window and has a bound on streams.
    """

    def __init__(self, overflow: Callable[[], None]) -> None:
        super().__init__()
        self._overflow = overflow

    def __setitem__(self, stream: int, buffer: bytearray) -> None:
        if len(self) >= limits.LIBP2P_STREAMS_PER_CONNECTION_MAX:
            self._overflow()
            raise OSError("too many streams on one connection")  # An OSError makes Yamux end the connection.
        bounded = _BoundedBuffer(buffer)
        bounded.buffers = self
        super().__setitem__(stream, bounded)

    def check(self, more: int) -> None:
        if sum(map(len, self.values())) + more > limits.LIBP2P_BUFFERED_BYTES_MAX:
            self._overflow()
            raise OSError("the peer sends more than its window")


class Upgrader(TransportUpgrader):
    """Noise, then Yamux with bounded buffers."""

    def __init__(self, key: KeyPair, overflow: Callable[[IMuxedConn], None]) -> None:
        noise = Noise(key, noise_privkey=new_noise_key().private_key)
        super().__init__({NOISE: noise}, {TProtocol(YAMUX): Yamux}, negotiate_timeout=int(limits.HANDSHAKE_S))
        self._overflow = overflow

    async def upgrade_connection(self, conn: ISecureConn, peer_id: ID) -> IMuxedConn:
        muxed = await super().upgrade_connection(conn, peer_id)
        muxed.stream_buffers = _BoundedBuffers(functools.partial(self._overflow, muxed))  # type: ignore[attr-defined]
        return muxed


class GuardedHost(BasicHost):
    """A host that a stranger's stream cannot end.

    An exception that leaves any stream handler ends the whole process, whoever wrote the handler; a malformed gossip
    message does it. Here every stream passes `_swarm_stream_handler`, so handlers added later are covered as well. Nor
    does it run identify on each connection: that costs a stream each way and fills the peer store with claims.
    Can go when an upstream release contains exceptions of handlers (seen in 0.8.1).
    """

    async def _swarm_stream_handler(self, net_stream: INetStream) -> None:
        try:
            await super()._swarm_stream_handler(net_stream)
        except Exception as exc:  # noqa: BLE001 - whatever a stranger's bytes did, it is about this stream only.
            log.debug("stream from %s: %r", net_stream.muxed_conn.peer_id, exc)
            with trio.move_on_after(limits.GOODBYE_S, shield=True):
                await net_stream.reset()

    def _schedule_identify(self, peer_id: ID, *, reason: str) -> None:
        return


def build(key: SecretKey, overflow: Callable[[IMuxedConn], None]) -> BasicHost:
    """Return a host of `key` that dials only when told to, listens nowhere, and answers identify.

    `overflow` is called with a connection that must end.
    """
    _quiet_logs()
    pair = _key_pair(key)
    own = ID.from_pubkey(pair.public_key)
    peers = PeerStore()
    peers.add_key_pair(own, pair)
    # The host keeps to LIBP2P_CONNECTIONS_MAX itself: the swarm would refuse the newest instead of ending the idlest.
    most = limits.LIBP2P_CONNECTIONS_MAX + limits.LIBP2P_HANDSHAKES_MAX
    config = ConnectionConfig(
        max_connections=most,
        min_connections=0,
        low_watermark=0,
        high_watermark=most,
        max_connections_per_peer=limits.LIBP2P_CONNECTIONS_PER_PEER_MAX,
        dial_timeout=limits.DIAL_S,
        inbound_upgrade_timeout=limits.HANDSHAKE_S,
        outbound_upgrade_timeout=limits.HANDSHAKE_S,
        outbound_stream_protocol_negotiation_timeout=limits.DHT_RPC_S,
        inbound_stream_protocol_negotiation_timeout=limits.DHT_RPC_S,
    )
    swarm = Swarm(
        own,
        peers,
        Upgrader(pair, overflow),
        transports=[],  # Nothing to dial with: else it dials what strangers have named whenever connections are few.
        retry_config=RetryConfig(max_retries=0),
        connection_config=config,
    )
    # It notes whoever goes, not to dial them again at once, and forgets only after a dial. We have it dial nobody, so
    # some 300 bytes of each identity that ever came would stay. Can go when `maybe_connect` prunes in any case.
    swarm.auto_connector.record_disconnect = _forget  # type: ignore[assignment, method-assign]
    host = GuardedHost(
        swarm,
        default_protocols=OrderedDict({TProtocol("/p2phub/none"): _refuse}),  # Empty would mean the library's own set.
        negotiate_timeout=int(limits.DHT_RPC_S),
        disable_identify_address_discovery=True,
    )
    host.multiselect.handlers.clear()
    host.set_stream_handler(IDENTIFY, identify_handler_for(host, use_varint_format=True))
    return host


def contain_tasks(manager: Any) -> None:
    """Make each background task of a running swarm end alone when it fails, instead of ending the process.

    Can go when `TrioManager` has a mode that contains failures of children.
    """
    run_task = manager.run_task

    def run_contained(work: Callable[..., Awaitable[None]], *args: Any, **options: Any) -> None:
        @functools.wraps(work)
        async def contained(*args: Any) -> None:
            try:
                await work(*args)
            except Exception as exc:  # noqa: BLE001 - about one connection; the swarm goes on.
                log.debug("libp2p task %s: %r", work, exc)

        run_task(contained, *args, **options)

    manager.run_task = run_contained


async def _refuse(stream: INetStream) -> None:
    await stream.reset()


def _forget(peer: ID) -> None:
    """Note nothing of who goes."""


def _key_pair(key: SecretKey) -> KeyPair:
    secret = Ed25519PrivateKey.new(seed=key.seed)
    return KeyPair(secret, secret.get_public_key())


def _quiet_logs() -> None:
    """Keep libp2p from writing a line for each stranger's mistake, and from opening a log of its own on stderr.

    One module calls `logging.debug` itself, which installs a handler on the root logger if there is none. Can go when
    `swarm_connection` has a logger of its own.
    """
    swarm_connection.logging = logging.getLogger("libp2p.swarm_connection")  # type: ignore[assignment, attr-defined]
    logging.getLogger("libp2p").setLevel(logging.CRITICAL + 1)
