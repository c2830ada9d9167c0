"""What a bulk connection carries after its first flight, where both ends can: records of 256 KiB on the bare socket.

TLS proves the ends and agrees on keys; its own records have 16 KiB at most, and each costs two system calls and one
call from Python at either end. These cost a sixteenth of that, and are sealed by `net.sealing`. A record that fits is
opened straight into the reader's buffer. Source: proto/transfer.md §1; figures: docs/decisions/0112.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from p2phub import limits
from p2phub.errors import Malformed, PeerError, PeerGone, PeerStalled, ProtocolViolation
from p2phub.identity import PeerId
from p2phub.net.buffer import new_buffer
from p2phub.net.channel import Progress
from p2phub.net.sealing import HEAD_BYTES, RECORD_ROOM, TAG_BYTES, Opener, Sealer, record_bytes, sealed_bytes

_NOTHING = memoryview(b"")
_BESIDE = 4096  # Beside a full record: room for the header before it.


class Records:
    """Exact reads and whole writes over records, for the thread that owns the blocking socket `sock`."""

    def __init__(self, sock: socket.socket, sealer: Sealer, opener: Opener, peer: PeerId, progress: Progress) -> None:
        self._sock, self._sealer, self._opener = sock, sealer, opener
        self._peer, self._progress = peer, progress
        self._sent, self._came = new_buffer(RECORD_ROOM + _BESIDE), new_buffer(RECORD_ROOM)
        self._head = memoryview(bytearray(HEAD_BYTES))
        self._rest = _NOTHING  # Opened, and not yet asked for.

    @property
    def has_rest(self) -> bool:
        """Whether something was opened that nobody has read."""
        return bool(self._rest)

    def send(self, parts: Sequence[memoryview | bytes]) -> None:
        """Send all of `parts`. Raises PeerGone, PeerStalled.

        Each begins a record, so that a header and the payload behind it can be read for themselves; where two fit into
        the buffer they leave together.
        """
        end = 0
        for part in parts:
            left = memoryview(part)
            while left:
                data, left = left[: limits.RECORD_BYTES_MAX], left[limits.RECORD_BYTES_MAX :]
                if end + record_bytes(len(data)) > len(self._sent):
                    self._send(self._sent[:end])
                    end = 0
                end += self._sealer.seal(data, self._sent[end:])
        self._send(self._sent[:end])

    def fill(self, into: memoryview) -> None:
        """Receive exactly len(into) bytes. Raises PeerGone, PeerStalled, ProtocolViolation."""
        most = limits.RECORDS_SPARE + len(into) // limits.RECORD_BYTES_LEAST
        while into:
            if self._rest:
                count = min(len(into), len(self._rest))
                into[:count] = self._rest[:count]
                self._rest = self._rest[count:] or _NOTHING  # An empty part would still hold the whole.
            elif most:
                most -= 1
                count = self._open_next(into)
            else:
                raise ProtocolViolation("bytes in crumbs [record-crumbs]", peer=str(self._peer))
            into = into[count:]

    def _open_next(self, into: memoryview) -> int:
        """Receive a record: if it fits, into the beginning of `into`. Returns how many bytes of that it filled."""
        self._receive(self._head)
        try:
            head = bytes(self._head)
            length = sealed_bytes(head)
            sealed = self._came[: length + TAG_BYTES]
            self._receive(sealed)
            if length <= len(into):
                self._opener.open(head, sealed, into[:length])
                return length
            rest = memoryview(bytearray(length))
            self._opener.open(head, sealed, rest)
        except Malformed as exc:  # Whoever did it: the line is not proven to carry what the peer says any more.
            raise PeerGone(f"the connection was tampered with: {exc.message}", peer=str(self._peer)) from exc
        self._rest = rest
        return 0

    def _receive(self, into: memoryview) -> None:
        while into:
            try:
                count = self._sock.recv_into(into, len(into), socket.MSG_WAITALL)
            except BlockingIOError as exc:
                raise PeerStalled(f"no byte for {limits.SOCKET_CALL_S:g} s", peer=str(self._peer)) from exc
            except OSError as exc:
                raise self._lost("connection lost") from exc
            if not count:
                raise self._lost("the connection ended")
            into = into[count:]

    def _send(self, data: memoryview) -> None:
        while data:
            try:
                data = data[self._sock.send(data) :]
            except BlockingIOError as exc:
                raise PeerStalled(f"nothing taken for {limits.SOCKET_CALL_S:g} s", peer=str(self._peer)) from exc
            except OSError as exc:
                raise self._lost("connection lost") from exc

    def _lost(self, message: str) -> PeerError:
        return self._progress.lost(message, self._peer)
