"""Earlier versions on a disk: who keeps one is asked at the last moment; what is noted of it goes with its files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2phub.identity import SecretKey
from p2phub.store import Keep, Publication
from tests.support.content import Content, content_of, random_files
from tests.support.covers import covers
from tests.support.stores import DiskScene, as_on_a_disk, hashed, hold

STEP = 1000
WEIGHTS = random_files(1, model=3_500)
FIRST = content_of({**WEIGHTS, **random_files(2, checkpoint=2_500)}, STEP)
SECOND = content_of({**WEIGHTS, **random_files(3, checkpoint=2_500)}, STEP)
NONE_OF_IT = content_of({"model.bin": b"another", "checkpoint.bin": b"another"}, STEP)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DiskScene]:
    as_on_a_disk(monkeypatch)
    made = DiskScene(tmp_path)
    yield made
    made.store.close()


def again(scene: DiskScene, content: Content) -> None:
    for path, data in content.files.items():
        if scene.files().get(path) != data:
            scene.put(path, data)
    scene.store.put_blobs(list(content.blobs.values()))
    scene.store.hold(content.manifest, content.root, scene.folder, hashed(scene, content))


@covers("F33")
@pytest.mark.parametrize("how", ["pinned", "published"])
def test_what_another_process_keeps_meanwhile_does_not_end(scene: DiskScene, how: str) -> None:
    hold(scene, FIRST)
    again(scene, NONE_OF_IT)
    ledger = scene.ledger()
    if how == "pinned":
        ledger.pin(FIRST.root, pinned=True)
    else:
        publisher = SecretKey(b"p" * 32).peer_id
        ledger.publish(Publication(publisher, "model", "v1", FIRST.root, scene.folder, b"signed"))
    ledger.close()
    assert scene.store.end_earlier(scene.folder, Keep()) == ()
    assert scene.store.sweep(Keep(), lambda: False).rows == 0
    assert len(scene.store.holdings(FIRST.root)) == 1


def test_what_is_noted_of_chunks_goes_with_the_file_that_was_replaced(scene: DiskScene) -> None:
    def chunks() -> int:
        db = sqlite3.connect(scene.home / "index.sqlite")
        (count,) = db.execute("SELECT count(*) FROM chunk").fetchone()
        db.close()
        return int(count)

    hold(scene, FIRST)
    before = chunks()
    again(scene, SECOND)
    assert chunks() == before
    assert scene.store.usage().bytes == SECOND.manifest.bytes_total + len(WEIGHTS["model.bin"])


def test_when_the_index_is_gone_each_version_is_told_by_what_the_newest_has(scene: DiskScene) -> None:
    for night in range(6):
        again(scene, content_of({**WEIGHTS, "README.md": b"%d" % night}, STEP))
    before = scene.store.holdings()
    scene.reopen()  # It opens the index when it is asked something.
    for left in scene.home.glob("index.sqlite*"):
        left.unlink()
    assert not any("not what was hashed" in said for said in scene.store.check())
    assert {(each.manifest, each.files_here, each.replaced) for each in scene.store.holdings()} == {
        (each.manifest, each.files_here, each.replaced) for each in before
    }
