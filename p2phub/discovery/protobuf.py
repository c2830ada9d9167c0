"""The few parts of protobuf that the DHT's messages need, bounded and strict about what cannot be read.

A field is (number, value): an int for a varint, bytes for a length-delimited one. Fixed-width fields are skipped,
groups (obsolete) refused. Fields that a reader does not know are left to it to skip, as protobuf wants.
Source: proto/discovery.md §1; protobuf.dev, "Encoding".
"""

from __future__ import annotations

from collections.abc import Iterator

from p2phub.errors import Malformed

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_VARINT_BYTES_MAX = 10


def varint(number: int) -> bytes:
    """Return `number` (0 or more) as an unsigned varint."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return (number, where it ends). Raises Malformed("dht-varint")."""
    number = 0
    for index in range(_VARINT_BYTES_MAX):
        if at + index >= len(data):
            break
        byte = data[at + index]
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if number >> 64:
                break
            return number, at + index + 1
    raise Malformed("dht-varint", "a number that does not end")


def number_field(field: int, number: int) -> bytes:
    """Return a varint field."""
    return varint(field << 3 | _VARINT) + varint(number)


def bytes_field(field: int, data: bytes) -> bytes:
    """Return a length-delimited field."""
    return varint(field << 3 | _BYTES) + varint(len(data)) + data


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the fields of a message. Raises Malformed("dht-varint", "dht-truncated" or "dht-wire-type")."""
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise Malformed("dht-wire-type", "field number 0")
        if kind == _VARINT:
            value, at = read_varint(data, at)
            yield number, value
            continue
        if kind == _BYTES:
            length, at = read_varint(data, at)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise Malformed("dht-wire-type", f"wire type {kind}")
        if length > len(data) - at:
            raise Malformed("dht-truncated", f"a field of {length} bytes where {len(data) - at} are left")
        if kind == _BYTES:
            yield number, data[at : at + length]
        at += length
