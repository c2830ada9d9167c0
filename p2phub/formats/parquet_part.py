"""The footer of a Parquet file that holds some column chunks of another: some row groups, some columns, or both.

    file = "PAR1" | the column chunks that were chosen | footer (Thrift) | footer length u32 | "PAR1"

The original's footer is copied field by field: row groups and columns that were not chosen are left out, places are
those of the new file, the schema loses the columns, and rows, row groups and their bytes are counted anew. Left out too
are indexes and bloom filters, which are not copied, and, where columns are gone, what speaks of all of them: their
order and sorting, and the schemas that writers keep beside the format's own. Never copied is such a schema with a
pickled type, which runs what it likes when a reader opens the file. Pure. Source: parquet.thrift in
apache/parquet-format; decisions/0092.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from p2phub import limits
from p2phub.errors import Malformed
from p2phub.formats import thrift
from p2phub.formats.layout import SPAN_NAME_BYTES_MAX
from p2phub.formats.parquet import MAGIC
from p2phub.formats.thrift import ThriftReader, ThriftWriter

# Field ids of parquet.thrift.
_FILE_SCHEMA, _FILE_ROWS, _FILE_GROUPS, _FILE_KEYS, _FILE_ORDERS = 2, 3, 4, 5, 7
_FILE_LEFT_OUT = {8, 9}  # Encryption, which no readable file has.
_ELEMENT_NAME, _ELEMENT_CHILDREN = 4, 5
_GROUP_COLUMNS, _GROUP_BYTES, _GROUP_ROWS, _GROUP_SORTING, _GROUP_PLACE = 1, 2, 3, 4, 5
_GROUP_PACKED_BYTES, _GROUP_ORDINAL = 6, 7
_CHUNK_PLACE, _CHUNK_META = 2, 3
_CHUNK_LEFT_OUT = {4, 5, 6, 7}  # Where its indexes stand.
_META_PATH, _META_UNPACKED, _META_PACKED = 3, 6, 7
_META_DATA, _META_INDEX, _META_DICTIONARY = 9, 10, 11
_META_LEFT_OUT = {14, 15}  # Where its bloom filter stands.
_KEYS_OF_ALL_COLUMNS = (b"ARROW:schema", b"pandas")
_PAIR_KEY, _PAIR_VALUE = 1, 2
_ARROW_SCHEMA, _ARROW_PICKLED = b"ARROW:schema", b"arrow.py_extension_type"  # CVE-2023-47248.
_SPARK_SCHEMAS, _SPARK_PICKLED = b"org.apache.spark.", b"serializedClass"
_ELEMENT_FIELDS_MAX = 16  # The format has ten. Each takes a hundred bytes here, and may take one in the file.
_PATHS_BYTES_MAX = limits.HEADER_BYTES_MAX  # Of a schema: deep ones would repeat long beginnings once a column.


def part_end(footer: bytes, places: Mapping[str, int], *, columns_gone: bool) -> bytes:
    """Return what follows the column chunks of a new file: its footer, that footer's length, and the magic.

    `footer` is that of the original, which `parse_parquet` has read; `places`: where each chosen span begins in the
    new file, by its name there; `columns_gone`: whether any column is in none of them. Raises Malformed.
    """
    reader, writer = ThriftReader(footer), ThriftWriter()
    groups, rows = _groups(footer, places)
    leaves = {name.partition("/")[2] for name in places}
    for field, kind in reader.fields():
        if field == _FILE_SCHEMA and columns_gone:
            elements = _schema(reader, kind, leaves)
            writer.field(field, kind)
            writer.list_of(thrift.STRUCT, elements)
        elif field == _FILE_ROWS:
            reader.skip(kind)
            writer.field(field, kind)
            writer.integer(rows)
        elif field == _FILE_GROUPS:
            reader.skip(kind)
            writer.field(field, kind)
            writer.list_of(thrift.STRUCT, groups)
        elif field == _FILE_KEYS:
            pairs = _pairs(reader, kind, columns_gone=columns_gone)
            writer.field(field, kind)
            writer.list_of(thrift.STRUCT, pairs)
        elif field in _FILE_LEFT_OUT or (field == _FILE_ORDERS and columns_gone):
            reader.skip(kind)
        else:
            _copy(reader, writer, field, kind)
    writer.end()
    made = writer.data()
    return made + len(made).to_bytes(4, "little") + MAGIC


def _copy(reader: ThriftReader, writer: ThriftWriter, field: int, kind: int) -> None:
    writer.field(field, kind)
    writer.raw(reader.passed(kind))


def _groups(footer: bytes, places: Mapping[str, int]) -> tuple[list[bytes], int]:
    """Return the row groups that anything is kept of, and how many rows they have."""
    reader = ThriftReader(footer)
    made: list[bytes] = []
    rows = 0
    for field, kind in reader.fields():
        if field != _FILE_GROUPS:
            reader.skip(kind)
            continue
        for number, _ in enumerate(reader.items(kind, thrift.STRUCT)):
            group = _group(reader, number, places, ordinal=len(made))
            if group is not None:
                made.append(group.data)
                rows += group.rows
    return made, rows


class _Group(NamedTuple):
    data: bytes
    rows: int


class _Chunk(NamedTuple):
    """A column chunk at its new place, or its metadata; how many bytes it is unpacked, and in the file, as is told."""

    data: bytes
    unpacked: int
    packed: int


def _group(reader: ThriftReader, number: int, places: Mapping[str, int], *, ordinal: int) -> _Group | None:
    """Return what is kept of a row group, which is number `ordinal` of the new file; None if nothing is."""
    start = reader.position
    chunks: list[_Chunk] = []
    for field, kind in reader.fields():
        if field == _GROUP_COLUMNS:
            all_chunks = [_chunk(reader, number, places) for _ in reader.items(kind, thrift.STRUCT)]
            chunks += [chunk for chunk in all_chunks if chunk is not None]
        else:
            reader.skip(kind)
    if not chunks:
        return None
    # What readers share out work by. Fields that the original does not have are not added.
    told_anew = {
        _GROUP_BYTES: sum(chunk.unpacked for chunk in chunks),
        _GROUP_PACKED_BYTES: sum(chunk.packed for chunk in chunks),
        _GROUP_ORDINAL: ordinal,
    }
    if not all(0 <= value < 1 << 63 for value in told_anew.values()):
        raise Malformed("parquet-column", "columns of a row group that come to no number of bytes")
    again, writer = reader.again(start), ThriftWriter()
    rows = 0
    for field, kind in again.fields():
        if field == _GROUP_COLUMNS:
            again.skip(kind)
            writer.field(field, kind)
            writer.list_of(thrift.STRUCT, [chunk.data for chunk in chunks])
        elif field == _GROUP_ROWS:
            rows = again.integer(kind)
            writer.field(field, kind)
            writer.integer(rows)
        elif field in told_anew:
            again.integer(kind)
            writer.field(field, kind)
            writer.integer(told_anew[field])
        elif field in (_GROUP_SORTING, _GROUP_PLACE):
            again.skip(kind)
        else:
            _copy(again, writer, field, kind)
    writer.end()
    return _Group(writer.data(), rows)


def _chunk(reader: ThriftReader, group: int, places: Mapping[str, int]) -> _Chunk | None:
    """Return a column chunk at its new place, None if it was not chosen."""
    writer = ThriftWriter()
    kept: _Chunk | None = None
    for field, kind in reader.fields():
        if field == _CHUNK_META and kind == thrift.STRUCT:
            kept = _meta(reader, group, places)
            writer.field(field, kind)
            writer.raw(b"\0" if kept is None else kept.data)
        elif field == _CHUNK_PLACE:  # Of metadata beside the column, which hardly anybody wrote: 0 says none.
            reader.skip(kind)
            writer.field(field, kind)
            writer.integer(0)
        elif field in _CHUNK_LEFT_OUT:
            reader.skip(kind)
        else:
            _copy(reader, writer, field, kind)
    writer.end()
    return None if kept is None else kept._replace(data=writer.data())


def _meta(reader: ThriftReader, group: int, places: Mapping[str, int]) -> _Chunk | None:
    start = reader.position
    path, found = b"", []
    unpacked = packed = 0
    for field, kind in reader.fields():
        if field == _META_PATH:
            path = _text_path(reader, kind)
        elif field in (_META_DATA, _META_DICTIONARY):
            found.append(reader.integer(kind))
        elif field == _META_UNPACKED:
            unpacked = reader.integer(kind)
        elif field == _META_PACKED:
            packed = reader.integer(kind)
        else:
            reader.skip(kind)
    place = places.get(f"{group}/{path.decode('utf-8', 'replace')}")
    begins = [each for each in found if each]
    if place is None or not begins:
        return None
    by = place - min(begins)
    again, writer = reader.again(start), ThriftWriter()
    for field, kind in again.fields():
        if field in (_META_DATA, _META_DICTIONARY):
            value = again.integer(kind)
            writer.field(field, kind)
            writer.integer(value + by if value else 0)
        elif field in _META_LEFT_OUT or field == _META_INDEX:
            again.skip(kind)
        else:
            _copy(again, writer, field, kind)
    writer.end()
    return _Chunk(writer.data(), unpacked, packed)


def _text_path(reader: ThriftReader, kind: int) -> bytes:
    items = reader.items(kind, thrift.BINARY)
    return b".".join(reader.binary(thrift.BINARY, most=SPAN_NAME_BYTES_MAX) for _ in items)


def _schema(reader: ThriftReader, kind: int, leaves: set[str]) -> list[bytes]:
    """Return the elements of the schema, depth first as they stand, that lead to a leaf which is kept."""
    elements: list[_Element] = []
    for _ in reader.items(kind, thrift.STRUCT):
        if len(elements) >= limits.TENSORS_PER_FILE_MAX:  # Before any more is kept: one takes a byte in the file.
            raise Malformed("parquet-count", f"a schema of more than {limits.TENSORS_PER_FILE_MAX} elements")
        elements.append(_Element.read(reader))
    parents, paths = _places_in_tree(elements)
    keeps = [False] * len(elements)
    for at, element in enumerate(elements):
        if not element.children and paths[at].decode("utf-8", "replace") in leaves:
            up = at
            while up >= 0 and not keeps[up]:
                keeps[up] = True
                up = parents[up]
    counts = [0] * len(elements)
    for at, kept in enumerate(keeps):
        if kept and at:
            counts[parents[at]] += 1
    return [elements[at].with_children(counts[at]) for at, kept in enumerate(keeps) if kept]


def _places_in_tree(elements: Sequence[_Element]) -> tuple[list[int], list[bytes]]:
    """Return the parent of each element (of the root -1), and its path without the root's name."""
    parents, paths = [-1] * len(elements), [b""] * len(elements)
    above: list[list[int]] = []  # The way from the root: an element, and how many below it are still to come.
    room = _PATHS_BYTES_MAX
    for at, element in enumerate(elements):
        if at:
            if not above:
                raise Malformed("parquet-footer", "a schema that goes on behind its end")
            parents[at] = above[-1][0]
            above[-1][1] -= 1
            path = paths[parents[at]]
            paths[at] = path + b"." + element.name if path else element.name
            if len(paths[at]) > SPAN_NAME_BYTES_MAX:
                raise Malformed("parquet-name", "a column with too long a name")
            room -= len(paths[at])
            if room < 0:
                raise Malformed("parquet-name", f"a schema whose names come to more than {_PATHS_BYTES_MAX} bytes")
        above.append([at, element.children])
        while above and not above[-1][1]:
            above.pop()
    if above:
        raise Malformed("parquet-footer", "a schema that ends too early")
    return parents, paths


