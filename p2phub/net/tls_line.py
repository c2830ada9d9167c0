"""OpenSSL on one side, a socket on the other, and TLS's records handed from this to that one at a time.

Left to itself OpenSSL works on within one call for as long as bytes come that are none of the application's: key
updates, tickets, a message in records of one byte. It has no bound for that, and whoever sends them has the loop for as
long. So it works on memory here; each record is taken off the socket whole, by the length that stands before it, and
between two that lie there already others have their turn. Nothing is read ahead, so at the end of any record the
socket can go to somebody else: `net.tls_channel` gives it to OpenSSL itself, or to `net.records`.
Source: RFC 8446 §5.1; proto/transfer.md §1.
"""

from __future__ import annotations

import socket

import trio
from OpenSSL import SSL

from p2phub import limits
from p2phub.errors import Malformed, PeerGone, ProtocolViolation

_HEAD_BYTES = 5  # Type, version, length.
_BODY_BYTES_MAX = (1 << 14) + 256
_TYPES = (20, 21, 22, 23)  # Of a record: change_cipher_spec, alert, handshake, application_data.
_VERSION = 3  # Its first byte, for TLS of any version.
_SEND_BYTES = 64 << 10
_NO_WAIT = (OSError, trio.ClosedResourceError, trio.BusyResourceError)


class TlsLine:
    """The socket `sock`, and the connection of OpenSSL's that speaks on it. `feed` and `flush` are for trio; `give`,
    `take` and `push` wait for as long as the socket does."""

    def __init__(self, context: SSL.Context, sock: socket.socket) -> None:
        self.ssl = SSL.Connection(context)
        self.peer: str | None = None  # Once it is proven.
        self._sock = sock
        self._came, self._due = bytearray(), _HEAD_BYTES  # Of the record that is coming.
        self._leaving = bytearray()
        self._unheard = False  # Whether a record was given of which nothing was read yet.
        self._silent = 0
        self._left = False

    @property
    def is_at_rest(self) -> bool:
        """Whether no record is half in or half out, so that somebody else can go on with the socket."""
        return not self._came and not self._leaving

    def take(self) -> bytes:
        """Return the next record, b"" at the end. Raises BlockingIOError while it is not whole, OSError, Malformed."""
        while len(self._came) < self._due:
            part = self._sock.recv(self._due - len(self._came))
            if not part:
                return b""
            self._came += part
            if len(self._came) == _HEAD_BYTES:
                self._due += _body_bytes(self._came)
        record = bytes(self._came)
        self._came, self._due = bytearray(), _HEAD_BYTES
        return record

    def give(self, record: bytes) -> None:
        """Hand OpenSSL a record. Raises ProtocolViolation if too many before it said nothing."""
        if self._unheard:
            self.silent()
        self._unheard = True
        self.ssl.bio_write(record)

    def heard(self) -> None:
        """Note that something was read of the record that was given last."""
        self._unheard = False

    def silent(self) -> None:
        """Note that a record had nothing for us. Raises ProtocolViolation if there were too many."""
        self._silent += 1
        if self._silent > limits.TLS_SILENT_RECORDS_MAX:
            raise ProtocolViolation("records with nothing in them [record-crumbs]", peer=self.peer)

    def leave(self) -> None:
        """Let OpenSSL have the socket itself: its memory goes with that, and is not to be touched any more."""
        assert self.is_at_rest, "what is half in or half out belongs to nobody"
        self._left = True

    def push(self) -> bool:
        """Send what OpenSSL has to say; return whether all of it went. Raises OSError."""
        try:
            part = b"" if self._left else self.ssl.bio_read(_SEND_BYTES)
            self._leaving += part
            while len(part) == _SEND_BYTES:
                part = self.ssl.bio_read(_SEND_BYTES)
                self._leaving += part
        except SSL.WantReadError:
            pass  # It has nothing more to say.
        try:
            while self._leaving:
                del self._leaving[: self._sock.send(self._leaving)]
        except BlockingIOError:
            return False
        return True

    async def feed(self) -> None:
        """Hand OpenSSL the next record as soon as it came. Raises PeerGone, ProtocolViolation."""
        record, waited = None, False
        if self._unheard:
            self._answer()
        while record is None:
            try:
                record = self.take()
            except BlockingIOError:
                await wait_readable(self._sock)
                waited = True
            except OSError as exc:
                raise PeerGone(f"connection lost: {exc.strerror}", peer=self.peer) from exc
            except Malformed as exc:
                raise PeerGone(exc.message, peer=self.peer) from exc
        if not record:
            raise PeerGone("connection lost: it ended without a goodbye", peer=self.peer)
        self.give(record)
        if not waited:
            await trio.lowlevel.checkpoint()

    def _answer(self) -> None:
        """Send what OpenSSL says to a record that had nothing for us: who renews its keys may ask us to renew ours.
        What finds no room goes with what is said next."""
        try:
            self.push()
        except OSError as exc:
            raise PeerGone(f"connection lost: {exc.strerror}", peer=self.peer) from exc

    async def flush(self) -> None:
        """Send all that OpenSSL has to say. Raises PeerGone."""
        try:
            while not self.push():
                await wait_writable(self._sock)
        except OSError as exc:
            raise PeerGone(f"connection lost: {exc.strerror}", peer=self.peer) from exc


def _body_bytes(head: bytearray) -> int:
    """Return how many bytes follow. Raises Malformed for what begins no record, before anything waits for it."""
    length = int.from_bytes(head[3:], "big")
    if head[0] not in _TYPES or head[1] != _VERSION or length > _BODY_BYTES_MAX:
        raise Malformed("tls-record", "what came is no record of TLS")
    return length


async def wait_readable(sock: socket.socket) -> None:
    """Wait until there is something to read. Raises PeerGone, also if another task waits for that."""
    try:
        await trio.lowlevel.wait_readable(sock.fileno())
    except _NO_WAIT as exc:
        raise PeerGone("the connection was closed") from exc


async def wait_writable(sock: socket.socket) -> None:
    """Wait until there is room to write. Raises PeerGone, also if another task waits for that."""
    try:
        await trio.lowlevel.wait_writable(sock.fileno())
    except _NO_WAIT as exc:
        raise PeerGone("the connection was closed") from exc


def reason_of(exc: Exception) -> str:
    """Put pyOpenSSL's lists of (library, function, reason) into words."""
    first = exc.args[0] if exc.args else ""
    if isinstance(first, list):
        return "; ".join(str(entry[-1]) for entry in first if entry) or "no reason given"
    return str(exc.args[-1]) if exc.args else type(exc).__name__
