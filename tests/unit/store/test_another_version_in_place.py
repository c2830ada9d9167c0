"""A fetch over an older version is refused as that, and over a user's own files as those."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2phub.errors import Occupied
from tests.support.content import content_of
from tests.support.stores import DiskScene, arrive, deliver_rest

SAME = b"same" * 500
OLD = content_of({"a.bin": b"a" * 3000, "b.bin": SAME}, 1000)
NEW = content_of({"a.bin": b"A" * 3500, "b.bin": SAME}, 1000)


@pytest.fixture
def scene(tmp_path: Path) -> DiskScene:
    scene = DiskScene(tmp_path)
    arrival = arrive(scene, OLD)
    deliver_rest(arrival, OLD)
    arrival.finish()
    arrival.close()
    return scene


def test_an_older_version_that_is_as_it_was_fetched_is_told_as_that(scene: DiskScene) -> None:
    with pytest.raises(Occupied, match=r"another version, .*: a\.bin$") as refused:
        arrive(scene, NEW)
    assert str(refused.value.hint).startswith("--force replaces it")
    assert scene.files() == OLD.files
    arrival = arrive(scene, NEW, force=True)
    deliver_rest(arrival, NEW)
    arrival.finish()
    arrival.close()
    assert scene.files() == NEW.files


def test_what_was_changed_since_is_the_users_own(scene: DiskScene) -> None:
    scene.put("a.bin", b"mine")
    with pytest.raises(Occupied, match=r"holds other files where these would go: a\.bin"):
        arrive(scene, NEW)


def test_one_of_the_users_own_among_files_of_an_older_version_is_told_as_that(scene: DiskScene) -> None:
    (scene.folder / "c.bin").write_bytes(b"mine")
    newest = content_of({"a.bin": b"A" * 3500, "c.bin": b"c"}, 1000)
    with pytest.raises(Occupied, match=r"holds other files .*c\.bin"):
        arrive(scene, newest)
