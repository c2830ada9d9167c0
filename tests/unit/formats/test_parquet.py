"""Layouts of Parquet files, against pyarrow: columns stand where it says, and hold what it reads."""

from __future__ import annotations

import io
import itertools
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet as pq

from p2phub.formats import decode_layout, encode_layout
from tests.support.covers import covers
from tests.support.reading import check_opaque_or_within, chunks_of, damaged, layout
from tests.support.thrift import varint

NAME = "train.parquet"


def table(rows: int, *, seed: int = 1) -> pa.Table:
    chance = np.random.Generator(np.random.PCG64(seed))
    texts = [f"text {number % 7}" for number in range(rows)]
    return pa.table(
        {
            "id": pa.array(range(rows)),
            "score": pa.array(chance.random(rows)),
            "text": pa.array(texts),
            "user": pa.array([{"name": text, "tags": [text] * (number % 3)} for number, text in enumerate(texts)]),
        }
    )


def write(content: pa.Table, **how: object) -> bytes:
    out = io.BytesIO()
    pq.write_table(content, out, **how)
    return out.getvalue()


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"compression": "zstd", "row_group_size": 100},
        {"use_dictionary": False, "data_page_version": "2.0", "write_page_index": True},
    ],
)
def test_columns_stand_where_pyarrow_says(how: dict[str, object]) -> None:
    data = write(table(250), **how)
    found = layout(data, NAME)
    assert (found.format, found.problem, found.header_bytes) == ("parquet", None, 0)
    footer = pq.ParquetFile(io.BytesIO(data)).metadata
    theirs = {}
    for group, number in itertools.product(range(footer.num_row_groups), range(footer.num_columns)):
        column = footer.row_group(group).column(number)
        places = [column.data_page_offset]
        places += [column.dictionary_page_offset] if column.has_dictionary_page else []
        start = min(places)
        stop = start + column.total_compressed_size
        theirs[f"{group}/{column.path_in_schema}"] = (start, stop, column.physical_type, (column.num_values,))
    assert {span.name: (span.start, span.stop, span.dtype, span.shape) for span in found.spans} == theirs
    assert decode_layout(encode_layout(found), size=len(data)) == found


def test_an_unchanged_row_group_keeps_its_chunks_when_rows_are_added() -> None:
    first = write(table(40_000), row_group_size=20_000, compression="none", use_dictionary=False)
    more = pa.concat_tables([table(40_000), table(5_000, seed=2)])
    second = write(more, row_group_size=20_000, compression="none", use_dictionary=False)

    columns = layout(first, NAME).spans
    assert sum(map(len, chunks_of(first, NAME) & chunks_of(second, NAME))) >= columns[-1].stop - columns[0].start


def test_a_table_without_rows_has_a_layout_without_bytes() -> None:
    found = layout(write(table(0)), NAME)
    assert found.format == "parquet"
    assert found.problem is None


@settings(max_examples=200, deadline=None)
@given(st.data())
@covers("T30")
def test_a_damaged_footer_is_read_within_the_file_or_opaque(data: st.DataObject) -> None:
    check_opaque_or_within(damaged(data, GOOD), NAME, lambda found: (4, len(GOOD) - 8))


@pytest.mark.parametrize(
    "item",
    [b"\x00", b"\x19\x0c\x00", b"\x19\x1c\x00\x00", b"\x19\x1c\x3c\x39\x08\x00\x00\x00"],
    ids=["empty row groups", "row groups of no column", "empty columns", "columns without anything"],
)
@covers("T30")
def test_a_hostile_footer_costs_no_more_than_its_own_bytes(item: bytes) -> None:
    count = 1_000_000 // len(item)
    footer = b"\x49\xfc" + varint(count) + item * count + b"\x00"
    data = b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"
    tracemalloc.start()
    try:
        layout(data, NAME)
        assert tracemalloc.get_traced_memory()[1] < 5 * len(data)
    finally:
        tracemalloc.stop()


GOOD = write(table(3), compression="none")
