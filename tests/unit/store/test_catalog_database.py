"""The catalog's index on a disk: whose it is, what a crash or damage leaves of it, and what it reads."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2phub import limits
from p2phub.catalog import Query, parse_query
from p2phub.errors import DiskError
from p2phub.store import catalog_database, catalog_rows
from p2phub.store.catalog_database import CATALOG, CatalogDatabase
from tests.support.catalog import entry, names, told


@pytest.fixture
def index(tmp_path: Path) -> Iterator[CatalogDatabase]:
    made = CatalogDatabase(tmp_path)
    yield made
    made.close()


def found(index: CatalogDatabase, text: str) -> list[str]:
    return names(index.find(parse_query(text), 0, 100))


def test_it_outlives_the_process_and_another_one_reads_it_meanwhile(index: CatalogDatabase, tmp_path: Path) -> None:
    index.put(told([entry("a-x")]))
    other = CatalogDatabase(tmp_path)
    assert found(other, "x") == ["a-x"]
    other.put(told([entry("b-x", hours=2)]))
    other.close()
    assert found(index, "x") == ["b-x", "a-x"]


def test_nothing_is_made_before_it_is_asked(index: CatalogDatabase, tmp_path: Path) -> None:
    assert os.listdir(tmp_path) == []
    assert index.find(Query(), 0, 1) == []
    assert CATALOG in os.listdir(tmp_path)


def test_strangers_who_say_one_hour_of_all_they_publish_cost_nobody_else_a_place(
    index: CatalogDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond so many there was no place for an entry, which was taken for damage: all that was known was forgotten."""
    monkeypatch.setattr(catalog_rows, "_SLOTS", 1)
    index.put(told([entry("honest-x", hours=5)]))
    generation = index.generation
    flood = [entry(f"flood-{number}", hours=1) for number in range(60)]
    for at in range(0, 60, 20):
        index.put(told(flood[at : at + 20]))
    index.put(told([entry("another-x", hours=1)]))
    assert index.generation == generation
    assert sorted(found(index, "x")) == ["another-x", "honest-x"]
    assert index.count(parse_query("flood")) == 60


def test_it_is_for_its_user_alone_whatever_the_umask(index: CatalogDatabase, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        index.put(told([entry("a")]))
        modes = [stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in os.listdir(tmp_path)]
    finally:
        os.umask(before)
    assert len(modes) == 3
    assert set(modes) == {0o600}


def broken_header(path: Path) -> None:
    path.write_bytes(b"not a database" * 1000)


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def another_schema(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()


def table_missing(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("DROP TABLE lists")
    db.commit()
    db.close()


def entry_of_no_form(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("UPDATE entry SET packed = x'c1'")
    db.commit()
    db.close()


@pytest.mark.parametrize("harm", [broken_header, cut_short, another_schema, table_missing, entry_of_no_form])
def test_what_is_damaged_or_of_another_version_is_begun_anew_and_says_so(harm: object, tmp_path: Path) -> None:
    index = CatalogDatabase(tmp_path)
    index.put(told(entry(f"x-{number}", hours=number) for number in range(100)))
    before = index.generation
    index.close()
    for name in os.listdir(tmp_path):
        if name != CATALOG:
            os.unlink(tmp_path / name)
    harm(tmp_path / CATALOG)  # type: ignore[operator]
    assert found(index, "x") == []
    assert index.generation != before
    index.put(told([entry("new-x")]))
    assert found(index, "x") == ["new-x"]
    index.close()


def test_a_home_that_cannot_be_written_is_a_disk_error(tmp_path: Path) -> None:
    with pytest.raises(DiskError):
        CatalogDatabase(tmp_path / "no such folder").find(Query(), 0, 1)


def test_a_word_that_is_begun_stands_for_the_most_common_that_begin_so(index: CatalogDatabase) -> None:
    rare = [entry(f"ab{number:03}", hours=9) for number in range(limits.SEARCH_BEGUN_MAX + 5)]
    common = [entry(f"z{number}", title="abzz", hours=1) for number in range(3)]
    index.put(told([*rare, *common, entry("ab", hours=1)]))
    answer = found(index, "ab")
    assert {"ab", "z0", "z1", "z2"} < set(answer)
    assert len(answer) == 4 + limits.SEARCH_BEGUN_MAX - 2
    assert len(found(index, "ab03")) == 7  # Who goes on typing finds the rest.


def test_a_word_that_nothing_has_any_more_is_forgotten(index: CatalogDatabase, tmp_path: Path) -> None:
    one = entry("soon-gone")
    index.put(told([one, entry("stays")]))
    index.remove([one.key])
    db = sqlite3.connect(tmp_path / CATALOG)
    words = {word for (word,) in db.execute("SELECT word FROM vocabulary")}
    db.close()
    assert "stays" in words
    assert not words & {"soon", "gone"}


def test_to_find_the_first_reads_a_part_of_a_long_list_alone(index: CatalogDatabase) -> None:
    index.put(told(entry(f"llama-{number}", hours=number) for number in range(20_000)))
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    index.find(Query(), 0, 1)
    reader = index._reader
    assert reader is not None
    reader.set_progress_handler(count, 1)  # At each of SQLite's instructions.
    assert len(index.find(parse_query("llama model"), 0, 30)) == 30
    few, steps = steps, 0
    assert index.count(parse_query("llama model")) == 20_000
    assert few < steps / 5


def test_a_home_that_goes_away_while_it_is_opened_is_the_disks_fault_whatever_is_asked(
    index: CatalogDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> sqlite3.Connection:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error

    monkeypatch.setattr(catalog_database.sqlite3, "connect", fails)
    with pytest.raises(DiskError):
        index.find(Query(), 0, 1)
    with pytest.raises(DiskError):
        _ = index.generation
