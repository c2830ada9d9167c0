"""Which chunks of one manifest are the same as which of another, in whatever files and order they stand there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2phub import limits
from p2phub.content import ChunkTable, RangeSet, Renumbering, chunk_list, digest_of, same_chunks

# A manifest here is files of chunks, each chunk a letter: few letters, so that many are there several times.
FILES = st.lists(st.text("abcdef", max_size=12), max_size=5)


def table_of(files: list[str]) -> ChunkTable:
    return ChunkTable(
        chunk_list([1 + ord(letter) for letter in file], b"".join(digest_of(letter.encode()).raw for letter in file))
        for file in files
    )


def wanted_of(files: list[str], chosen: set[int]) -> RangeSet:
    return RangeSet.from_indices(chosen) & RangeSet.whole(len("".join(files)))


@given(ours=FILES, theirs=FILES, chosen=st.sets(st.integers(0, 60)))
def test_exactly_the_wanted_chunks_that_the_other_has_are_found_each_as_one_equal_to_it(
    ours: list[str], theirs: list[str], chosen: set[int]
) -> None:
    wanted = wanted_of(ours, chosen)
    numbers = same_chunks(table_of(ours), wanted, table_of(theirs))
    mine, other = "".join(ours), "".join(theirs)
    assert set(numbers.ours) == {chunk for chunk in wanted if mine[chunk] in other}
    assert all(other[numbers.theirs(chunk)] == mine[chunk] for chunk in numbers.ours)


@given(ours=FILES, theirs=FILES, held=st.sets(st.integers(0, 60)))
def test_who_has_some_of_the_other_has_those_of_ours_that_are_among_them(
    ours: list[str], theirs: list[str], held: set[int]
) -> None:
    numbers = same_chunks(table_of(ours), wanted_of(ours, set(range(60))), table_of(theirs))
    has = numbers.held_by_who_has(RangeSet.from_indices(held))
    assert set(has) == {chunk for chunk in numbers.ours if numbers.theirs(chunk) in held}


def test_what_stands_together_in_both_is_one_run() -> None:
    ours, theirs = table_of(["xabc", "defy"]), table_of(["fabcd", "ef"])
    assert same_chunks(ours, RangeSet.whole(8), theirs).runs == ((1, 1, 6),)


def test_of_equal_chunks_each_finds_its_neighbour() -> None:
    numbers = same_chunks(table_of(["baaac"]), RangeSet.whole(5), table_of(["aaab"]))
    assert numbers.runs == ((0, 3, 1), (1, 0, 3))


def test_a_chunk_that_a_list_says_to_be_longer_is_another() -> None:
    digest = digest_of(b"a").raw
    ours, theirs = (ChunkTable([chunk_list([length], digest)]) for length in (1, 2))
    assert not same_chunks(ours, RangeSet.whole(1), theirs).ours


def test_of_very_many_runs_the_longest_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HAVE_RANGES_MAX", 2)
    numbers = same_chunks(table_of(["abxcdeyf"]), RangeSet.whole(8), table_of(["ab", "f", "cde"]))
    assert numbers.runs == ((0, 0, 2), (3, 3, 3))


def test_pieces_of_what_somebody_has_are_no_more_than_a_peer_could_say(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = Renumbering.of((ours, 0, 9) for ours in range(0, 90, 10))
    monkeypatch.setattr(limits, "HAVE_RANGES_MAX", 7)
    assert len(numbers.held_by_who_has(RangeSet.from_indices(range(0, 9, 2))).runs) == 7
