"""Read the footer of a Parquet file: where its column chunks stand. Never their values.

    file = "PAR1" | column chunks, by row group | indexes | footer (Thrift) | footer length u32 | "PAR1"

A span is one column of one row group, called ROW-GROUP/COLUMN.PATH: `0/user.name`. Its dtype is the physical type, its
shape the number of values. So a reader who wants some columns, or some row groups, knows which bytes they are, and an
unchanged row group keeps its chunks. Encrypted files, and those whose columns lie in other files, are opaque.
Source: parquet.thrift in apache/parquet-format; proto/manifest.md §5.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from p2phub import limits
from p2phub.errors import Malformed
from p2phub.formats import thrift
from p2phub.formats.layout import SPAN_NAME_BYTES_MAX, Layout, Span
from p2phub.formats.thrift import ThriftReader

FORMAT = "parquet"
MAGIC = b"PAR1"
TYPES = ("BOOLEAN", "INT32", "INT64", "INT96", "FLOAT", "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")
_TAIL_BYTES = 8  # Footer length and magic.
_LEAST_BYTES = len(MAGIC) + _TAIL_BYTES

# Field ids of parquet.thrift.
_FILE_ROW_GROUPS, _FILE_ENCRYPTION = 4, 8
_GROUP_COLUMNS = 1
_CHUNK_FILE_PATH, _CHUNK_META = 1, 3
_META_TYPE, _META_PATH, _META_VALUES, _META_BYTES, _META_DATA, _META_DICTIONARY = 1, 3, 5, 7, 9, 11


def looks_like_parquet(size: int, first: bytes) -> bool:
    """Whether a file of `size` bytes that begins with `first` might be one."""
    return size >= _LEAST_BYTES and first.startswith(MAGIC)


def parse_parquet(size: int, read: Callable[[int, int], bytes]) -> Layout:
    """Return the layout of a file of `size` bytes; `read(offset, length)` gives exactly those bytes of it. Raises as
    `read_footer_of` does."""
    return read_footer_of(size, read)[0]


def read_footer_of(size: int, read: Callable[[int, int], bytes]) -> tuple[Layout, bytes]:
    """Return the layout of a file of `size` bytes, and its footer.

    Raises Malformed: parquet-footer, parquet-count, parquet-column, parquet-name, parquet-cover, thrift; and what
    `read` raises.
    """
    if size < _LEAST_BYTES or read(0, len(MAGIC)) != MAGIC:
        raise Malformed("parquet-footer", "it does not begin as a Parquet file")
    tail = read(size - _TAIL_BYTES, _TAIL_BYTES)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != MAGIC:
        raise Malformed("parquet-footer", "it does not end as a Parquet file, or its footer is encrypted")
    if length > min(size - _LEAST_BYTES, limits.HEADER_BYTES_MAX):
        raise Malformed("parquet-footer", f"a footer of {length} bytes in a file of {size}")
    end = size - _TAIL_BYTES - length
    footer = read(end, length)
    spans = _read_footer(ThriftReader(footer))
    spans.sort(key=lambda span: (span.start, span.stop, span.name))
    at = len(MAGIC)
    for span in spans:
        if span.start < at:
            raise Malformed("parquet-cover", f"column {span.name[:80]!r} overlaps what is before it")
        at = span.stop
    if at > end:
        raise Malformed("parquet-cover", f"columns end at {at}, the footer begins at {end}")
    if len({span.name for span in spans}) != len(spans):
        raise Malformed("parquet-name", "two columns of one row group have one name")
    return Layout(FORMAT, 0, tuple(spans)), footer


def _read_footer(footer: ThriftReader) -> list[Span]:
    spans: list[Span] = []
    for field, kind in footer.fields():
        if field == _FILE_ENCRYPTION:
            raise Malformed("parquet-footer", "it is encrypted")
        if field != _FILE_ROW_GROUPS:
            footer.skip(kind)
            continue
        for number, _ in enumerate(footer.items(kind, thrift.STRUCT)):
            _read_row_group(footer, number, spans)
    return spans


def _read_row_group(footer: ThriftReader, number: int, spans: list[Span]) -> None:
    for field, kind in footer.fields():
        if field != _GROUP_COLUMNS:
            footer.skip(kind)
            continue
        for _ in footer.items(kind, thrift.STRUCT):
            if len(spans) >= limits.TENSORS_PER_FILE_MAX:
                raise Malformed("parquet-count", f"more than {limits.TENSORS_PER_FILE_MAX} column chunks")
            spans.append(_read_chunk(footer, number))


def _read_chunk(footer: ThriftReader, group: int) -> Span:
    column: _Column | None = None
    for field, kind in footer.fields():
        if field == _CHUNK_META and kind == thrift.STRUCT:
            column = _read_meta(footer)
        elif field == _CHUNK_FILE_PATH:
            raise Malformed("parquet-column", "a column that lies in another file")
        else:
            footer.skip(kind)
    if column is None:
        raise Malformed("parquet-column", "a column without metadata, or encrypted")
    return column.span(group)


class _Column(msgspec.Struct):
    """What ColumnMetaData says. Not said: -1, and 0 for a place."""

    type: int = -1
    path: bytes = b""
    values: int = -1
    length: int = -1
    data: int = 0
    dictionary: int = 0

    def span(self, group: int) -> Span:
        """Return it as a span of row group `group`."""
        # A page that was not written stands at 0: the dictionary of most columns, the data of a column without rows.
        places = [place for place in (self.data, self.dictionary) if place]
        if not 0 <= self.type < len(TYPES) or not places or min(self.values, self.length, *places) < 0:
            raise Malformed("parquet-column", "a column without type, path, number of values, length or place")
        try:
            name = f"{group}/{self.path.decode()}"
        except UnicodeDecodeError as exc:
            raise Malformed("parquet-name", "a column whose name is not UTF-8") from exc
        start = min(places)
        return Span(name, start, start + self.length, TYPES[self.type], (self.values,))


def _read_meta(footer: ThriftReader) -> _Column:
    column = _Column()
    for field, kind in footer.fields():
        if field == _META_TYPE:
            column.type = footer.integer(kind)
        elif field == _META_PATH:
            column.path = _read_path(footer, kind)
        elif field == _META_VALUES:
            column.values = footer.integer(kind)
        elif field == _META_BYTES:
            column.length = footer.integer(kind)
        elif field == _META_DATA:
            column.data = footer.integer(kind)
        elif field == _META_DICTIONARY:
            column.dictionary = footer.integer(kind)
        else:
            footer.skip(kind)
    return column


def _read_path(footer: ThriftReader, kind: int) -> bytes:
    parts: list[bytes] = []
    length = 0
    for _ in footer.items(kind, thrift.BINARY):
        parts.append(footer.binary(thrift.BINARY, most=SPAN_NAME_BYTES_MAX))
        length += len(parts[-1]) + 1
        if length > SPAN_NAME_BYTES_MAX - 8:  # The number of the row group stands before it.
            raise Malformed("parquet-name", "a column with too long a name")
    return b".".join(parts)
