"""TLS 1.3 with both ends proven: the context, the handshake in trio, and the engine of bulk threads.

Handshake, first frame and control protocol run in trio on the non-blocking socket, so a connection that is not proven
costs no thread, and its records pass through `net.tls_line` one at a time. A bulk connection is then made blocking and
its socket given to OpenSSL, and its thread calls `SSL_read` and `SSL_write` straight on its own buffer through
pyOpenSSL's cffi handles. Those are private names: where they are missing, `net.tls_line` goes on, and `recv_into` and
`sendall` stand in for the engine. After the first flight both ends
leave TLS's records for those of `net.records`, if the handshake agreed on it. No tickets are taken, no
session resumed, no early data. Figures and reasons: docs/decisions/0020, 0112.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import trio
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL, crypto

from p2phub import limits
from p2phub.errors import Malformed, PeerGone, PeerStalled, ProtocolViolation, WrongPeer
from p2phub.identity import Address, PeerId
from p2phub.net.channel import Progress
from p2phub.net.credential import Credential, peer_of
from p2phub.net.records import Records
from p2phub.net.sealing import CAN_SEAL, SECRET_BYTES, Opener, Sealer
from p2phub.net.tls_line import TlsLine
from p2phub.net.wakeup import Wakeup

ALPN = b"p2phub/1"
ALPN_SEALED = b"p2phub/1/aegis-128l"
"""The same, and after the first flight a bulk connection goes on in records sealed with AEGIS-128L."""

_EXPORTED = b"EXPORTER-p2phub-records"
_CIPHERS = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
_SIGNATURES = b"ECDSA+SHA256"
_TIMEVAL = struct.Struct("@ll")
_KEEP_ALIVE = ((socket.TCP_KEEPIDLE, 15), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))

_BYTES_RECEIVED_AT = 128  # Of tcpi_bytes_received in Linux's struct tcp_info.

_LIB: Any = getattr(SSL, "_lib", None)
_FFI: Any = getattr(SSL, "_ffi", None)
_CALLED = ("SSL_read", "SSL_write", "SSL_get_error", "ERR_clear_error", "SSL_set_fd", "SSL_clear_mode")
_NAMES = (*_CALLED, "SSL_MODE_ENABLE_PARTIAL_WRITE", "SSL_MODE_AUTO_RETRY")
HAS_ENGINE = all(hasattr(_LIB, name) for name in _NAMES) and hasattr(_FFI, "from_buffer") and hasattr(_FFI, "errno")
"""Whether pyOpenSSL still has the private names that the fast engine calls."""
CAN_CHOOSE_SIGNATURES = hasattr(_LIB, "SSL_CTX_set1_sigalgs_list") and hasattr(SSL.Context(SSL.TLS_METHOD), "_context")
"""Whether it has those by which a handshake takes P-256 alone: with other keys (RSA with an exponent as long as its
modulus) a stranger costs us twelve times as much before anything is proven."""


def make_context(credential: Credential) -> SSL.Context:
    """Return the context for both directions. Verifying a certificate's meaning comes after the handshake."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_tls13_ciphersuites(_CIPHERS)
    if CAN_CHOOSE_SIGNATURES:  # Else `peer_of` refuses other keys, after OpenSSL has worked on them.
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
    if HAS_ENGINE:
        context.clear_mode(_LIB.SSL_MODE_ENABLE_PARTIAL_WRITE)  # Or each SSL_write stops after one record.
    return context


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
        return TlsChannel(self._line, self._sock, self._peer, dialled=self._dialled)

    def _lost(self, exc: SSL.Error) -> PeerGone:
        return PeerGone(f"connection lost: {_reason(exc)}", peer=str(self._peer))


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
            raise PeerGone(f"the handshake failed: {_reason(exc)}") from exc
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


def _reason(exc: Exception) -> str:
    """Put pyOpenSSL's lists of (library, function, reason) into words."""
    first = exc.args[0] if exc.args else ""
    if isinstance(first, list):
        return "; ".join(str(entry[-1]) for entry in first if entry) or "no reason given"
    return str(exc.args[-1]) if exc.args else type(exc).__name__


