"""TLS 1.3 with both ends proven: the context, the handshake, and a connection in trio.

Handshake, first frame and control protocol run in trio on the non-blocking socket, so a connection that is not proven
costs no thread, and its records pass through `net.tls_line` one at a time. A bulk connection is then made a
`net.tls_channel`, for a thread of its own. No tickets are taken, no session resumed, no early data. Whose certificate a
peer showed is judged by `net.credential`. Figures and reasons: docs/decisions/0020.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

import trio
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL, crypto

from p2phub import limits
from p2phub.errors import PeerGone, ProtocolViolation, WrongPeer
from p2phub.identity import Address, PeerId
from p2phub.net.credential import Credential, peer_of
from p2phub.net.sealing import CAN_SEAL
from p2phub.net.tls_channel import TlsChannel, prepare
from p2phub.net.tls_line import TlsLine, reason_of

ALPN = b"p2phub/1"
ALPN_SEALED = b"p2phub/1/aegis-128l"
"""The same, and after the first flight a bulk connection goes on in records sealed with AEGIS-128L."""

_CIPHERS = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
_SIGNATURES = b"ECDSA+SHA256"
_KEEP_ALIVE = ((socket.TCP_KEEPIDLE, 15), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))

_LIB: Any = getattr(SSL, "_lib", None)


def make_context(credential: Credential) -> SSL.Context:
    """Return the context for both directions. Verifying a certificate's meaning comes after the handshake."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_tls13_ciphersuites(_CIPHERS)
    if can_choose_signatures(context):  # Else `peer_of` refuses other keys, after OpenSSL has worked on them.
        known = _LIB.SSL_CTX_set1_sigalgs_list(context._context, _SIGNATURES)
        assert known == 1, "OpenSSL knows ECDSA on P-256"
    # Self-signed, one certificate: OpenSSL checks that the other end holds its key, `peer_of` whose it is.
    context.set_verify(
        SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
        lambda connection, certificate, error, depth, ok: depth == 0,
    )
    context.set_alpn_protos(_offered())
    context.set_alpn_select_callback(_choose_alpn)
    context.use_certificate(x509.load_der_x509_certificate(credential.certificate))
    leaf_key = serialization.load_der_private_key(credential.leaf_key, None)
    context.use_privatekey(leaf_key)  # type: ignore[arg-type]  # A P-256 key, as make_credential makes it.
    prepare(context)
    return context


def can_choose_signatures(context: SSL.Context) -> bool:
    """Whether pyOpenSSL has the private names by which a handshake takes P-256 alone: with other keys (RSA with an
    exponent as long as its modulus) a stranger costs us twelve times as much before anything is proven."""
    return hasattr(_LIB, "SSL_CTX_set1_sigalgs_list") and hasattr(context, "_context")


def _choose_alpn(connection: SSL.Connection, offered: list[bytes]) -> bytes:
    for protocol in _offered():
        if protocol in offered:
            return protocol
    raise SSL.Error("no protocol of ours offered")


def _offered() -> list[bytes]:
    """Return what this node speaks, what it prefers first."""
    return [ALPN_SEALED, ALPN] if CAN_SEAL else [ALPN]


def tune(sock: socket.socket | trio.socket.SocketType) -> None:
    """Set what every socket of ours has: no delay of small frames, and an end to what nobody answers."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEP_ALIVE:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * limits.SOCKET_CALL_S))


class TlsConnection:
    """A connection in trio. Made by `connect` and `accept`, which prove the other end first."""

    def __init__(self, line: TlsLine, sock: socket.socket, address: Address, peer: PeerId, *, dialled: bool) -> None:
        self._line, self._ssl, self._sock = line, line.ssl, sock
        self._address, self._peer = address, peer
        self._dialled = dialled

    @property
    def peer(self) -> PeerId:
        return self._peer

    @property
    def address(self) -> Address:
        return self._address

    async def read(self, most: int) -> bytes:
        while True:
            await trio.lowlevel.checkpoint_if_cancelled()
            try:
                data = self._ssl.recv(most)
            except SSL.WantReadError:
                await self._line.feed()
            except SSL.ZeroReturnError:
                return b""
            except SSL.Error as exc:
                raise self._lost(exc) from exc
            else:
                self._line.heard()
                return data

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            self._ssl.sendall(data)  # Into memory.
        except SSL.Error as exc:
            raise self._lost(exc) from exc
        await self._line.flush()

    async def aclose(self) -> None:
        with suppress(SSL.Error):
            self._ssl.shutdown()  # Says goodbye if there is room for it; waits for nothing.
        with suppress(OSError):
            self._line.push()
        self._sock.close()

    def as_channel(self) -> TlsChannel:
        if not self._line.is_at_rest:
            raise PeerGone("it renews its keys and takes nothing", peer=str(self._peer))
        seals = self._ssl.get_alpn_proto_negotiated() == ALPN_SEALED
        return TlsChannel(self._line, self._sock, self._peer, dialled=self._dialled, seals=seals)

    def _lost(self, exc: SSL.Error) -> PeerGone:
        return PeerGone(f"connection lost: {reason_of(exc)}", peer=str(self._peer))


async def connect(context: SSL.Context, sock: socket.socket, address: Address, expected: PeerId) -> TlsConnection:
    """Make the handshake as the client on a connected, non-blocking socket. Raises WrongPeer, PeerGone.

    The server has not judged us yet when this returns: only its first answer says that it has.
    """
    line = TlsLine(context, sock)
    line.ssl.set_connect_state()
    peer = await _handshake(line)
    if peer != expected:
        raise WrongPeer(f"{address} answered as {peer}, not as {expected}", peer=str(expected))
    return TlsConnection(line, sock, address, peer, dialled=True)


async def accept(context: SSL.Context, sock: socket.socket, address: Address) -> TlsConnection:
    """Make the handshake as the server. No request was read when this returns. Raises WrongPeer, PeerGone."""
    line = TlsLine(context, sock)
    line.ssl.set_accept_state()
    return TlsConnection(line, sock, address, await _handshake(line), dialled=False)


async def _handshake(line: TlsLine) -> PeerId:
    connection = line.ssl
    for _ in range(limits.TLS_HANDSHAKE_RECORDS_MAX):
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            await line.flush()
            await line.feed()
            line.heard()
        except (SSL.Error, ValueError) as exc:
            with suppress(OSError):
                line.push()  # What is wrong, if there is room for it.
            raise PeerGone(f"the handshake failed: {reason_of(exc)}") from exc
        else:
            break
    else:
        raise ProtocolViolation("a handshake in crumbs [record-crumbs]")
    await line.flush()
    if connection.get_alpn_proto_negotiated() not in _offered():
        raise WrongPeer("whoever answered does not speak this protocol")
    certificate = connection.get_peer_certificate()
    if certificate is None:
        raise WrongPeer("whoever answered showed no certificate")
    # Not parsed on the way: OpenSSL takes some that no parser does, and `peer_of` is who judges that.
    peer = peer_of(crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate))
    line.peer = str(peer)
    return peer
