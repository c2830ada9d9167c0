"""What an entry is, where it stands, and by what it is found."""

from __future__ import annotations

from itertools import pairwise

import pytest
from msgspec.structs import replace

from p2phub import limits
from p2phub.catalog import Entry, first_position, index_words, position_of, score
from p2phub.catalog.entry import HELD, HOURS, NAMED, SEEN
from p2phub.catalog.formats import formats_of
from p2phub.catalog.query import parse_query
from p2phub.content import Digest
from p2phub.manifest import commit_of
from tests.support.catalog import BOB, entry


def test_all_releases_of_a_name_and_tag_are_one_entry_and_no_others() -> None:
    one = entry("a")
    assert replace(one, manifest=b"\7" * 32, title="x", created=9).key == one.key
    bare = Entry(publisher=b"", name="", tag="", manifest=b"\1" * 32)
    others = [
        entry("b"),
        entry("a", tag="v2"),
        entry("a", publisher=BOB),
        entry("a", publisher=b""),
        bare,
        replace(bare, manifest=b"\2" * 32),
    ]
    assert len({each.key for each in (one, *others)}) == len(others) + 1


def test_a_name_without_the_users_word_is_told_with_its_publishers_key() -> None:
    stranger = entry("llama", tag="v2")
    assert stranger.called.endswith("/llama")
    assert stranger.reference == f"{stranger.called}@v2"
    assert replace(stranger, names=("meta/llama", "x")).called == "meta/llama"
    adopted = entry("org/m", publisher=b"")
    assert adopted.called == "org/m"
    assert adopted.reference.startswith("bag")


def test_its_commit_is_the_hubs_own_or_made_of_its_name() -> None:
    one = entry("a", names=("org/a",))
    assert one.commit == commit_of("org/a", Digest(one.manifest))
    assert replace(one, revision="ab" * 20).commit == "ab" * 20


@pytest.mark.parametrize("created", [0, 1, 3600 * (HOURS - 1), 3600 * HOURS, (1 << 40) - 1])
def test_every_time_has_a_position_within_its_class_with_room_behind_it(created: int) -> None:
    for which, made in ((HELD, entry("a", origin="own")), (NAMED, entry("a", names=("x",))), (SEEN, entry("a"))):
        position = position_of(replace(made, created=created))
        assert first_position(which) <= position
        assert position + (HOURS << 12) <= first_position(which + 1)


def test_an_index_finds_it_by_words_of_bounded_number_and_length() -> None:
    great = entry("a" * 64, title="b " * 400 + "c" * 2000, names=("x/y",) * 64, formats=("gguf",) * 64)
    words = index_words(great)
    assert len(words) == len(set(words)) < 100
    assert max(map(len, words)) <= 2 * limits.SEARCH_WORD_CHARS_MAX


def test_more_of_a_word_and_a_better_field_score_higher_but_ever_less_so() -> None:
    query = parse_query("llama ")
    by_title, by_name = entry("x", title="llama"), entry("llama", title="x")
    assert score(query, by_name) > score(query, by_title)
    scores = [score(query, entry("x", title="llama x " * times + "xxxxx x " * (9 - times))) for times in range(1, 6)]
    gains = [later - sooner for sooner, later in pairwise(scores)]
    assert gains == sorted(gains, reverse=True)
    assert gains[-1] > 0
    assert score(query, entry("llama")) > score(query, entry("llama", title="many other words " * 5))
    assert score(query, replace(by_name, origin="own")) > score(query, by_name)


def test_a_word_that_is_whole_scores_more_than_one_that_only_begins_so() -> None:
    query = parse_query("llama")
    assert score(query, entry("llama-x")) > score(query, entry("llamas-x")) > 0


def test_formats_are_told_by_how_files_end() -> None:
    paths = [
        "a/model-00001.safetensors",
        "b.GGUF",
        "README.md",
        "x.parquet/none",
        "y.tar.gz",
        "z.jpeg",
        "z.png",
    ]
    assert formats_of(paths) == ("gguf", "images", "safetensors")
    assert formats_of(["gguf", "x/parquet"]) == ()
