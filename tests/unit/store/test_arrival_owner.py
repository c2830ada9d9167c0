"""A fetch into a folder where another user was first: nothing is called done that only their journal speaks for."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2phub.errors import DiskError, Occupied
from p2phub.store.disk import Disk
from tests.support.content import content_of, random_files
from tests.support.covers import covers
from tests.support.stores import DiskScene, arrive, deliver, deliver_rest

CONTENT = content_of({**random_files(5, big=40_000), "small.bin": b"s" * 900}, 1_000)
SMALL = [entry.path for entry in CONTENT.manifest.files].index("small.bin")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[DiskScene]:
    made = DiskScene(tmp_path)
    yield made
    made.store.close()


def left_by(scene: DiskScene) -> Path:
    """Leave an attempt that placed the small file and has some of the big one; return its folder."""
    arrival = arrive(scene, CONTENT)
    deliver(arrival, CONTENT, range(*CONTENT.table.span(SMALL)))
    arrival.sync()
    deliver(arrival, CONTENT, range(5))
    arrival.close()
    (partials,) = (path for path in (scene.folder / ".p2phub").iterdir() if path.is_dir())
    return partials


def test_a_file_that_looks_like_the_one_we_placed_is_read_before_it_is_believed(scene: DiskScene) -> None:
    left_by(scene)
    before = os.stat(scene.folder / "small.bin")
    with open(scene.folder / "small.bin", "r+b") as file:  # The same inode.
        file.write(b"?" * 900)
    os.utime(scene.folder / "small.bin", ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(Occupied, match=r"small\.bin"):
        arrive(scene, CONTENT)


@pytest.mark.parametrize("at", ["", "partials", "partials/journal", "partials/hints.0", "partials/hints.1"])
@pytest.mark.parametrize("mode", [stat.S_IWGRP, stat.S_IWOTH])
def test_notes_that_others_could_have_written_are_refused_and_ours_are_resumed(
    scene: DiskScene, at: str, mode: int
) -> None:
    partials = left_by(scene)
    loose = scene.folder / ".p2phub" / at.replace("partials", partials.name)
    right = stat.S_IMODE(loose.stat().st_mode)
    loose.chmod(right | mode)
    with pytest.raises(DiskError, match="written by other users") as caught:
        arrive(scene, CONTENT)
    assert "--into" in (caught.value.hint or "")
    loose.chmod(right)
    again = arrive(scene, CONTENT)
    assert len(again.have) >= 6
    deliver_rest(again, CONTENT)
    again.finish()
    assert scene.files() == CONTENT.files


@covers("T54")
def test_what_another_user_left_is_refused(scene: DiskScene, monkeypatch: pytest.MonkeyPatch) -> None:
    left_by(scene)
    us = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: us + 1)
    with pytest.raises(DiskError, match="belongs to another user"):
        arrive(scene, CONTENT)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize("at", ["partials", "partials/journal", "partials/hints.0"])
def test_notes_of_another_user_within_our_folder_are_refused(scene: DiskScene, at: str) -> None:
    partials = left_by(scene)
    os.chown(scene.folder / ".p2phub" / at.replace("partials", partials.name), 12345, 12345)
    with pytest.raises(DiskError, match="belongs to another user"):
        arrive(scene, CONTENT)


def test_what_we_make_is_for_us_alone_whatever_the_umask(scene: DiskScene) -> None:
    before = os.umask(0)
    try:
        partials = left_by(scene)
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (partials.parent, partials)] == [0o700, 0o700]
    assert stat.S_IMODE((partials / "journal").stat().st_mode) == 0o600
    arrive(scene, CONTENT).close()


class DiskWithoutModes(Disk):
    """Like a FAT file system mounted for everyone: whatever mode is asked for, it is 0777."""

    def mkdir(self, name: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        super().mkdir(name, mode, dir_fd=dir_fd)
        os.chmod(name, 0o777, dir_fd=dir_fd)


def test_a_file_system_without_modes_takes_a_new_fetch(tmp_path: Path) -> None:
    scene = DiskScene(tmp_path, DiskWithoutModes())
    arrival = arrive(scene, CONTENT)
    deliver_rest(arrival, CONTENT)
    arrival.finish()
    assert scene.files() == CONTENT.files
    scene.store.close()