class _Element:
    """One element of a schema: its fields as they stand, its name, and how many elements below follow it."""

    def __init__(self, fields: list[tuple[int, int, bytes]], name: bytes, children: int) -> None:
        self._fields, self.name, self.children = fields, name, children

    @classmethod
    def read(cls, reader: ThriftReader) -> _Element:
        fields: list[tuple[int, int, bytes]] = []
        name, children = b"", 0
        for field, kind in reader.fields():
            at = reader.position
            if field == _ELEMENT_CHILDREN:
                children = reader.integer(kind)
                if not 0 <= children <= limits.TENSORS_PER_FILE_MAX:
                    raise Malformed("parquet-footer", "a schema element with no possible number of children")
            elif field == _ELEMENT_NAME:
                name = reader.binary(kind, most=SPAN_NAME_BYTES_MAX)
            else:
                reader.skip(kind)
            fields.append((field, kind, reader.since(at)))
            if len(fields) > _ELEMENT_FIELDS_MAX:
                raise Malformed("parquet-footer", "a schema element of too many fields")
        return cls(fields, name, children)

    def with_children(self, count: int) -> bytes:
        writer = ThriftWriter()
        for field, kind, raw in self._fields:
            writer.field(field, kind)
            if field == _ELEMENT_CHILDREN:
                writer.integer(count)
            else:
                writer.raw(raw)
        writer.end()
        return writer.data()


