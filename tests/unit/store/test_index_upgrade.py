"""An index that an older p2phub wrote gets what is new, and loses nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from p2phub.store import Keep, Origin
from tests.support.content import content_of, random_files
from tests.support.stores import DiskScene, hold

CONTENT = content_of(random_files(5, model=5_500, more=300), 1000)
_BACK_TO_3 = "DROP TABLE hashing; PRAGMA user_version = 3;"
_BACK_TO_2 = f"""
    {_BACK_TO_3}
    DROP INDEX file_of; DROP TABLE content; DROP TABLE chunk;
    ALTER TABLE file DROP COLUMN root;
    CREATE TABLE chunk (key INTEGER NOT NULL, holding INTEGER NOT NULL, number INTEGER NOT NULL,
        PRIMARY KEY (key, holding, number)) WITHOUT ROWID;
    INSERT INTO chunk VALUES (1, 1, 0);
    UPDATE holding SET chunked = 1;
    PRAGMA user_version = 2;
"""
_BACK_TO_1 = f"""
    {_BACK_TO_2}
    DROP TABLE chunk; DROP TABLE part; DROP TABLE hashed; DROP TABLE needed; DROP TABLE used; DROP TABLE gone;
    DROP INDEX file_at;
    ALTER TABLE holding DROP COLUMN origin; ALTER TABLE holding DROP COLUMN source;
    ALTER TABLE holding DROP COLUMN chunked; ALTER TABLE file DROP COLUMN place;
    PRAGMA user_version = 1;
"""


@pytest.fixture
def scene(tmp_path: Path) -> DiskScene:
    made = DiskScene(tmp_path)
    hold(made, CONTENT)
    return made


@pytest.mark.parametrize("back", [_BACK_TO_1, _BACK_TO_2, _BACK_TO_3], ids=["1", "2", "3"])
def test_an_index_of_an_earlier_schema_goes_on_with_its_chunks_known(scene: DiskScene, back: str) -> None:
    with sqlite3.connect(scene.home / "index.sqlite") as db:
        db.executescript(back)
    db.close()
    scene.reopen()
    (held,) = scene.store.holdings()
    assert (held.complete, held.origin) == (True, Origin.PUBLISHED)
    other = content_of({"renamed": CONTENT.files["model.bin"]}, 1000)
    assert sum(run.count for run in scene.store.local(other.table, other.whole)) == 6
    assert scene.store.check() == ()
    assert not list(scene.home.glob("*.damaged-*"))
    scene.store.close()


def test_a_collection_after_an_upgrade_waits_for_no_chunks(scene: DiskScene) -> None:
    with sqlite3.connect(scene.home / "index.sqlite") as db:
        db.executescript(_BACK_TO_2)
    db.close()
    scene.reopen()
    assert scene.store.collectable(Keep()).blobs == 0
    with sqlite3.connect(scene.home / "index.sqlite") as db:
        assert db.execute("SELECT count(*) FROM chunk").fetchone() == (0,)
    db.close()
    scene.store.close()


@pytest.mark.parametrize("version", [1, 2, 3])
def test_an_index_that_only_says_to_be_of_an_earlier_schema_is_begun_again(scene: DiskScene, version: int) -> None:
    with sqlite3.connect(scene.home / "index.sqlite") as db:
        db.execute(f"PRAGMA user_version = {version}")  # With columns or tables that it had not.
    db.close()
    scene.reopen()
    assert len(scene.store.holdings()) == 1
    assert any("damaged" in said for said in scene.store.check())
    assert scene.store.holdings()[0].complete
    scene.store.close()
