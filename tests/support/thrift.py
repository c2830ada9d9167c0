"""Write Thrift's compact protocol by hand, field by field, right or wrong as the test wants it."""

from __future__ import annotations

from collections.abc import Sequence

I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12


class Struct:
    """One struct. Fields are given in ascending order of their ids."""

    def __init__(self) -> None:
        self._out = bytearray()
        self._last = 0

    def i32(self, field: int, value: int) -> Struct:
        return self.raw(field, I32, _zigzag(value))

    def i64(self, field: int, value: int) -> Struct:
        return self.raw(field, I64, _zigzag(value))

    def text(self, field: int, value: bytes) -> Struct:
        return self.raw(field, BINARY, varint(len(value)) + value)

    def struct(self, field: int, value: Struct) -> Struct:
        return self.raw(field, STRUCT, value.encoded())

    def i32s(self, field: int, values: Sequence[int]) -> Struct:
        return self.raw(field, LIST, _list_of(I32, [_zigzag(value) for value in values]))

    def texts(self, field: int, values: Sequence[bytes]) -> Struct:
        return self.raw(field, LIST, _list_of(BINARY, [varint(len(value)) + value for value in values]))

    def structs(self, field: int, values: Sequence[Struct]) -> Struct:
        return self.raw(field, LIST, _list_of(STRUCT, [value.encoded() for value in values]))

    def raw(self, field: int, kind: int, encoded: bytes) -> Struct:
        """Add a field of `kind` whose value is `encoded`, whatever that is."""
        assert 0 < field - self._last <= 15
        self._out += bytes([(field - self._last) << 4 | kind]) + encoded
        self._last = field
        return self

    def encoded(self) -> bytes:
        return bytes(self._out) + b"\x00"


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _list_of(kind: int, encoded: Sequence[bytes]) -> bytes:
    count = len(encoded)
    head = bytes([count << 4 | kind]) if count < 15 else bytes([0xF0 | kind]) + varint(count)
    return head + b"".join(encoded)


def _zigzag(value: int) -> bytes:
    return varint(value << 1 if value >= 0 else (~value << 1) | 1)
