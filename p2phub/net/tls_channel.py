"""The engine of a bulk connection: a proven TLS connection whose socket blocks, for one thread that reads or writes.

The socket is given to OpenSSL, and the thread calls `SSL_read` and `SSL_write` straight on its own buffer through
pyOpenSSL's cffi handles. Those are private names: where they are missing, `net.tls_line` goes on, and `recv_into` and
`sendall` stand in for the engine. After the first flight both ends leave TLS's records for those of `net.records`, if
the handshake agreed on it. Figures and reasons: docs/decisions/0020, 0112.
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

from OpenSSL import SSL

from p2phub import limits
from p2phub.errors import Malformed, PeerStalled, ProtocolViolation
from p2phub.identity import PeerId
from p2phub.net.channel import Progress
from p2phub.net.records import Records
from p2phub.net.sealing import SECRET_BYTES, Opener, Sealer
from p2phub.net.tls_line import TlsLine, reason_of
from p2phub.net.wakeup import Wakeup

_EXPORTED = b"EXPORTER-p2phub-records"
_TIMEVAL = struct.Struct("@ll")
_BYTES_RECEIVED_AT = 128  # Of tcpi_bytes_received in Linux's struct tcp_info.

_LIB: Any = getattr(SSL, "_lib", None)
_FFI: Any = getattr(SSL, "_ffi", None)
_CALLED = ("SSL_read", "SSL_write", "SSL_get_error", "ERR_clear_error", "SSL_set_fd", "SSL_clear_mode")
_NAMES = (*_CALLED, "SSL_MODE_ENABLE_PARTIAL_WRITE", "SSL_MODE_AUTO_RETRY")
HAS_ENGINE = all(hasattr(_LIB, name) for name in _NAMES) and hasattr(_FFI, "from_buffer") and hasattr(_FFI, "errno")
"""Whether pyOpenSSL still has the private names that the fast engine calls."""
SSL_WANT_READ, SSL_WANT_WRITE, SSL_ZERO_RETURN = 2, 3, 6
"""OpenSSL's SSL_ERROR_WANT_READ, _WANT_WRITE and _ZERO_RETURN, fixed by its ABI."""


def prepare(context: SSL.Context) -> None:
    """Have connections of a context work as the engine counts on."""
    if HAS_ENGINE:
        context.clear_mode(_LIB.SSL_MODE_ENABLE_PARTIAL_WRITE)  # Or each SSL_write stops after one record.


class TlsChannel:
    """A connection in a blocking thread: `channel.Channel`. `dialled`: whether this end did; `seals`: whether both
    agreed to leave TLS's records after the first flight."""

    def __init__(self, line: TlsLine, sock: socket.socket, peer: PeerId, *, dialled: bool, seals: bool) -> None:
        self.peer = peer
        self.progress = Progress()
        self._line, self._connection, self._sock = line, line.ssl, sock
        self._dialled, self._seals = dialled, seals
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
        if not self._seals:
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
                raise self.progress.lost(f"connection lost: {reason_of(exc)}", self.peer) from exc
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
            raise self.progress.lost(f"connection lost: {reason_of(exc)}", self.peer) from exc
