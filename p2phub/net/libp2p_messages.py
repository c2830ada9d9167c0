"""Length-prefixed messages of the DHT, read from a stream. Source: proto/discovery.md §2."""

from __future__ import annotations

from p2phub import limits
from p2phub.discovery import read_varint
from p2phub.errors import Malformed, PeerGone
from p2phub.net.libp2p_stream import Stream


class Messages:
    """Length-prefixed messages from a stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._data = b""

    async def next(self, *, seconds: float) -> bytes | None:
        """Return the next message, None at the end. Raises Malformed, or PeerGone, also in the middle of one."""
        while (whole := self._take()) is None:
            more = await self._stream.read(limits.DHT_MESSAGE_BYTES_MAX, seconds=seconds)
            if not more:
                if self._data:
                    raise PeerGone("the stream ended in the middle of a message", peer=str(self._stream.peer))
                return None
            self._data += more
        return whole

    def _take(self) -> bytes | None:
        if not any(byte < 0x80 for byte in self._data[:3]):
            if len(self._data) >= 3:
                raise Malformed("dht-message-length", "a message longer than DHT_MESSAGE_BYTES_MAX")
            return None
        length, start = read_varint(self._data, 0)
        if length > limits.DHT_MESSAGE_BYTES_MAX:
            raise Malformed("dht-message-length", f"a message of {length} bytes")
        if len(self._data) < start + length:
            return None
        message, self._data = self._data[start : start + length], self._data[start + length :]
        return message
