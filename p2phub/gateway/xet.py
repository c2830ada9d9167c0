"""What clients put into a store of Xet's: xorbs, which hold chunks, and shards, which say what files are made of. Pure.

    xorb    chunks, each: 0 (u8) | length here (u24) | scheme (u8) | length (u24) | data; then a footer, "XETBLOB…"
    shard   48 bytes, "HFRepoMetaData…"; for each file: hash (32) | flags (u32) | segments (u32) | 8;
            of each segment: xorb (32) | flags (u32) | bytes (u32) | first chunk (u32) | end chunk (u32);
            with flag 31 as many times 48 bytes more; with flag 30: SHA-256 of the file (32) | 16; last a hash of ones
    scheme  0: as it is, 1: an LZ4 frame, 2: one of the bytes 0, 4, 8…, then 1, 5, 9…, of each fourth

Numbers are little-endian; a hash is told as text by eights of its bytes turned round. None is believed: what comes of
it is a file of a SHA-256 that its uploader names. Source: hf_xet 1.8, what it was seen to send.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Mapping

import msgspec

from p2phub import limits
from p2phub.gateway.lz4 import NotLz4, decode_frame
from p2phub.http.refusal import Refusal

_CHUNK_HEADER_BYTES = 8
_FOOTER = ord("X")
_SHARD_TAG = b"HFRepoMetaData"
_ENTRY_BYTES = 48
_FILE = struct.Struct("<32sII8x")
_SEGMENT = struct.Struct("<32sIIII")
_END = b"\xff" * 32
_HAS_VERIFICATION = 1 << 31
_HAS_SHA256 = 1 << 30
_READ_BYTES = 4 * limits.MIB  # Of a xorb at a time,
_READ_CHUNKS = 64  # and so many chunks: packed ones hold up to 255 times what they take.


class Segment(msgspec.Struct, frozen=True):
    """Chunks `first` ..< `end` of a xorb, which hold `size` bytes."""

    xorb: str
    size: int
    first: int
    end: int


class XetFile(msgspec.Struct, frozen=True):
    """A file by its SHA-256 in hex; `size` in bytes."""

    sha256: str
    size: int
    segments: tuple[Segment, ...]


class Span(msgspec.Struct, frozen=True):
    """Bytes `start` ..< `stop` of a xorb, in which whole chunks lie, with their headers."""

    start: int
    stop: int


class Xorb:
    """Where the chunks of a xorb lie, found out as it comes. Raises Refusal(400) for what is none."""

    def __init__(self) -> None:
        self._starts = array("q", (0,))  # Of each chunk, and of what follows the last.
        self._skip = 0
        self._header = bytearray()
        self._ended = False

    def feed(self, piece: bytes) -> None:
        at = 0
        while at < len(piece) and not self._ended:
            if self._skip:
                step = min(self._skip, len(piece) - at)
                self._skip -= step
                at += step
                continue
            more = piece[at : at + _CHUNK_HEADER_BYTES - len(self._header)]
            self._header += more
            at += len(more)
            if self._header[0] == _FOOTER:
                self._ended = True
            elif len(self._header) == _CHUNK_HEADER_BYTES:
                length, _, size = _read_header(self._header)
                if max(length, size) > limits.GATEWAY_CHUNK_BYTES_MAX:
                    raise Refusal(400, f"a chunk of a xorb has at most {limits.GATEWAY_CHUNK_BYTES_MAX} bytes")
                if len(self._starts) > limits.GATEWAY_XORB_CHUNKS_MAX:
                    raise Refusal(400, "too many chunks in a xorb")
                self._starts.append(self._starts[-1] + _CHUNK_HEADER_BYTES + length)
                self._skip = length
                self._header.clear()

    def end(self) -> None:
        if self._skip or (self._header and not self._ended):
            raise Refusal(400, "a xorb ends early")

    @property
    def chunks(self) -> int:
        """How many there are."""
        return len(self._starts) - 1

    def spans(self, first: int, end: int) -> Iterator[Span]:
        """Yield where some chunks lie, a few MiB at a time. Raises Refusal(400) for chunks that it has not."""
        if not 0 <= first < end < len(self._starts):
            raise Refusal(400, "a file is said to be made of chunks that a xorb does not have")
        while first < end:
            last, most = first + 1, min(end, first + _READ_CHUNKS)
            while last < most and self._starts[last + 1] - self._starts[first] <= _READ_BYTES:
                last += 1
            yield Span(self._starts[first], self._starts[last])
            first = last


def decode_chunks(data: bytes) -> bytes:
    """Return what chunks hold that lie one behind the other. Raises Refusal(400). Takes long where it is compressed."""
    view, at, parts = memoryview(data), 0, []
    while at < len(view):
        length, scheme, size = _read_header(view[at : at + _CHUNK_HEADER_BYTES])
        at += _CHUNK_HEADER_BYTES
        parts.append(_decode(view[at : at + length], scheme, size))
        at += length
    return b"".join(parts)


def _read_header(header: bytearray | memoryview) -> tuple[int, int, int]:
    """Return (length here, scheme, length) of a chunk."""
    if len(header) != _CHUNK_HEADER_BYTES or header[0] != 0:
        raise Refusal(400, "no chunk of a xorb begins so")
    length = int.from_bytes(header[1:4], "little")
    return length, header[4], int.from_bytes(header[5:8], "little")


def _decode(data: memoryview, scheme: int, size: int) -> bytes | memoryview | bytearray:
    try:
        match scheme:
            case 0 if len(data) == size:
                return data
            case 1:
                return decode_frame(data, size)
            case 2:
                return _ungrouped(decode_frame(data, size))
    except NotLz4 as exc:
        raise Refusal(400, f"a chunk of a xorb is no LZ4: {exc}") from exc
    raise Refusal(400, "a chunk of a xorb is packed in a way that nobody knows")


def _ungrouped(grouped: bytearray) -> bytearray:
    out, at = bytearray(len(grouped)), 0
    for first in range(4):
        count = (len(grouped) - first + 3) // 4
        out[first::4] = grouped[at : at + count]
        at += count
    return out


def read_shard(data: bytes) -> tuple[XetFile, ...]:
    """Return the files that a shard tells of. Raises Refusal(400) for what is none, and for a file without SHA-256."""
    if not data.startswith(_SHARD_TAG):
        raise Refusal(400, "this is no shard")
    files: list[XetFile] = []
    segments_left, at = limits.GATEWAY_SEGMENTS_MAX, _ENTRY_BYTES
    try:
        while True:
            name, flags, count = _FILE.unpack_from(data, at)
            at += _ENTRY_BYTES
            if name == _END:
                return tuple(files)
            segments_left -= 1 + count
            if segments_left < 0:
                raise Refusal(400, "too many files or segments in a shard")
            segments = tuple(_segment(data, at + number * _ENTRY_BYTES) for number in range(count))
            at += count * _ENTRY_BYTES * (2 if flags & _HAS_VERIFICATION else 1)
            if not flags & _HAS_SHA256:
                raise Refusal(400, "a shard does not say the SHA-256 of a file")
            (sha256,) = struct.unpack_from("<32s", data, at)
            at += _ENTRY_BYTES
            files.append(XetFile(hash_text(sha256), sum(each.size for each in segments), segments))
    except struct.error as exc:
        raise Refusal(400, "a shard ends early") from exc


def _segment(data: bytes, at: int) -> Segment:
    xorb, _, size, first, end = _SEGMENT.unpack_from(data, at)
    return Segment(hash_text(xorb), size, first, end)


def hash_text(raw: bytes) -> str:
    """Return a hash as clients write it."""
    return b"".join(raw[at : at + 8][::-1] for at in range(0, 32, 8)).hex()


def check_file(file: XetFile, xorbs: Mapping[str, Xorb]) -> None:
    """Raise Refusal(400) for a file that is made of what did not come."""
    for segment in file.segments:
        xorb = xorbs.get(segment.xorb)
        if xorb is None:
            raise Refusal(400, f"a file is said to be made of the xorb {segment.xorb}, which did not come")
        next(xorb.spans(segment.first, segment.end))
