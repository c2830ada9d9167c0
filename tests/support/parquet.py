"""Write small, real Parquet files without a Parquet library: two required columns, plain encoding, no compression.

Enough of the format that any reader opens the file and its row groups stand where the footer says.
Source: Apache Parquet format 2, `parquet.thrift`; Thrift's compact protocol.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"PAR1"
INT64, BYTE_ARRAY = 2, 6  # parquet.thrift: Type
PLAIN, RLE = 0, 3  # Encoding
REQUIRED = 0  # FieldRepetitionType
UNCOMPRESSED = 0  # CompressionCodec
DATA_PAGE = 0  # PageType

# Types of Thrift's compact protocol, as they stand in a field header.
_I32, _I64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12


@dataclass(frozen=True, slots=True)
class Table:
    """Rows to write: column `id` (signed 64-bit) and column `text` (bytes), of equal length."""

    ids: Sequence[int]
    texts: Sequence[bytes]


class _Struct:
    """One Thrift struct in the compact protocol. Fields are given in ascending order of their ids."""

    def __init__(self) -> None:
        self._out = bytearray()
        self._last = 0

    def i32(self, field: int, value: int) -> _Struct:
        return self._put(field, _I32, _zigzag(value))

    def i64(self, field: int, value: int) -> _Struct:
        return self._put(field, _I64, _zigzag(value))

    def text(self, field: int, value: bytes) -> _Struct:
        return self._put(field, _BINARY, _varint(len(value)) + value)

    def struct(self, field: int, value: _Struct) -> _Struct:
        return self._put(field, _STRUCT, value.encoded())

    def i32s(self, field: int, values: Sequence[int]) -> _Struct:
        return self._put(field, _LIST, _list_of(_I32, [_zigzag(value) for value in values]))

    def texts(self, field: int, values: Sequence[bytes]) -> _Struct:
        return self._put(field, _LIST, _list_of(_BINARY, [_varint(len(value)) + value for value in values]))

    def structs(self, field: int, values: Sequence[_Struct]) -> _Struct:
        return self._put(field, _LIST, _list_of(_STRUCT, [value.encoded() for value in values]))

    def encoded(self) -> bytes:
        return bytes(self._out) + b"\x00"

    def _put(self, field: int, kind: int, encoded: bytes) -> _Struct:
        assert 0 < field - self._last <= 15
        self._out += bytes([(field - self._last) << 4 | kind]) + encoded
        self._last = field
        return self


def write_parquet(path: Path, table: Table, *, rows_per_group: int) -> None:
    """Write `table` to the new file `path`, in row groups of at most `rows_per_group` rows."""
    groups: list[_Struct] = []
    with path.open("xb") as file:
        file.write(MAGIC)
        for start in range(0, len(table.ids), rows_per_group):
            stop = min(start + rows_per_group, len(table.ids))
            ids = b"".join(struct.pack("<q", value) for value in table.ids[start:stop])
            texts = b"".join(struct.pack("<I", len(value)) + value for value in table.texts[start:stop])
            columns: list[_Struct] = []
            group_bytes = 0
            for name, kind, values in ((b"id", INT64, ids), (b"text", BYTE_ARRAY, texts)):
                offset = file.tell()
                page = _page(values, rows=stop - start)
                file.write(page)
                group_bytes += len(page)
                meta = _Struct().i32(1, kind).i32s(2, [PLAIN, RLE]).texts(3, [name]).i32(4, UNCOMPRESSED)
                meta.i64(5, stop - start).i64(6, len(page)).i64(7, len(page)).i64(9, offset)
                columns.append(_Struct().i64(2, offset).struct(3, meta))
            groups.append(_Struct().structs(1, columns).i64(2, group_bytes).i64(3, stop - start))
        footer = _footer(groups, rows=len(table.ids))
        file.write(footer + struct.pack("<I", len(footer)) + MAGIC)


def _page(values: bytes, *, rows: int) -> bytes:
    """Return one data page: its header, then the plain values (required columns have no levels)."""
    data = _Struct().i32(1, rows).i32(2, PLAIN).i32(3, RLE).i32(4, RLE)
    header = _Struct().i32(1, DATA_PAGE).i32(2, len(values)).i32(3, len(values)).struct(5, data)
    return header.encoded() + values


def _footer(groups: Sequence[_Struct], *, rows: int) -> bytes:
    schema = [
        _Struct().text(4, b"schema").i32(5, 2),
        _Struct().i32(1, INT64).i32(3, REQUIRED).text(4, b"id"),
        _Struct().i32(1, BYTE_ARRAY).i32(3, REQUIRED).text(4, b"text"),
    ]
    footer = _Struct().i32(1, 1).structs(2, schema).i64(3, rows).structs(4, groups).text(6, b"p2phub tests")
    return footer.encoded()


def _list_of(kind: int, encoded: Sequence[bytes]) -> bytes:
    count = len(encoded)
    head = bytes([count << 4 | kind]) if count < 15 else bytes([0xF0 | kind]) + _varint(count)
    return head + b"".join(encoded)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _zigzag(value: int) -> bytes:
    return _varint(value << 1 if value >= 0 else ~(value << 1))
