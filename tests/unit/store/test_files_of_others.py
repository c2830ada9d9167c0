"""What another user put into the home is not believed: settings, the log, the index, the catalog."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from p2phub.engine.doctor import examine_home
from p2phub.errors import DiskError
from p2phub.node.config import CONFIG_FILE, load_config
from p2phub.store.catalog_database import CATALOG, CatalogDatabase
from p2phub.store.disk import need_ours
from p2phub.store.filesystem import FilesystemStore
from p2phub.store.state_log import LOG, StateLog
from tests.support.covers import covers


def status_of(*, user: int, mode: int = 0o100600) -> os.stat_result:
    return os.stat_result((mode, 1, 1, 1, user, 0, 0, 0, 0, 0))


@covers("T54")
def test_a_file_is_ours_if_we_made_it_and_not_all_may_write_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    need_ours(status_of(user=1000), "x")
    need_ours(status_of(user=1000, mode=0o100664), "x")  # As a umask of 002 has it.
    need_ours(status_of(user=0), "x", or_roots=True)
    with pytest.raises(DiskError, match="belongs to another user"):
        need_ours(status_of(user=0), "x")
    with pytest.raises(DiskError, match="belongs to another user"):
        need_ours(status_of(user=1001), "x", or_roots=True)
    with pytest.raises(DiskError, match="all users"):
        need_ours(status_of(user=1000, mode=0o100602), "x")


def read_settings(home: Path) -> None:
    load_config(home=home, environment={})  # Which is ours to place in a home that is ours alone,
    home.chmod(0o777)  # and may be anybody's in one that is not.
    load_config(home=home, environment={})


def read_log(home: Path) -> None:
    log = StateLog(home)
    try:
        with pytest.raises(DiskError):  # Nor the second time, with the log open.
            log.all("name")
        log.all("name")
    finally:
        log.close()


def append_to_log(home: Path) -> None:
    log = StateLog(home)
    try:
        log.set("name", ("a",), ["b"])
    finally:
        log.close()


def read_catalog(home: Path) -> None:
    CatalogDatabase(home).own()


@covers("T54")
@pytest.mark.parametrize(
    ("name", "read"),
    [(CONFIG_FILE, read_settings), (LOG, read_log), (LOG, append_to_log), (CATALOG, read_catalog)],
)
def test_nothing_is_believed_that_others_can_have_written(
    tmp_path: Path, name: str, read: Callable[[Path], None]
) -> None:
    """In a home that others may put files into, their settings let them read what was private."""
    tmp_path.chmod(0o700)
    (tmp_path / name).touch()
    (tmp_path / name).chmod(0o666)
    with pytest.raises(DiskError, match="not believed"):
        read(tmp_path)


@covers("T54")
def test_an_index_of_another_user_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FilesystemStore(tmp_path).holdings()
    found = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: found + 1)
    with pytest.raises(DiskError, match="belongs to another user"):
        FilesystemStore(tmp_path).holdings()


def test_a_home_that_all_may_put_files_into_is_told_of(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o755)
    assert all(each["ok"] for each in examine_home(home) if each["check"] == "home")
    home.chmod(0o777)
    assert [each["hint"] for each in examine_home(home) if not each["ok"]] == [f"chmod o-w {home}"]
