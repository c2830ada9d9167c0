"""RangeSet against Python's own sets, which are too slow and too large but surely right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2phub.content import RangeSet

runs = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12)


def model(pairs: list[tuple[int, int]]) -> set[int]:
    return {index for start, stop in pairs for index in range(start, stop)}


def assert_normal(found: RangeSet) -> None:
    """Sorted, none empty, a gap between any two: so that equal sets are equal values."""
    assert all(start < stop for start, stop in found.runs)
    assert all(before[1] < after[0] for before, after in zip(found.runs, found.runs[1:], strict=False))


@given(runs, runs)
def test_algebra_is_that_of_sets(left: list[tuple[int, int]], right: list[tuple[int, int]]) -> None:
    a, b = RangeSet.of(left), RangeSet.of(right)
    for found, expected in (
        (a, model(left)),
        (a | b, model(left) | model(right)),
        (a & b, model(left) & model(right)),
        (a - b, model(left) - model(right)),
    ):
        assert_normal(found)
        assert list(found) == sorted(expected)
        assert len(found) == len(expected)
        assert bool(found) == bool(expected)
        assert [index for index in range(-1, 62) if index in found] == sorted(expected)
        assert found == RangeSet.from_indices(expected)
        assert hash(found) == hash(RangeSet.from_indices(expected))


@given(runs, st.integers(-1, 80))
def test_first_takes_the_lowest_members(pairs: list[tuple[int, int]], count: int) -> None:
    found = RangeSet.of(pairs).first(count)
    assert_normal(found)
    assert list(found) == sorted(model(pairs))[: max(count, 0)]


@given(runs, st.integers(0, 80))
def test_after_the_lowest_members_come_all_others(pairs: list[tuple[int, int]], count: int) -> None:
    found = RangeSet.of(pairs).after(count)
    assert_normal(found)
    assert list(found) == sorted(model(pairs))[count:]


@pytest.mark.parametrize(("count", "members"), [(0, []), (3, [0, 1, 2])])
def test_whole_has_every_chunk(count: int, members: list[int]) -> None:
    assert list(RangeSet.whole(count)) == members


def test_a_million_chunks_cost_one_run() -> None:
    whole = RangeSet.whole(1_000_000)
    assert (whole - RangeSet.of([(5, 6)])).runs == ((0, 5), (6, 1_000_000))
    assert len(whole) == 1_000_000


@given(runs)
def test_ascending_indices_make_the_same_set_as_any(pairs: list[tuple[int, int]]) -> None:
    indices = sorted(model(pairs))
    assert RangeSet.ascending(iter(indices)) == RangeSet.from_indices(indices)


def test_indices_that_do_not_ascend_are_our_own_mistake() -> None:
    with pytest.raises(AssertionError):
        RangeSet.ascending([3, 2])
    with pytest.raises(AssertionError):
        RangeSet.ascending([3, 3])
