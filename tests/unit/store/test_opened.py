"""What a killed reader of tensors left is collected, and nothing that somebody fetches into or is about to read."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2phub.store import Arrival, Keep, Leftover
from p2phub.store.blobs import YOUNG_S
from p2phub.store.removing import set_aside
from tests.support.content import content_of, random_files
from tests.support.stores import DiskScene, arrive, deliver, deliver_rest

CONTENT = content_of(random_files(1, model=50_000), 10_000)
NAME = "0123456789abcdef" * 2


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[DiskScene]:
    made = DiskScene(tmp_path)
    made.folder = made.home / "opened" / NAME
    made.folder.parent.mkdir()
    yield made
    made.store.close()


def begun(scene: DiskScene) -> Arrival:
    """Fetch a part, as a reader of tensors does."""
    arrival = arrive(scene, CONTENT)
    deliver(arrival, CONTENT, [0, 3])
    arrival.sync()
    return arrival


def age(folder: Path) -> None:
    """Let all below `folder` be as old as if nobody had written there for a day."""
    for at, _, names in os.walk(folder):
        for name in ("", *names):
            os.utime(os.path.join(at, name), times=(time.time() - 25 * YOUNG_S,) * 2)


def told(scene: DiskScene) -> tuple[Leftover, ...]:
    return scene.store.collectable(Keep()).leftovers


def removed(scene: DiskScene) -> tuple[Leftover, ...]:
    return scene.store.sweep(Keep(), lambda: False).leftovers


def test_what_a_killed_reader_left_is_told_of_and_then_removed(scene: DiskScene) -> None:
    begun(scene).close()  # As it stays when its process ends: the lock goes with it.
    age(scene.folder)
    (found,) = told(scene)
    assert found.folder == scene.folder
    assert found.bytes >= 20_000
    assert scene.store.usage().leftover_bytes == found.bytes
    assert scene.folder.exists()
    assert removed(scene) == (found,)
    assert list(scene.folder.parent.iterdir()) == []
    assert (told(scene), removed(scene)) == ((), ())


def test_what_is_fetched_into_stays_however_long_nothing_came(scene: DiskScene) -> None:
    arrival = begun(scene)
    age(scene.folder)
    assert (told(scene), removed(scene)) == ((), ())
    deliver(arrival, CONTENT, [1])
    arrival.close()
    assert arrive(scene, CONTENT).have


def test_what_somebody_may_be_about_to_open_stays(scene: DiskScene) -> None:
    begun(scene).close()
    assert (told(scene), removed(scene)) == ((), ())
    assert scene.folder.exists()


def test_what_its_reader_is_done_with_goes_at_once(scene: DiskScene) -> None:
    begun(scene).close()
    assert scene.store.discard_opened(scene.folder)
    assert list(scene.folder.parent.iterdir()) == []
    assert scene.store.discard_opened(scene.folder)


def test_what_another_goes_on_with_stays_when_the_first_reader_is_done(scene: DiskScene) -> None:
    begun(scene).close()
    another = arrive(scene, CONTENT)
    assert not scene.store.discard_opened(scene.folder)
    deliver_rest(another, CONTENT)
    another.sync()
    another.close()
    assert scene.store.discard_opened(scene.folder)
    assert list(scene.folder.parent.iterdir()) == []


def test_what_is_open_is_read_on_when_it_has_no_name_any_more(scene: DiskScene) -> None:
    begun(scene).close()
    (path,) = scene.folder.glob(".p2phub/*/0")
    age(scene.folder)
    with path.open("rb") as file:
        assert removed(scene)
        assert file.read(10_000) == CONTENT.chunk(0)


def test_a_collection_that_was_killed_is_ended_by_the_next(scene: DiskScene) -> None:
    """After the rename, before the removal; it is not looked at how old that is."""
    begun(scene).close()
    at = os.open(scene.folder.parent, os.O_RDONLY)
    aside = set_aside(scene.store._disk, NAME, dir_fd=at)  # type: ignore[attr-defined]
    os.close(at)
    (found,) = told(scene)
    assert found.folder == scene.folder.parent / aside
    assert removed(scene) == (found,)
    assert list(scene.folder.parent.iterdir()) == []


def test_what_has_another_name_is_nobodys_to_remove(scene: DiskScene) -> None:
    for name in ("mine", NAME[:-1], NAME.upper()):
        (scene.folder.parent / name).mkdir()
        (scene.folder.parent / name / "file").write_bytes(b"stays")
    outside = scene.home.parent / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"stays")
    link = scene.folder.parent / ("f" * 32)
    link.symlink_to(outside)
    age(scene.folder.parent)
    os.utime(link, times=(time.time() - 25 * YOUNG_S,) * 2, follow_symlinks=False)
    assert (told(scene), removed(scene)) == ((), ())
    assert len(list(scene.folder.parent.iterdir())) == 4
    assert [path.name for path in outside.iterdir()] == ["file"]
