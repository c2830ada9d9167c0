"""What every index of the catalog promises, run on the real disk and in memory."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from p2phub import limits
from p2phub.catalog import Entry, Query, matches, parse_query
from p2phub.store import CatalogIndex
from p2phub.store.catalog_database import CatalogDatabase
from p2phub.store.memory_catalog import MemoryCatalog
from tests.support.catalog import BOB, entry, names, told


@pytest.fixture(params=["disk", "memory"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CatalogIndex]:
    made: CatalogIndex = CatalogDatabase(tmp_path) if request.param == "disk" else MemoryCatalog()
    yield made
    made.close()


def find(index: CatalogIndex, text: str, *, first: int = 0, count: int = 10, **narrowed: object) -> list[str]:
    return names(index.find(parse_query(text, **narrowed), first, count))  # type: ignore[arg-type]


def test_an_entry_is_found_by_any_of_its_words_in_any_form_and_order(index: CatalogIndex) -> None:
    index.put(told([entry("llama3-8b", title="A Großes Modèle", licence="apache-2.0", formats=("gguf",))]))
    for text in (
        "llama3-8b",
        "8B_LLAMA3",
        "grosses",
        "GROSSES mode\u0300le",
        "apache",
        "gguf llama3",
        "model",
        "llama",
    ):
        assert find(index, text) == ["llama3-8b"], text
    for text in ("llama2", "lama", "llama3 parquet", "modele "):
        assert find(index, text) == [], text


def test_only_the_last_word_may_be_unfinished_and_not_behind_a_separator(index: CatalogIndex) -> None:
    index.put(told([entry("mistral-large")]))
    assert find(index, "mist") == find(index, "large mist") == ["mistral-large"]
    assert find(index, "mist large") == find(index, "mist ") == find(index, "mist-") == []


def test_a_publishers_key_finds_what_it_published(index: CatalogIndex) -> None:
    index.put(told([entry("a"), entry("b", publisher=BOB)]))
    key = index.find(Query(), 0, 10)[0].reference.partition("/")[0]
    assert len(find(index, key)) == len(find(index, key[:20])) == 1


def test_what_is_held_comes_first_then_what_has_a_name_then_the_newest(index: CatalogIndex) -> None:
    entries = [
        entry("new", hours=50),
        entry("named", hours=2, names=("mine/named",)),
        entry("old", hours=1),
        entry("held", hours=3, origin="fetched"),
    ]
    index.put(told(entries))
    assert find(index, "") == ["held", "named", "new", "old"]
    assert find(index, "", held=True) == ["held"]
    assert index.count(Query(held=True)) == 1
    assert index.count(Query()) == 4


def test_what_is_called_just_so_comes_first_however_old_it_is(index: CatalogIndex) -> None:
    many = [entry(f"bert-{number}", hours=1000 + number) for number in range(limits.SEARCH_RERANKED + 50)]
    index.put(told([entry("bert", hours=1), *many, entry("x", hours=2, names=("google/bert",))]))
    assert sorted(find(index, "bert", count=2)) == ["bert", "x"]
    assert find(index, "google/bert", count=2) == ["x"]


def test_a_word_of_the_name_counts_more_than_one_of_the_title(index: CatalogIndex) -> None:
    index.put(told([entry("a", title="a whisper", hours=9), entry("whisper-b", hours=1)]))
    assert find(index, "whisper") == ["whisper-b", "a"]


def test_a_kind_narrows_what_is_found(index: CatalogIndex) -> None:
    index.put(told([entry("a-x"), entry("b-x", kind="dataset", hours=2)]))
    assert find(index, "x", kind="dataset") == find(index, "", kind="dataset") == ["b-x"]
    assert index.count(parse_query("x", kind="model")) == 1
    assert find(index, "dataset") == ["b-x"]


def test_pages_have_everything_once_however_they_are_cut(index: CatalogIndex) -> None:
    chance = random.Random(7)
    count = 2 * limits.SEARCH_RERANKED + 77
    entries = [entry(f"m{number}", title="words " * chance.randint(1, 5), hours=number + 1) for number in range(count)]
    index.put(told([*entries, entry("words", hours=3), entry("words", hours=4, tag="v2")]))
    whole = [(each.name, each.tag) for each in index.find(parse_query("words"), 0, 10_000)]
    assert len(set(whole)) == len(whole) == count + 2
    for size in (1, 30, limits.SEARCH_RERANKED, limits.SEARCH_RERANKED + 1):
        for first in (0, 1, size, limits.SEARCH_RERANKED - 1, limits.SEARCH_RERANKED + 2, count):
            found = index.find(parse_query("words"), first, size)
            assert [(each.name, each.tag) for each in found] == whole[first : first + size]


def test_a_newer_entry_takes_the_place_of_the_one_before(index: CatalogIndex) -> None:
    old = entry("a", title="first", hours=1)
    index.put(told([old, entry("b", hours=2)]))
    index.put(told([replace(old, title="second", created=9 * 3600)], mark=b"new"))
    assert find(index, "first") == []
    assert find(index, "second") == ["a"]
    assert find(index, "") == ["a", "b"]
    assert index.marks([old.key, b"?" * 16]) == {old.key: b"new"}
    index.put(told([replace(old, title="third", created=9 * 3600, origin="own")]))
    assert find(index, "third", held=True) == ["a"]
    assert index.count(Query()) == 2


def test_what_is_removed_is_not_found(index: CatalogIndex) -> None:
    entries = [entry("a-x"), entry("b-x", hours=2)]
    index.put(told(entries))
    index.remove([entries[0].key, b"?" * 16])
    assert find(index, "x") == ["b-x"]
    assert find(index, "a") == []
    assert (index.entry(entries[0].key), index.entry(entries[1].key)) == (None, entries[1])


def test_its_own_are_what_is_held_or_has_a_name(index: CatalogIndex) -> None:
    held, named = entry("held", origin="own"), entry("named", names=("x",))
    index.put(told([held, named, entry("seen")]))
    assert dict(index.own()) == {held.key: b"mark", named.key: b"mark"}


def test_beyond_the_bound_what_was_seen_longest_ago_goes_and_nothing_that_is_held(index: CatalogIndex) -> None:
    entries = [entry(f"s{number}", hours=number + 1, seen=100 - number) for number in range(6)]
    index.put(told([*entries, entry("held", origin="own"), entry("named", names=("n",))]))
    while index.trim(4):
        pass
    assert sorted(find(index, "")) == ["held", "named", "s0", "s1", "s2", "s3"]
    assert find(index, "s5") == []


def test_as_many_of_one_hour_as_there_are_have_each_a_place(index: CatalogIndex) -> None:
    entries = [entry(f"n{number}", hours=5) for number in range(5000)]
    for start in range(0, 5000, 1000):
        index.put(told(entries[start : start + 1000]))
    assert index.count(Query()) == 5000
    assert len(set(find(index, "", count=5000))) == 5000


def test_answers_are_what_a_look_at_every_entry_says(index: CatalogIndex) -> None:
    chance = random.Random(3)
    words = ["llama3", "qwen", "gguf", "8b", "tiny", "chat", "instruct", "日本", "grün"]

    def some() -> Entry:
        made = "-".join(chance.sample(words[:-2], 2)) + f"-{chance.randint(0, 999)}"
        return entry(
            made,
            title=" ".join(chance.choices(words, k=3)),
            hours=chance.randint(1, 10**5),
            kind=chance.choice(["model", "dataset"]),
            origin=chance.choice(["", "", "own"]),
        )

    entries = list({each.key: each for each in (some() for _ in range(400))}.values())
    index.put(told(entries))
    for _ in range(60):
        text = " ".join(chance.sample([*words, "lla", "q", "1"], chance.randint(1, 3)))
        query = parse_query(text, kind=chance.choice([None, "model"]), held=chance.random() < 0.3)
        found = {each.key for each in index.find(query, 0, 1000)}
        assert found == {each.key for each in entries if matches(query, each)}, text
        assert index.count(query) == len(found)


@pytest.mark.parametrize(
    "text", ['"', "'; --", "a OR b", "NEAR(a b)", "*", "a*", "(a", "-a", "^a", "#model", "=a", "\0", "a\0b"]
)
def test_what_means_something_to_a_database_is_only_text(text: str, index: CatalogIndex) -> None:
    index.put(told([entry("zz", title="nothing of that")]))
    assert find(index, text) == (["zz"] if text in ('"', "'; --", "*", "\0") or "model" in text else [])