class TlsChannel:
    """A connection in a blocking thread."""

    def __init__(self, line: TlsLine, sock: socket.socket, peer: PeerId, *, dialled: bool) -> None:
        self.peer = peer
        self.progress = Progress()
        self._line, self._connection, self._sock = line, line.ssl, sock
        self._dialled = dialled
        self._records: Records | None = None  # Once they have taken the place of TLS's own.
        self._ssl: Any = getattr(self._connection, "_ssl", None)
        self._wakeup = Wakeup()
        self._poll = select.poll()
        self._descriptor = sock.fileno()
        self._poll.register(sock, select.POLLIN)
        self._poll.register(self._wakeup, select.POLLIN)
        sock.setblocking(True)
        seconds, fraction = divmod(limits.SOCKET_CALL_S, 1)
        timeout = _TIMEVAL.pack(int(seconds), int(1e6 * fraction))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
        self._has_engine = HAS_ENGINE and self._ssl is not None
        if not self._has_engine:
            self._read, self._write = self._read_portably, self._write_portably
        else:
            self._read, self._write = self._read_directly, self._write_directly
            self._line.leave()
            _LIB.SSL_set_fd(self._ssl, self._descriptor)
            # Or one call works off all messages of TLS's own that come before a byte of ours: now each ends it.
            _LIB.SSL_clear_mode(self._ssl, _LIB.SSL_MODE_AUTO_RETRY)

    def fill(self, into: memoryview) -> None:
        self.progress.begin(len(into))
        try:
            self._read(into)
        finally:
            self.progress.end()

    def send(self, *parts: memoryview | bytes) -> None:
        self.progress.begin(sum(map(len, parts)))
        try:
            self._write(parts)
        finally:
            self.progress.end()

    def widen(self) -> None:
        if self._connection.get_alpn_proto_negotiated() != ALPN_SEALED:
            return
        assert self._records is None, "keys and record numbers are of one use"
        # Nothing of TLS is in either direction any more: the server's tickets came before its answer, and OpenSSL reads
        # one record at a time, never beyond it.
        if self._connection.pending():
            raise ProtocolViolation("more in TLS than the first flight [out-of-order]", peer=str(self.peer))
        secret = self._connection.export_keying_material(_EXPORTED, 2 * SECRET_BYTES)
        dialler, listener = secret[:SECRET_BYTES], secret[SECRET_BYTES:]
        ours, theirs = (dialler, listener) if self._dialled else (listener, dialler)
        self._records = Records(self._sock, Sealer(ours), Opener(theirs), self.peer, self.progress)
        self._read, self._write = self._records.fill, self._records.send

    def wait(self, timeout_s: float) -> bool:
        opened = self._connection.pending() if self._records is None else self._records.has_rest
        if opened:
            return True
        came = False
        for descriptor, _ in self._poll.poll(1000 * timeout_s):
            if descriptor == self._descriptor:
                came = True
            else:
                self._wakeup.clear()
        return came

    def nothing_for_us(self) -> bool:
        if self._records is not None:
            return False
        self._sock.setblocking(False)
        try:
            if not self._has_engine:
                if not (record := self._line.take()):
                    return False
                self._line.give(record)
            self._connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except SSL.WantReadError:
            if self._has_engine:
                self._line.silent()
            return True
        except (SSL.Error, OSError, Malformed):
            pass  # The end, or a fault: the next read meets it again.
        finally:
            self._sock.setblocking(True)
        return False

    def wake(self) -> None:
        self._wakeup.set()

    def received(self) -> int:
        # From the kernel: counting in the thread would cost a step of Python for each record.
        try:
            info = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED_AT + 8)
        except OSError:
            return 0
        return int.from_bytes(info[_BYTES_RECEIVED_AT:], sys.byteorder)

    def cancel(self) -> None:
        with suppress(OSError):  # Not connected any more, or closed.
            self._sock.shutdown(socket.SHUT_RDWR)
        self._wakeup.set()

    def close(self) -> None:
        self._sock.setblocking(False)  # Say goodbye if there is room for it; wait for nothing.
        if self._records is None:
            with suppress(SSL.Error):
                self._connection.shutdown()
            if not self._has_engine:
                with suppress(OSError):
                    self._line.push()
        self._sock.close()
        self._wakeup.close()

    def _read_directly(self, into: memoryview) -> None:
        ssl, read, length, got = self._ssl, _LIB.SSL_read, len(into), 0
        left = limits.RECORDS_SPARE + length // limits.RECORD_BYTES_LEAST
        _FFI.errno = 0
        # Let go of the buffer at once, also on an error: a traceback that kept it would, once collected as part of a
        # cycle, take down the interpreter (a memoryview is cleared while something still points into it).
        with _FFI.from_buffer(into) as start:
            while got < length:
                count = read(ssl, start + got, length - got)  # At most one record; gives up the GIL.
                if count > 0:
                    got += count
                    left -= 1
                    if left < 0 and got < length:
                        raise ProtocolViolation("bytes in crumbs [record-crumbs]", peer=str(self.peer))
                else:
                    self._again_or_fail(count)

    def _write_directly(self, parts: Sequence[memoryview | bytes]) -> None:
        _FFI.errno = 0
        for data in filter(len, parts):
            with _FFI.from_buffer(data) as start:
                # Made again with what it was made with, as OpenSSL wants it: what has gone out does not go twice.
                while (count := _LIB.SSL_write(self._ssl, start, len(data))) <= 0:
                    self._again_or_fail(count)

    def _again_or_fail(self, count: int) -> None:
        """Return if the call was only interrupted, or a message of TLS's own ended it, and it is to be made again; else
        raise what ended it.

        A socket with a timeout is not taken up again by the kernel after a stop: Ctrl-Z and `fg`, a debugger, a
        suspended machine all end its calls with EINTR, which OpenSSL passes on as "later", like a timeout.
        """
        number, _FFI.errno = _FFI.errno, 0
        error = _LIB.SSL_get_error(self._ssl, count)
        _LIB.ERR_clear_error()  # The queue of errors belongs to the thread, which will have other connections.
        if error in (SSL_WANT_READ, SSL_WANT_WRITE):
            if number == errno.EINTR:
                return
            if number != errno.EAGAIN:
                self._line.silent()
                return
            raise PeerStalled(f"no byte for {limits.SOCKET_CALL_S:g} s", peer=str(self.peer))
        raise self.progress.lost("the connection ended" if error == SSL_ZERO_RETURN else "connection lost", self.peer)

    def _read_portably(self, into: memoryview) -> None:
        left = limits.RECORDS_SPARE + len(into) // limits.RECORD_BYTES_LEAST
        while into:
            try:
                count = self._connection.recv_into(into)
            except SSL.WantReadError:
                self._take_record()
            except SSL.Error as exc:
                raise self.progress.lost(f"connection lost: {_reason(exc)}", self.peer) from exc
            else:
                self._line.heard()
                into = into[count:]
                left -= 1
                if left < 0 and into:
                    raise ProtocolViolation("bytes in crumbs [record-crumbs]", peer=str(self.peer))

    def _take_record(self) -> None:
        try:
            record = self._line.take()
        except BlockingIOError as exc:
            raise PeerStalled(f"no byte for {limits.SOCKET_CALL_S:g} s", peer=str(self.peer)) from exc
        except (OSError, Malformed) as exc:
            raise self.progress.lost(f"connection lost: {exc}", self.peer) from exc
        if not record:
            raise self.progress.lost("the connection ended", self.peer)
        self._line.give(record)

    def _write_portably(self, parts: Sequence[memoryview | bytes]) -> None:
        try:
            for data in filter(len, parts):
                self._connection.sendall(data)
                if not self._line.push():
                    raise PeerStalled(f"nothing taken for {limits.SOCKET_CALL_S:g} s", peer=str(self.peer))
        except (SSL.Error, OSError) as exc:
            raise self.progress.lost(f"connection lost: {_reason(exc)}", self.peer) from exc


SSL_WANT_READ, SSL_WANT_WRITE, SSL_ZERO_RETURN = 2, 3, 6
"""OpenSSL's SSL_ERROR_WANT_READ, _WANT_WRITE and _ZERO_RETURN, fixed by its ABI."""
