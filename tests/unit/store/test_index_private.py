"""The index of a home names private folders: nobody else may read it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2phub.errors import DiskError
from tests.support.content import content_of
from tests.support.stores import DiskScene, hold

CONTENT = content_of({"a": b"a" * 100}, 1_000)
FILES = ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm")


@pytest.fixture(params=[0o000, 0o022, 0o377], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(0o022)
    yield request.param
    os.umask(before)


def modes(home: Path) -> dict[str, int]:
    return {name: stat.S_IMODE((home / name).stat().st_mode) for name in FILES}


def test_a_new_index_is_for_its_user_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    scene = DiskScene(tmp_path)
    scene.folder.mkdir()
    os.umask(umask)
    scene.store.holdings()
    os.umask(0o022)
    hold(scene, CONTENT)
    assert modes(scene.home) == dict.fromkeys(FILES, 0o600)
    scene.store.close()


def test_an_index_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    scene = DiskScene(tmp_path)
    hold(scene, CONTENT)
    for name in FILES:
        (scene.home / name).chmod(0o644)
    other = DiskScene(tmp_path)  # A second process: the first has it open still, and its other files are there.
    assert len(other.store.holdings()) == 1
    assert modes(scene.home) == dict.fromkeys(FILES, 0o600)
    other.store.close()
    scene.store.close()


@pytest.mark.parametrize("name", FILES)
def test_an_index_is_not_made_or_opened_through_a_link(tmp_path: Path, name: str) -> None:
    scene = DiskScene(tmp_path)
    (scene.home / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DiskError, match="is a link"):
        scene.store.holdings()
    assert not (tmp_path / "elsewhere").exists()
    scene.store.close()
