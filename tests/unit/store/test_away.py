"""What is held on a disk that goes away, and comes back: in doubt meanwhile, looked for, and held again."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2phub.errors import ContentChanged
from p2phub.store import Away, LookedAgain, doubting
from p2phub.store.disk import disk_errors
from tests.support.content import content_of, random_files
from tests.support.covers import covers
from tests.support.stores import DiskScene, hold

CONTENT = content_of({**random_files(1, model=5_500), "sub/config.json": b"{}"}, 1000)
OTHER = content_of(random_files(2, other=3_500), 1000)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[DiskScene]:
    made = DiskScene(tmp_path)
    hold(made, CONTENT)
    yield made
    made.store.close()


@covers("F06")
@pytest.mark.parametrize("leaves_a_mount_point", [False, True])
def test_a_folder_that_is_away_gives_nothing_and_is_held_again_when_it_is_back(
    scene: DiskScene, tmp_path: Path, leaves_a_mount_point: bool
) -> None:
    plan = scene.store.read_plan(CONTENT.root)
    assert plan is not None
    scene.folder.rename(tmp_path / "elsewhere")
    if leaves_a_mount_point:
        scene.folder.mkdir()
    for number in range(len(CONTENT.manifest.files)):
        with pytest.raises(ContentChanged):
            plan.open(number)
        scene.store.mark_changed(CONTENT.root, number)
        path = str(scene.folder / CONTENT.manifest.files[number].path)
        assert scene.store.look_again(CONTENT.root, number) == LookedAgain(0, (path,), (scene.folder,))
    assert scene.store.away() == (Away(CONTENT.root, scene.folder, 0),)
    scene.reopen()  # A node that begins meanwhile.
    scene.store.check()
    assert scene.store.away() == (Away(CONTENT.root, scene.folder, 0),)
    if leaves_a_mount_point:
        scene.folder.rmdir()
    (tmp_path / "elsewhere").rename(scene.folder)
    assert scene.store.look_again(CONTENT.root, 0) == LookedAgain(1)
    assert list(scene.store.in_doubt(CONTENT.root, scene.folder)) == [1]
    assert scene.store.look_again(CONTENT.root, 1) == LookedAgain(1)
    assert scene.store.holdings()[0].complete
    assert scene.store.away() == ()


def test_a_file_that_is_there_and_wrong_is_not_away(scene: DiskScene) -> None:
    (scene.folder / "model.bin").write_bytes(b"w" * 5_500)
    number = CONTENT.manifest.number_of("model.bin")
    assert number is not None
    scene.store.mark_changed(CONTENT.root, number)
    assert scene.store.look_again(CONTENT.root, number).away == ()
    assert scene.store.away() == ()


@covers("F03")
def test_a_check_passes_by_the_file_that_the_disk_fails_at(
    scene: DiskScene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Else one bad sector would keep all else from being mended, at each start of a node."""
    held, scene.folder = scene.folder, tmp_path / "other"
    hold(scene, OTHER)
    for content in (CONTENT, OTHER):
        for number in range(len(content.manifest.files)):
            os.utime((held if content is CONTENT else scene.folder) / content.manifest.files[number].path, (1, 1))
            scene.store.mark_changed(content.root, number)
    bad = os.stat(scene.folder / "other.bin").st_ino
    really = doubting.is_equal

    def fails(descriptor: int, *args: object) -> bool:
        if os.fstat(descriptor).st_ino == bad:
            with disk_errors("read it"):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        return really(descriptor, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(doubting, "is_equal", fails)
    said = scene.store.check()
    assert {each.manifest: each.complete for each in scene.store.holdings()} == {CONTENT.root: True, OTHER.root: False}
    assert any("1 files are not what was hashed" in each for each in said)
