"""A part of a Parquet file is one that pyarrow reads: the row groups and columns that were chosen, and no others."""

from __future__ import annotations

import base64
import io
from fnmatch import fnmatchcase

import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from p2phub import limits
from p2phub.errors import Malformed
from p2phub.formats import part_end, read_footer_of
from p2phub.formats.thrift import BINARY, I16, I64, LIST, STRUCT, ThriftReader, ThriftWriter
from tests.support.reading import reader

ROWS = 40
TABLE = pa.table(
    {
        "id": pa.array(range(ROWS), pa.int64()),
        "text": [f"row {number}" if number % 3 else None for number in range(ROWS)],
        "user": [{"name": f"u{number % 4}", "tags": ["x"] * (number % 3)} for number in range(ROWS)],
        "when": pa.array(range(ROWS), pa.timestamp("us", tz="UTC")),
        "kind": pa.array(["a", "b"] * (ROWS // 2)).dictionary_encode(),
        "few": pa.array([None] * ROWS, pa.int32()),
    }
)
OPTIONS = [
    {},
    {"use_dictionary": False, "compression": "none"},
    {"write_page_index": True, "sorting_columns": [pq.SortingColumn(0)], "store_schema": False},
    {"version": "1.0", "data_page_version": "2.0"},
]


def written(**options: object) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(TABLE, buffer, row_group_size=10, **options)
    return buffer.getvalue()


def part_of(data: bytes, groups: list[int], column: str = "*") -> bytes:
    layout, footer = read_footer_of(len(data), reader(data))
    chosen = [
        span
        for span in layout.spans
        if int(span.name.partition("/")[0]) in groups
        and any(fnmatchcase(span.name.partition("/")[2], each) for each in (column, column + ".*"))
    ]
    made, places = bytearray(b"PAR1"), {}
    for span in chosen:
        places[span.name] = len(made)
        made += data[span.start : span.stop]
    return bytes(made) + part_end(footer, places, columns_gone=column != "*")


TOTAL, TOTAL_COMPRESSED, ORDINAL = 2, 6, 7  # Of a row group, in parquet.thrift.


def group_fields(footer: bytes, number: int) -> dict[int, int]:
    """Return the numbers that a footer says of a row group, by field."""
    reader = ThriftReader(footer)
    groups: list[dict[int, int]] = []
    for field, kind in reader.fields():
        if field != 4:
            reader.skip(kind)
            continue
        for _ in reader.items(kind, STRUCT):
            groups.append({})
            for inner, inner_kind in reader.fields():
                if inner_kind in (I16, I64):
                    groups[-1][inner] = reader.integer(inner_kind)
                else:
                    reader.skip(inner_kind)
    return groups[number]


def rows_of(groups: list[int]) -> list[int]:
    return [row for group in groups for row in range(10 * group, 10 * group + 10)]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("groups", [[0], [1, 3], [0, 1, 2, 3]])
def test_row_groups_are_read_as_they_were(options: dict[str, object], groups: list[int]) -> None:
    data = written(**options)
    found = pq.read_table(io.BytesIO(part_of(data, groups)))
    assert found.equals(pq.read_table(io.BytesIO(data)).take(rows_of(groups)).combine_chunks()) or (
        found.to_pylist() == TABLE.take(rows_of(groups)).to_pylist()
    )
    assert found.schema.equals(pq.read_schema(io.BytesIO(data)))


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("column", TABLE.column_names)
def test_one_column_of_some_row_groups_is_all_there_is(options: dict[str, object], column: str) -> None:
    made = part_of(written(**options), [1, 2], column)
    file = pq.ParquetFile(io.BytesIO(made))
    assert file.metadata.num_rows == 20
    assert file.metadata.num_row_groups == 2
    found = file.read()
    assert found.column_names == [column]
    assert found[column].to_pylist() == TABLE[column].take(rows_of([1, 2])).to_pylist()


def test_a_part_of_a_nested_column_keeps_what_leads_to_it() -> None:
    found = pq.read_table(io.BytesIO(part_of(written(), [0], "user.name")))
    assert found.to_pylist() == [{"user": {"name": f"u{number % 4}"}} for number in range(10)]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize(("groups", "column"), [([1, 3], "*"), ([0, 2], "id"), ([2], "user.name")])
def test_row_groups_say_of_themselves_what_is_left_of_them(
    options: dict[str, object], groups: list[int], column: str
) -> None:
    """Readers that share out work by size go by these, and some by the number within the file."""
    made = part_of(written(**options), groups, column)
    found = pq.ParquetFile(io.BytesIO(made)).metadata
    _, footer = read_footer_of(len(made), reader(made))
    for number in range(found.num_row_groups):
        group = found.row_group(number)
        columns = [group.column(at) for at in range(group.num_columns)]
        assert group.total_byte_size == sum(each.total_uncompressed_size for each in columns)
        fields = group_fields(footer, number)
        assert fields[TOTAL_COMPRESSED] == sum(each.total_compressed_size for each in columns)
        assert fields.get(ORDINAL, number) == number  # Which this writer does not tell.


def footer_of(*, unpacked: int = 10, told: tuple[int, ...] = ()) -> bytes:
    """Return a footer of one row group and column, with these fields beside those that it must have."""
    meta = struct_of({3: ("names", b"a"), 6: (6, unpacked), 7: (6, 7), 9: (6, 4)})
    group = struct_of({1: ("structs", struct_of({3: ("struct", meta)})), 3: (6, 2), **dict.fromkeys(told, (6, 99))})
    return struct_of({4: ("structs", group)})


def struct_of(fields: dict[int, tuple[object, object]]) -> bytes:
    writer = ThriftWriter()
    for field, (kind, value) in sorted(fields.items()):
        if kind == "struct":
            writer.field(field, STRUCT)
            writer.raw(value)
        elif kind in ("structs", "names"):
            writer.field(field, LIST)
            encoded = value if kind == "structs" else bytes((len(value),)) + value
            writer.list_of(STRUCT if kind == "structs" else BINARY, [encoded])
        else:
            writer.field(field, kind)
            writer.integer(value)
    writer.end()
    return writer.data()


def test_what_a_row_group_does_not_say_of_itself_is_not_said_for_it() -> None:
    made = part_end(footer_of(), {"0/a": 4}, columns_gone=False)
    assert not {TOTAL, TOTAL_COMPRESSED, ORDINAL} & set(group_fields(made, 0))
    made = part_end(footer_of(told=(TOTAL, ORDINAL)), {"0/a": 4}, columns_gone=False)
    assert (group_fields(made, 0)[TOTAL], group_fields(made, 0)[ORDINAL]) == (10, 0)


def test_sizes_that_come_to_no_number_are_refused() -> None:
    assert part_end(footer_of(unpacked=2**63 - 1), {"0/a": 4}, columns_gone=False)
    with pytest.raises(Malformed, match="come to no number"):
        part_end(footer_of(unpacked=-8), {"0/a": 4}, columns_gone=False)


def test_rows_can_be_looked_for_by_statistics_in_a_part() -> None:
    made = part_of(written(write_page_index=True), [0, 2], "id")
    assert pq.read_table(io.BytesIO(made), filters=[("id", ">", 25)])["id"].to_pylist() == [26, 27, 28, 29]


SPARK = "org.apache.spark.sql.parquet.row.metadata"
PICKLED_TYPE = pa.field("id", pa.int64(), metadata={"ARROW:extension:name": "arrow.py_extension_type"})
SPARK_TYPE = '{"type":"struct","fields":[{"name":"id","type":{"type":"udt","pyClass":"m.T","serializedClass":"gAR"}}]}'
SPARK_HARMLESS = '{"type":"struct","fields":[{"name":"id","type":"long","nullable":true,"metadata":{}}]}'


def arrow_schema(field: pa.Field) -> str:
    return base64.b64encode(pa.schema([field]).serialize()).decode()


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [
        ("ARROW:schema", arrow_schema(PICKLED_TYPE), False),
        ("ARROW:schema", "-" + arrow_schema(pa.field("id", pa.int64())), False),  # Whatever a reader makes of it.
        ("ARROW:schema", arrow_schema(pa.field("id", pa.int64())), True),
        (SPARK, SPARK_TYPE, False),
        (SPARK, SPARK_TYPE.replace("serialized", "\\u0073erialized"), False),
        (SPARK, SPARK_HARMLESS, True),
        ("pandas", "{}", True),
        ("mine", SPARK_TYPE, True),  # Nobody looks for types there.
    ],
)
def test_a_schema_with_a_pickled_type_is_left_out_and_the_values_stay(key: str, value: str, kept: bool) -> None:
    buffer = io.BytesIO()
    table = TABLE.select(["id"])
    with pq.ParquetWriter(buffer, table.schema, store_schema=False) as writer:
        writer.write_table(table, row_group_size=10)
        writer.add_key_value_metadata({key: value})
    assert key.encode() in buffer.getvalue()
    made = part_of(buffer.getvalue(), [1])
    found = pq.read_metadata(io.BytesIO(made)).metadata or {}
    assert (found.get(key.encode()) == value.encode()) is kept
    assert pq.read_table(io.BytesIO(made))["id"].to_pylist() == rows_of([1])


def test_what_is_made_is_a_layout_again_with_its_spans_back_to_back() -> None:
    made = part_of(written(), [1, 3], "text")
    layout, _ = read_footer_of(len(made), reader(made))
    assert [span.name for span in layout.spans] == ["0/text", "1/text"]
    assert [layout.spans[0].start, layout.spans[1].start] == [4, layout.spans[0].stop]


def element(name: bytes, children: int) -> bytes:
    writer = ThriftWriter()
    writer.field(4, 8)
    writer.raw(
        bytes([len(name) & 0x7F | 0x80, len(name) >> 7]) + name if len(name) > 127 else bytes([len(name)]) + name
    )
    if children:
        writer.field(5, 5)
        writer.integer(children)
    writer.end()
    return writer.data()


def schema(*elements: bytes) -> bytes:
    writer = ThriftWriter()
    writer.field(2, 9)
    writer.list_of(STRUCT, elements)
    writer.end()
    return writer.data()


@pytest.mark.parametrize("count", [1, 7])
def test_a_schema_that_does_not_add_up_is_refused(count: int) -> None:
    footer = schema(element(b"root", count), element(b"a", 0), element(b"b", 0))
    with pytest.raises(Malformed, match="schema"):
        part_end(footer, {"0/a": 4}, columns_gone=True)


def test_a_schema_that_would_take_far_more_memory_than_its_file_is_refused() -> None:
    many = limits.TENSORS_PER_FILE_MAX
    long = limits.HEADER_BYTES_MAX // 4000 + 1
    for footer, rule in (
        (schema(*[b"\0"] * (many + 1)), "more than 262144 elements"),
        (schema(b"\x61" + b"\x11" * 17 + b"\0"), "too many fields"),
        (schema(element(b"root", 1), element(b"n" * 4000, long), *[element(b"c", 0)] * long), "names come to more"),
    ):
        with pytest.raises(Malformed, match=rule):
            part_end(footer, {"0/a": 4}, columns_gone=True)


def test_what_is_written_is_read() -> None:
    writer = ThriftWriter()
    for field, value in ((1, 0), (3, -1), (40, 2**62), (41, -(2**63))):
        writer.field(field, 6)
        writer.integer(value)
    writer.end()
    again = ThriftReader(writer.data())
    assert [(field, again.integer(kind)) for field, kind in again.fields()] == [
        (1, 0), (3, -1), (40, 2**62), (41, -(2**63)),
    ]  # fmt: skip
