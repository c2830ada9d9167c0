"""A map has few enough pieces to be drawn, and covers what it is of."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from p2phub.web.merging import Piece, coarser, merged, overlap


def layers(count: int, parts: tuple[str, ...] = ("attn.q.weight", "attn.k.weight", "mlp.up.weight")) -> list[Piece]:
    names = [f"model.layers.{layer}.{part}" for layer in range(count) for part in parts]
    return [Piece(name, 10 * at, 10 * at + 10) for at, name in enumerate(names)]


def test_what_is_few_stays_as_it_is() -> None:
    assert merged(layers(2), most=6) == layers(2)


def test_neighbours_are_merged_by_the_beginnings_of_their_names() -> None:
    found = merged(layers(3), most=6)
    assert [(each.name, each.count) for each in found] == [
        (f"model.layers.{layer}.{part}", count)
        for layer in range(3)
        for part, count in (("attn", 2), ("mlp.up.weight", 1))
    ]
    found = merged(layers(3), most=3)
    assert [(each.name, each.start, each.stop, each.count) for each in found] == [
        (f"model.layers.{layer}", 30 * layer, 30 * layer + 30, 3) for layer in range(3)
    ]


def test_where_names_do_not_help_runs_are_merged() -> None:
    pieces = [Piece(f"t{number}", number, number + 1) for number in range(100)]
    found = merged(pieces, most=7)
    assert len(found) <= 7
    assert (found[0].start, found[-1].stop, sum(each.count for each in found)) == (0, 100, 100)
    assert found[0].name == "t0 … t14"


@given(st.lists(st.tuples(st.text("ab.", max_size=6), st.integers(1, 9)), max_size=40), st.integers(1, 10))
def test_a_map_covers_what_it_is_of(made: list[tuple[str, int]], most: int) -> None:
    pieces, at = [], 0
    for name, length in made:
        pieces.append(Piece(name, at, at + length))
        at += length
    found = merged(pieces, most=most)
    assert len(found) <= most
    assert sum(each.count for each in found) == len(pieces)
    assert [each.start for each in found[1:]] == [each.stop for each in found[:-1]]
    assert (not found and not at) or (found[0].start, found[-1].stop) == (0, at)


spans = st.lists(st.integers(0, 60), unique=True, max_size=20).map(
    lambda ends: [list(pair) for pair in zip(sorted(ends)[::2], sorted(ends)[1::2], strict=False)]
)


@given(spans, st.integers(0, 60), st.integers(0, 60))
def test_an_overlap_is_the_bytes_that_are_in_both(here: list[list[int]], start: int, stop: int) -> None:
    both = {byte for at, to in here for byte in range(at, to)} & set(range(start, stop))
    assert overlap(start, stop, here) == len(both)


@given(spans, st.integers(1, 5))
def test_coarser_spans_hide_the_smallest_gaps_and_nothing_else(here: list[list[int]], most: int) -> None:
    found = coarser(here, most=most)
    assert len(found) <= most
    assert {byte for at, to in here for byte in range(at, to)} <= {byte for at, to in found for byte in range(at, to)}
    if len(here) > most:
        gaps = sorted(b[0] - a[1] for a, b in pairwise(here))
        kept = sorted(b[0] - a[1] for a, b in pairwise(found))
        assert kept == gaps[len(gaps) - len(kept) :]
    else:
        assert found == here
