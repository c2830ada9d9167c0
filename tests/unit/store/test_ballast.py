"""On a full disk the index is opened by giving up what was set aside for it, or it is said that there is no room."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from p2phub.errors import DiskFull
from p2phub.store import ballast
from p2phub.store.ballast import BALLAST, BALLAST_BYTES, PLENTY_BYTES, ROOM_BYTES, make_room
from p2phub.store.filesystem import FilesystemStore


class Room:
    """A disk with `free` bytes beside the ballast."""

    def __init__(self, free: int) -> None:
        self.free = free

    def __call__(self, home: Path) -> int:
        given_up = 0 if (home / BALLAST).exists() else BALLAST_BYTES
        return self.free + given_up


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Room:
    made = Room(PLENTY_BYTES)
    monkeypatch.setattr(ballast, "free_bytes", made)
    return made


def test_room_is_set_aside_while_there_is_plenty_and_given_up_when_there_is_none(room: Room, tmp_path: Path) -> None:
    make_room(tmp_path)
    status = (tmp_path / BALLAST).stat()
    assert (status.st_size, status.st_mode & 0o777) == (BALLAST_BYTES, 0o600)
    assert status.st_blocks * 512 >= BALLAST_BYTES
    room.free = ROOM_BYTES
    make_room(tmp_path)
    assert (tmp_path / BALLAST).exists()
    room.free = 0
    make_room(tmp_path)
    assert not (tmp_path / BALLAST).exists()
    room.free = ROOM_BYTES - BALLAST_BYTES - 1  # Others took what was given up.
    with pytest.raises(DiskFull, match="no space left"):
        make_room(tmp_path)


def test_room_that_could_not_be_set_aside_is_once_it_can_be(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, offset: int, length: int) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", refuse)
        make_room(tmp_path)
    assert not (tmp_path / BALLAST).exists()
    (tmp_path / BALLAST).touch()  # As one leaves it who is killed before it has its blocks.
    make_room(tmp_path)
    assert (tmp_path / BALLAST).stat().st_size == BALLAST_BYTES


def test_without_room_the_index_is_not_opened_at_all(room: Room, tmp_path: Path) -> None:
    FilesystemStore(tmp_path / "home").close()
    room.free = -BALLAST_BYTES
    store = FilesystemStore(tmp_path / "home")
    with pytest.raises(DiskFull):
        store.holdings()
    assert not (tmp_path / "home" / "index.sqlite-shm").exists()
    store.close()


@pytest.mark.parametrize("name", ["SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_WRITE", "SQLITE_CANTOPEN"])
def test_what_fails_while_the_disk_is_full_is_told_as_that(room: Room, tmp_path: Path, name: str) -> None:
    store = FilesystemStore(tmp_path / "home")
    store.holdings()
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = getattr(sqlite3, name)

    def fail(db: sqlite3.Connection) -> None:
        room.free = -BALLAST_BYTES
        raise error

    with pytest.raises(DiskFull):
        store._holdings.index.database.do(fail)
    store.close()
