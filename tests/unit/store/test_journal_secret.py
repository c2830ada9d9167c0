"""The secret of a home under which its own journals are recognised: whole, its owner's alone, and never in the way."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2phub.store.disk import Disk
from p2phub.store.secret import FILE, load_or_make
from tests.support.covers import covers
from tests.support.crashing import QuickDisk, RecordingDisk, image


@pytest.fixture
def home(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def test_it_is_made_once_and_is_another_in_each_home(home: int, tmp_path: Path) -> None:
    made = load_or_make(Disk(), home)
    assert len(made) == 32
    assert load_or_make(Disk(), home) == made
    assert os.listdir(home) == [FILE]
    os.unlink(FILE, dir_fd=home)
    assert load_or_make(Disk(), home) != made


@covers("T47")
def test_it_is_for_its_owner_alone_whatever_the_umask(home: int) -> None:
    before = os.umask(0)
    try:
        load_or_make(Disk(), home)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(FILE, dir_fd=home).st_mode) == 0o600


@covers("T47", "T54")
@pytest.mark.parametrize("harm", ["read by others", "short", "long", "empty", "a link", "a folder"])
def test_one_that_will_not_do_is_replaced(home: int, tmp_path: Path, harm: str) -> None:
    made = load_or_make(Disk(), home)
    path = tmp_path / FILE
    if harm == "read by others":
        path.chmod(0o640)
    elif harm in ("a link", "a folder"):
        path.rename(tmp_path / "theirs")
        path.symlink_to("theirs") if harm == "a link" else path.mkdir()
    else:
        path.write_bytes({"short": made[:-1], "long": made + b"x", "empty": b""}[harm])
    new = load_or_make(Disk(), home)
    assert len(new) == 32
    assert new != made
    assert harm == "a folder" or load_or_make(Disk(), home) == new


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
@covers("T54")
def test_one_that_another_user_put_there_is_replaced(home: int, tmp_path: Path) -> None:
    made = load_or_make(Disk(), home)
    os.chown(tmp_path / FILE, 12345, 12345)
    assert load_or_make(Disk(), home) != made


def test_of_two_who_make_one_at_a_time_both_have_the_first(home: int) -> None:
    class SlowDisk(Disk):
        theirs = b""

        def rename_new(self, source: str, target: str, *, source_fd: int, target_fd: int) -> None:
            if not self.theirs:
                self.theirs = load_or_make(Disk(), home)
            super().rename_new(source, target, source_fd=source_fd, target_fd=target_fd)

    disk = SlowDisk()
    assert load_or_make(disk, home) == disk.theirs
    assert os.listdir(home) == [FILE]


@covers("F02")
def test_after_a_power_cut_it_is_the_one_that_was_used_or_was_never_used(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    disk = RecordingDisk(tmp_path / "home")
    fd = os.open(tmp_path / "home", os.O_RDONLY)
    made = load_or_make(disk, fd)
    os.close(fd)
    for stop in range(len(disk.log) + 1):
        for number, way in enumerate(("lost", "ordered", "chance", "chance", "killed")):
            at = tmp_path / f"{stop} {number}"
            image(disk.log, stop, way, stop * 31 + number, at)
            for path in at.iterdir():
                path.chmod(0o600)
            left = os.open(at, os.O_RDONLY)
            found = load_or_make(QuickDisk(), left)
            os.close(left)
            assert len(found) == 32
            assert found == made or stop < len(disk.log)
