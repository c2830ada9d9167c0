"""Where files are cut: the promises that fine-tunes and re-shardings rely on. Exact figures stand in the vectors."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from p2phub.content import cut_points

KIB, MIB = 1 << 10, 1 << 20
lengths = st.lists(
    st.one_of(st.integers(0, 3000), st.integers(60 * KIB, 70 * KIB), st.integers(MIB - 2, 3 * MIB)), max_size=30
)


def starts(header: int, tensors: list[int]) -> tuple[list[int], int]:
    """Return the start of each tensor, and the file's length."""
    at, found = header, []
    for length in tensors:
        found.append(at)
        at += length
    return found, at


@given(st.integers(1, 2 * MIB), lengths)
def test_chunks_cover_the_file_and_none_is_empty_or_above_1_mib(header: int, tensors: list[int]) -> None:
    boundaries, length = starts(header, tensors)
    cuts = cut_points(boundaries, length)
    assert cuts[0] == 0
    assert cuts[-1] == length
    assert all(0 < stop - start <= MIB for start, stop in pairwise(cuts))


@given(st.integers(1, 2 * MIB), lengths)
def test_a_chunk_holds_part_of_one_tensor_or_whole_small_ones(header: int, tensors: list[int]) -> None:
    boundaries, length = starts(header, tensors)
    edges = sorted({0, *boundaries, length})
    sizes = {start: stop - start for start, stop in pairwise(edges)}
    for start, stop in pairwise(cut_points(boundaries, length)):
        within = [edge for edge in edges if start < edge < stop]
        if within:
            assert start in edges
            assert stop in edges
            assert all(sizes[edge] < 64 * KIB for edge in (start, *within))
            assert start > 0, "the header shares no chunk"


@given(lengths, lengths, st.integers(64 * KIB, 3 * MIB), st.integers(1, 999), st.integers(1, 999))
def test_a_tensor_keeps_its_chunks_whatever_stands_around_it(
    before: list[int], after: list[int], tensor: int, header: int, other_header: int
) -> None:
    boundaries, length = starts(header, [*before, tensor, *after])
    start = boundaries[len(before)]
    alone = [cut - other_header for cut in cut_points([other_header], other_header + tensor) if cut >= other_header]
    among = [cut - start for cut in cut_points(boundaries, length) if start <= cut <= start + tensor]
    assert among == alone


@given(st.integers(0, 5 * MIB))
def test_an_opaque_file_is_cut_every_mib(length: int) -> None:
    assert cut_points((), length) == (*range(0, length, MIB), length) if length else (0,)
