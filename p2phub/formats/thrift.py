"""Thrift's compact protocol, for footers that come from strangers, and for those made of parts of them. Pure.

A struct is read field by field: who reads it takes what it knows and skips the rest. Counts and lengths are checked
against the bytes that are there before anything is allocated, depth is bounded, and skipping allocates nothing.
Source: thrift-compact-protocol.md in apache/thrift.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from p2phub.errors import Malformed

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
_DEPTH_MAX = 32
_INTEGERS = (BYTE, I16, I32, I64)


class ThriftReader:
    """Reads `data` from its front. All methods raise Malformed("thrift") for what the protocol does not allow."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def position(self) -> int:
        """How many bytes were read."""
        return self._at

    def since(self, position: int) -> bytes:
        """Return what was read since it was at `position`."""
        return self._data[position : self._at]

    def again(self, position: int) -> ThriftReader:
        """Return one that reads the same from `position` on."""
        reader = ThriftReader(self._data)
        reader._at = position
        return reader

    def passed(self, kind: int) -> bytes:
        """Pass over a value of `kind`, and return it as it stands."""
        start = self._at
        self.skip(kind)
        return self.since(start)

    def fields(self) -> Iterator[tuple[int, int]]:
        """Yield (field id, type) of a struct's fields; the caller reads or skips each value before the next."""
        field = 0
        while head := self._byte():
            kind, delta = head & 0x0F, head >> 4
            field = field + delta if delta else self._zigzag()
            yield field, kind
        # A zero byte ends a struct.

    def integer(self, kind: int) -> int:
        """Read the value of a whole number of `kind`, which is also checked."""
        if kind not in _INTEGERS:
            raise Malformed("thrift", f"a value of type {kind} where a whole number should be")
        if kind == BYTE:
            value = self._byte()
            return value - 256 if value > 127 else value
        return self._zigzag()

    def binary(self, kind: int, *, most: int) -> bytes:
        """Read a text or bytes of at most `most` bytes."""
        if kind != BINARY:
            raise Malformed("thrift", f"a value of type {kind} where text should be")
        length = self._varint()
        if length > most:
            raise Malformed("thrift", f"a text of {length} bytes, of {most} at most")
        return self._take(length)

    def items(self, kind: int, of: int) -> Iterator[None]:
        """Yield once for each item of a list of `of`; the caller reads or skips it before the next."""
        count, inner = self._list_head(kind)
        if inner != of and count:
            raise Malformed("thrift", f"a list of type {inner} where it should be of {of}")
        for _ in range(count):
            yield None

    def skip(self, kind: int, *, depth: int = 0) -> None:
        """Pass over a value of `kind`."""
        if depth > _DEPTH_MAX:
            raise Malformed("thrift", "values too deep within each other")
        if kind in (TRUE, FALSE):  # Their value is their type.
            return
        if kind == BYTE:
            self._byte()
        elif kind in (I16, I32, I64):
            self._varint()
        elif kind == DOUBLE:
            self._take(8)
        elif kind == BINARY:
            self._pass(self._varint())
        elif kind in (LIST, SET):
            count, inner = self._list_head(kind)
            for _ in range(count):
                self._skip_item(inner, depth + 1)
        elif kind == MAP:
            count = self._count(self._varint())
            kinds = self._byte() if count else 0
            for _ in range(count):
                self._skip_item(kinds >> 4, depth + 1)
                self._skip_item(kinds & 0x0F, depth + 1)
        elif kind == STRUCT:
            for _, inner in self.fields():
                self.skip(inner, depth=depth + 1)
        else:
            raise Malformed("thrift", f"no type {kind}")

    def _skip_item(self, kind: int, depth: int) -> None:
        if kind in (TRUE, FALSE):  # A byte of its own, within a list or map.
            self._byte()
        else:
            self.skip(kind, depth=depth)

    def _list_head(self, kind: int) -> tuple[int, int]:
        if kind not in (LIST, SET):
            raise Malformed("thrift", f"a value of type {kind} where a list should be")
        head = self._byte()
        count = head >> 4
        return self._count(self._varint() if count == 15 else count), head & 0x0F

    def _count(self, count: int) -> int:
        """Return `count`, of items that take a byte each at least."""
        if count > len(self._data) - self._at:
            raise Malformed("thrift", f"{count} items in {len(self._data) - self._at} bytes")
        return count

    def _byte(self) -> int:
        if self._at >= len(self._data):
            raise Malformed("thrift", "it ends too early")
        value = self._data[self._at]
        self._at += 1
        return value

    def _take(self, length: int) -> bytes:
        start = self._at
        self._pass(length)
        return self._data[start : self._at]

    def _pass(self, length: int) -> None:
        if length > len(self._data) - self._at:
            raise Malformed("thrift", "it ends too early")
        self._at += length

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value >> 64:
                    raise Malformed("thrift", "a number of more than 64 bits")
                return value
            shift += 7
            if shift > 63:
                raise Malformed("thrift", "a number of more than ten bytes")

    def _zigzag(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)


class ThriftWriter:
    """Writes one struct, field by field in ascending order of their ids: `field`, then its value."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._field = 0

    def field(self, field: int, kind: int) -> None:
        delta = field - self._field
        if 0 < delta < 16:
            self._data.append(delta << 4 | kind)
        else:
            self._data.append(kind)
            self._varint(field << 1 ^ field >> 63)
        self._field = field

    def integer(self, value: int) -> None:
        """Write a whole number of more than a byte."""
        self._varint((value << 1 ^ value >> 63) & (1 << 64) - 1)

    def raw(self, value: bytes) -> None:
        """Write a value that is encoded already."""
        self._data += value

    def list_of(self, kind: int, items: Sequence[bytes]) -> None:
        """Write a list of items that are encoded already."""
        if len(items) < 15:
            self._data.append(len(items) << 4 | kind)
        else:
            self._data.append(0xF0 | kind)
            self._varint(len(items))
        for item in items:
            self._data += item

    def end(self) -> None:
        self._data.append(0)

    def data(self) -> bytes:
        return bytes(self._data)

    def _varint(self, value: int) -> None:
        while value >= 0x80:
            self._data.append(value & 0x7F | 0x80)
            value >>= 7
        self._data.append(value)
