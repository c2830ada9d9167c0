"""A proven connection as trio sees it: bytes both ways, and a way to hand it to a blocking thread.

`net.tls` and `net.stream` make them; handshake, first frame and control protocol run on them.
"""

from __future__ import annotations

from typing import Protocol

from p2phub import limits
from p2phub.errors import Malformed, PeerGone, ProtocolViolation
from p2phub.identity import Address, PeerId
from p2phub.net.channel import Channel
from p2phub.wire import LENGTH_BYTES, header_length

READ_BYTES = 64 << 10


class Connection(Protocol):
    """An encrypted connection whose other end has proved to be `peer`. One may read while another writes."""

    @property
    def peer(self) -> PeerId: ...

    @property
    def address(self) -> Address:
        """Where the other end is, as this side sees it."""

    async def read(self, most: int) -> bytes:
        """Return 1 to `most` bytes, b"" at the end. Raises PeerGone."""

    async def write(self, data: bytes) -> None:
        """Send all of `data`. Raises PeerGone. If cancelled, the connection is of no more use."""

    async def aclose(self) -> None:
        """End it; never waits long."""

    def as_channel(self) -> Channel:
        """Turn it into a blocking one; from then on only the channel is used."""


class Pieces:
    """In how many pieces one thing comes: a reader has as much work with one of a byte as with one of 16 KiB."""

    def __init__(self, peer: PeerId) -> None:
        self._peer = peer
        self._count = self._bytes = 0

    def begin(self) -> None:
        """Note that the next piece is of another thing."""
        self._count = self._bytes = 0

    def came(self, length: int) -> None:
        """Count a piece. Raises ProtocolViolation if there were more than its bytes are worth."""
        self._count += 1
        self._bytes += length
        if self._count > limits.RECORDS_SPARE + self._bytes // limits.RECORD_BYTES_LEAST:
            raise ProtocolViolation("bytes in crumbs [record-crumbs]", peer=str(self._peer))


async def read_frame(connection: Connection) -> bytes:
    """Return the header of one frame. Raises PeerGone, ProtocolViolation."""
    pieces = Pieces(connection.peer)
    prefix = await _read_exactly(connection, LENGTH_BYTES, pieces)
    try:
        length = header_length(prefix)
    except Malformed as exc:
        raise ProtocolViolation(str(exc), peer=str(connection.peer)) from exc
    return await _read_exactly(connection, length, pieces)


async def _read_exactly(connection: Connection, count: int, pieces: Pieces) -> bytes:
    data = bytearray()
    while len(data) < count:
        part = await connection.read(count - len(data))
        if not part:
            raise PeerGone("the connection ended in the middle of a frame", peer=str(connection.peer))
        pieces.came(len(part))
        data += part
    return bytes(data)
