"""Append-only logs: how a record is framed, and how far a log that was cut short can be believed.

    record = magic (4) | length u32 | checksum (8) | body       integers big-endian
The checksum is the first 8 bytes of BLAKE3 over (offset u64, length u32, body): a record holds only where it was
written, so neither a torn write, nor a stale block, nor bytes within another record's body pass for one. Pure.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from blake3 import blake3

_HEAD = struct.Struct(">4sI8s")
_PLACE = struct.Struct(">QI")
_MAGIC = b"\xf5p2\x01"
RECORD_EXTRA_BYTES = _HEAD.size  # That a record is longer than its body.
RECORD_BYTES_MAX = 64 << 20  # Our own files; the bound only keeps a damaged length from being believed.


def encode_record(body: bytes, at: int) -> bytes:
    """Return the record of `body` that is to stand at offset `at` of its file."""
    assert len(body) <= RECORD_BYTES_MAX
    return _HEAD.pack(_MAGIC, len(body), _checksum(body, at)) + body


def decode_records(data: bytes, at: int = 0) -> tuple[list[bytes], int]:
    """Return the bodies of the records that follow each other from offset `at` on, and where the last one ends."""
    # As `_record` has it, written out: a log of a home that holds much has hundreds of thousands.
    bodies = []
    head, unpack, place, end = _HEAD.size, _HEAD.unpack_from, _PLACE.pack, len(data)
    while end - at >= head:
        magic, length, checksum = unpack(data, at)
        start = at + head
        if magic != _MAGIC or length > RECORD_BYTES_MAX or start + length > end:
            break
        body = data[start : start + length]
        if blake3(place(at, length) + body).digest(8) != checksum:
            break
        bodies.append(body)
        at = start + length
    return bodies, at


def read_records(read: Callable[[int], bytes], *, body_bytes_max: int, bytes_max: int) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, body) of the records that follow each other from the start of what `read` reads.

    One is held at a time. It ends before a record with a larger body, and before one that would end beyond `bytes_max`.
    """
    at = 0
    while True:
        head = read(_HEAD.size)
        if len(head) < _HEAD.size:
            return
        magic, length, checksum = _HEAD.unpack(head)
        if magic != _MAGIC or length > min(body_bytes_max, bytes_max - at - _HEAD.size):
            return
        body = read(length)
        if len(body) < length or _checksum(body, at) != checksum:
            return
        yield at, body
        at += _HEAD.size + length


def next_record(data: bytes, at: int) -> int | None:
    """Return where the first valid record at or after `at` begins: what lies before it, if anything, is damage."""
    while (at := data.find(_MAGIC, at)) >= 0:
        if _record(data, at) is not None:
            return at
        at += 1
    return None


def _record(data: bytes, at: int) -> bytes | None:
    if len(data) - at < _HEAD.size:
        return None
    magic, length, checksum = _HEAD.unpack_from(data, at)
    if magic != _MAGIC or length > min(RECORD_BYTES_MAX, len(data) - at - _HEAD.size):
        return None
    body = data[at + _HEAD.size : at + _HEAD.size + length]
    return body if _checksum(body, at) == checksum else None


def _checksum(body: bytes, at: int) -> bytes:
    return blake3(_PLACE.pack(at, len(body)) + body).digest(8)
