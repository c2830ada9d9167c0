"""Chunks are numbered through all files, and each number leads back to its file and place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2phub.content import ChunkTable, RangeSet, chunk_list, digest_of, length_of

files = st.lists(st.lists(st.integers(1, 1 << 20), max_size=5), max_size=8)


def table_of(lengths: list[list[int]]) -> ChunkTable:
    return ChunkTable(
        [
            chunk_list(each, b"".join(digest_of(f"{file}/{chunk}".encode()).raw for chunk in range(len(each))))
            for file, each in enumerate(lengths)
        ]
    )


@given(files)
def test_every_chunk_is_found_where_it_lies(lengths: list[list[int]]) -> None:
    table = table_of(lengths)
    expected = [
        (file, sum(each[:chunk]), length, digest_of(f"{file}/{chunk}".encode()).raw)
        for file, each in enumerate(lengths)
        for chunk, length in enumerate(each)
    ]
    found = list(table.chunks(0, len(table)))
    assert [(ref.file, ref.offset, ref.length, ref.digest) for ref in found] == expected
    assert [ref.index for ref in found] == list(range(len(expected)))
    assert len(table) == len(expected)
    assert table.files == len(lengths)
    assert table.bytes_total == sum(map(sum, lengths))


@given(files)
def test_spans_divide_the_numbers_among_the_files(lengths: list[list[int]]) -> None:
    table = table_of(lengths)
    spans = [table.span(file) for file in range(table.files)]
    assert [stop - start for start, stop in spans] == [len(each) for each in lengths]
    assert [table.chunks_in(file) for file in range(table.files)] == [len(each) for each in lengths]
    assert [index for start, stop in spans for index in range(start, stop)] == list(range(len(table)))


@given(files, st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=5))
def test_bytes_of_ranges_are_those_of_their_chunks(lengths: list[list[int]], pairs: list[tuple[int, int]]) -> None:
    table = table_of(lengths)
    ranges = RangeSet.of(pairs) & RangeSet.whole(len(table))
    assert table.bytes_of(ranges) == sum(table.chunk(index).length for index in ranges)
    assert table.bytes_of(ranges) == length_of(table.chunk(index) for index in ranges)


@pytest.mark.parametrize("index", [-1, 3, 1000])
def test_a_number_outside_the_manifest_has_no_chunk(index: int) -> None:
    table = table_of([[1, 2], [], [3]])
    with pytest.raises(IndexError):
        table.chunk(index)
    with pytest.raises(IndexError):
        list(table.chunks(index, 1))


@given(files, st.data())
def test_chunks_from_anywhere_on_are_those_that_are_asked_for_one_by_one(
    lengths: list[list[int]], data: st.DataObject
) -> None:
    table = table_of(lengths)
    first = data.draw(st.integers(0, len(table)))
    count = data.draw(st.integers(0, len(table) - first))
    assert list(table.chunks(first, count)) == [table.chunk(index) for index in range(first, first + count)]


@given(files, st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=5))
def test_chunks_are_counted_by_file_as_they_are_found_one_by_one(
    lengths: list[list[int]], pairs: list[tuple[int, int]]
) -> None:
    table = table_of(lengths)
    ranges = RangeSet.of(pairs) & RangeSet.whole(len(table))
    counted = [(file, count) for run in ranges.runs for file, count in table.by_file(RangeSet((run,)))]
    assert list(table.by_file(ranges)) == counted
    files_of_chunks = [table.file_of(index) for index in ranges]
    assert [file for file, count in counted for _ in range(count)] == files_of_chunks
    assert all(count > 0 for _, count in counted)


@given(files, st.data())
def test_the_chunks_of_a_range_of_bytes_are_those_that_hold_one_of_them(
    lengths: list[list[int]], data: st.DataObject
) -> None:
    table = table_of(lengths)
    for file, each in enumerate(lengths):
        start, stop = (data.draw(st.integers(0, sum(each) + 5)) for _ in range(2))
        refs = [table.chunk(index) for index in range(*table.span(file))]
        expected = [ref.index for ref in refs if max(ref.offset, start) < min(ref.offset + ref.length, stop)]
        assert list(range(*table.covering(file, start, stop))) == expected


@given(files, st.integers(0, 4 << 20), st.data())
def test_as_many_chunks_fit_as_can_be_added_up(lengths: list[list[int]], bytes_max: int, data: st.DataObject) -> None:
    table = table_of(lengths)
    first = data.draw(st.integers(0, len(table)))
    stop = data.draw(st.integers(first, len(table)))
    taken = total = 0
    while first + taken < stop and total + table.chunk(first + taken).length <= bytes_max:
        total += table.chunk(first + taken).length
        taken += 1
    assert table.fitting(first, stop, bytes_max) == taken


@given(files)
def test_the_list_of_each_file_is_the_one_that_its_table_was_made_of(lengths: list[list[int]]) -> None:
    lists = [chunk_list(each, digest_of(b"each").raw * len(each)) for each in lengths]
    table = ChunkTable(lists)
    assert [table.list_of(file) for file in range(table.files)] == lists


@given(files)
def test_packed_digests_are_those_of_the_chunks(lengths: list[list[int]]) -> None:
    table = table_of(lengths)
    assert table.digests(0, len(table)) == b"".join(chunk.digest for chunk in table.chunks(0, len(table)))