def _pairs(reader: ThriftReader, kind: int, *, columns_gone: bool) -> list[bytes]:
    """Return the pairs of key and value but for those that may bring a pickle, and with `columns_gone` for those that
    speak of all columns."""
    kept: list[bytes] = []
    for _ in reader.items(kind, thrift.STRUCT):
        at = reader.position
        key = value = b""
        for field, inner in reader.fields():
            if field == _PAIR_KEY:
                key = reader.binary(inner, most=limits.HEADER_BYTES_MAX)
            elif field == _PAIR_VALUE:
                value = reader.binary(inner, most=limits.HEADER_BYTES_MAX)
            else:
                reader.skip(inner)
        if not _may_unpickle(key, value) and not (columns_gone and key in _KEYS_OF_ALL_COLUMNS):
            kept.append(reader.since(at))
    return kept


def _may_unpickle(key: bytes, value: bytes) -> bool:
    """Whether a schema that a writer kept has a type that is a pickle. One that is not as its writer writes it may:
    readers forgive more than is looked at here."""
    if key == _ARROW_SCHEMA:
        try:
            return _ARROW_PICKLED in binascii.a2b_base64(value, strict_mode=True)
        except binascii.Error:
            return True
    # JSON, where letters of a name can be spelt with escapes, which Spark does not do.
    return key.startswith(_SPARK_SCHEMAS) and (_SPARK_PICKLED in value or b"\\u" in value)
