"""What a file system can is found out by trying, and the rules of any of them can be given on any other."""

from __future__ import annotations

import errno
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2phub.errors import Occupied
from p2phub.store.disk import Disk
from p2phub.store.rules import FAT, MACOS, POSIX, WINDOWS, FileRules, need_own_name, try_rules

NFC, NFD = "caf\u00e9", "cafe\u0301"


class Simulated(Disk):
    """A disk with other rules, as far as trying can tell."""

    def __init__(self, rules: FileRules, *, plain_names: bool = False) -> None:
        self.rules = rules
        self.plain_names = plain_names

    def open(self, name: str, flags: int, mode: int = 0o644, *, dir_fd: int) -> int:
        if self.plain_names and not name.isascii():
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return super().open(name, flags, mode, dir_fd=dir_fd)

    def symlink(self, target: str, name: str, *, dir_fd: int) -> None:
        if not self.rules.symlinks:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        super().symlink(target, name, dir_fd=dir_fd)

    def link(self, source_fd: int, name: str, *, dir_fd: int) -> None:
        if not self.rules.hard_links:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        super().link(source_fd, name, dir_fd=dir_fd)

    def is_there(self, name: str, *, dir_fd: int) -> bool:
        return any(self.rules.are_one(name, other) for other in os.listdir(dir_fd))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.mark.parametrize("rules", [POSIX, MACOS, WINDOWS, FAT], ids=["posix", "macos", "windows", "fat"])
def test_what_holds_is_found_out_and_nothing_is_left(folder: int, rules: FileRules) -> None:
    assert try_rules(Simulated(rules), folder) == rules
    assert os.listdir(folder) == []


def test_this_machine_has_the_rules_of_posix(folder: int) -> None:
    assert try_rules(Disk(), folder) == POSIX


def test_where_only_plain_names_can_be_the_rest_is_still_found_out(folder: int) -> None:
    assert try_rules(Simulated(FAT, plain_names=True), folder) == FAT
    assert os.listdir(folder) == []


@pytest.mark.parametrize("kind", ["symlink", "link"])
def test_a_disk_that_fails_is_not_taken_for_one_without_links(
    folder: int, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Disk, kind, fail)
    with pytest.raises(OSError, match="Input/output"):
        try_rules(Disk(), folder)
    assert os.listdir(folder) == []


@pytest.mark.parametrize(
    ("rules", "name", "there", "refused"),
    [
        (POSIX, "acme", "Acme", False),
        (MACOS, "acme", "Acme", True),
        (WINDOWS, "acme", "Acme", True),
        (WINDOWS, "acme", "acme", False),
        (WINDOWS, "acme", "acme2", False),
        (MACOS, NFC, NFD, False),  # The same name, as the disk wrote it down.
        (MACOS, NFC, NFD.upper(), True),
        (WINDOWS, NFC, NFD.upper(), False),
        (POSIX, NFC, NFD, False),
    ],
)
def test_a_name_that_would_be_another_one_is_refused(
    tmp_path: Path, folder: int, rules: FileRules, name: str, there: str, refused: bool
) -> None:
    (tmp_path / there).touch()
    if not refused:
        need_own_name(rules, folder, name, name)
        return
    with pytest.raises(Occupied, match="one name") as error:
        need_own_name(rules, folder, name, name)
    assert unicodedata.normalize("NFC", there) in unicodedata.normalize("NFC", str(error.value))
