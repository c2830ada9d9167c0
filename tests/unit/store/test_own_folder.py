"""A folder of ours in somebody else's: locked by one, found again by the next, waited for by nobody."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2phub.errors import DiskError, Occupied
from p2phub.store.disk import Disk
from p2phub.store.own_folder import LOCK, open_locked
from tests.support.opening import all_closed_again

BUSY = Occupied("somebody is at it")


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def lock(parent: int, disk: Disk | None = None) -> tuple[int, int]:
    return open_locked(disk or Disk(), parent, "own", judge=lambda status, made: None, busy=BUSY)


def close(*fds: int) -> None:
    for fd in fds:
        os.close(fd)


def test_the_lock_is_one_process_at_a_time_and_ends_with_its_descriptor(parent: int) -> None:
    own, held = lock(parent)
    with all_closed_again(), pytest.raises(Occupied) as caught:
        lock(parent)
    assert caught.value is BUSY
    close(held)
    close(own, *lock(parent))


def test_the_folder_is_for_its_user_alone(parent: int) -> None:
    own, held = lock(parent)
    assert os.fstat(own).st_mode & 0o777 == 0o700
    close(own, held)


def test_a_folder_that_is_not_to_be_used_is_not_locked(parent: int) -> None:
    seen: list[bool] = []

    def judge(status: os.stat_result, made: bool) -> None:
        seen.append(made)
        if not made:
            raise DiskError("not ours")

    close(*open_locked(Disk(), parent, "own", judge=judge, busy=BUSY))
    with all_closed_again(), pytest.raises(DiskError, match="not ours"):
        open_locked(Disk(), parent, "own", judge=judge, busy=BUSY)
    assert seen == [True, False]


def test_a_lock_file_that_its_holder_removes_meanwhile_is_made_anew(parent: int, tmp_path: Path) -> None:
    class Removed(Disk):
        times = 0

        def open(
            self, name: str | os.PathLike[str], flags: int, mode: int = 0o666, *, dir_fd: int | None = None
        ) -> int:
            fd = super().open(name, flags, mode, dir_fd=dir_fd)
            if self.times < 3:
                self.times += 1
                (tmp_path / "own" / LOCK).unlink()
            return fd

    close(*lock(parent, Removed()))
    assert (tmp_path / "own" / LOCK).exists()


def test_a_lock_file_that_keeps_vanishing_is_given_up(parent: int, tmp_path: Path) -> None:
    class Removed(Disk):
        def open(
            self, name: str | os.PathLike[str], flags: int, mode: int = 0o666, *, dir_fd: int | None = None
        ) -> int:
            fd = super().open(name, flags, mode, dir_fd=dir_fd)
            (tmp_path / "own" / LOCK).unlink()
            return fd

    with all_closed_again(), pytest.raises(DiskError, match="vanishing"):
        lock(parent, Removed())


def test_nothing_is_locked_through_a_link(parent: int, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "own").symlink_to("elsewhere")
    with all_closed_again(), pytest.raises(OSError, match="own"):
        lock(parent)
    assert not list((tmp_path / "elsewhere").iterdir())
