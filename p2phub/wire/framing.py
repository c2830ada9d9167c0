"""Frames: `u32 big-endian length | header`. A header is one message; payload that it announces follows it bare.

The length is checked before anything is allocated for it. Bulk machines take a frame as two exact reads (four bytes,
then the header), so that payload can be received straight into its buffer; the control protocol has no payload and
takes bytes as they come. Source: proto/transfer.md §1.
"""

from __future__ import annotations

from p2phub import limits
from p2phub.errors import Malformed

LENGTH_BYTES = 4


def frame(header: bytes) -> bytes:
    """Return `header` with its length in front. Ours, so a header that is too long is a bug."""
    assert 0 < len(header) <= limits.FRAME_HEADER_BYTES_MAX
    return len(header).to_bytes(LENGTH_BYTES, "big") + header


def header_length(prefix: bytes | bytearray | memoryview) -> int:
    """Return how many bytes of header follow the four bytes of `prefix`. Raises Malformed("frame-length")."""
    length = int.from_bytes(prefix, "big")
    if not 0 < length <= limits.FRAME_HEADER_BYTES_MAX:
        raise Malformed("frame-length", f"a frame header of {length} bytes")
    return length


class FrameDecoder:
    """Cuts a stream of frames without payload into headers, however the bytes are split."""

    def __init__(self) -> None:
        self._held = bytearray()

    def receive(self, data: bytes) -> list[bytes]:
        """Return the headers that are whole now. Raises Malformed("frame-length"); the stream is of no use then."""
        self._held += data
        headers: list[bytes] = []
        at = 0
        while len(self._held) - at >= LENGTH_BYTES:
            length = header_length(self._held[at : at + LENGTH_BYTES])
            if len(self._held) - at - LENGTH_BYTES < length:
                break
            headers.append(bytes(self._held[at + LENGTH_BYTES : at + LENGTH_BYTES + length]))
            at += LENGTH_BYTES + length
        del self._held[:at]
        return headers

    @property
    def is_empty(self) -> bool:
        """Whether the stream may end here: no frame is begun."""
        return not self._held
