"""Reading a published folder: which links are followed, what is left out, and that nothing is waited for."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from p2phub.errors import ContentChanged, DiskError
from p2phub.store.disk import cannot_read, disk_error
from p2phub.store.fingerprints import Fingerprint
from p2phub.store.folders import names_in, open_published
from p2phub.store.scanning import SCAN_DEPTH_MAX, scan_folder
from tests.support.covers import covers


def take_all(path: str, is_folder: bool) -> str | None:
    return None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    (made / "blobs").mkdir(parents=True)
    (made / "blobs" / "abc").write_bytes(b"weights")
    (tmp_path / "secret").write_bytes(b"secret")
    return made


def content_of_path(folder: Path, path: str) -> bytes:
    opened = open_published(folder, path)
    try:
        return os.pread(opened.descriptor, 100, 0)
    finally:
        opened.close()


@pytest.mark.parametrize(
    ("at", "target"),
    [
        ("link", "blobs/abc"),
        ("link", "./blobs//abc"),
        ("link", "blobs/../blobs/abc"),
        ("a/b/link", "../../blobs/abc"),
        ("blobs/link", "abc"),
    ],
)
def test_a_link_to_a_file_inside_is_followed(folder: Path, at: str, target: str) -> None:
    (folder / at).parent.mkdir(parents=True, exist_ok=True)
    (folder / at).symlink_to(target)
    assert content_of_path(folder, at) == b"weights"
    found = {file.path: file.fingerprint for file in scan_folder(folder, take_all).files}
    assert found[at] == found["blobs/abc"]


@covers("T22")
@pytest.mark.parametrize(
    "target", ["../secret", "blobs/../../secret", "/etc/hostname", "../model/blobs/abc", "link", "blobs/../link"]
)
def test_a_link_that_leaves_or_goes_in_circles_is_outside_and_never_opened(folder: Path, target: str) -> None:
    (folder / "link").symlink_to(target)
    scan = scan_folder(folder, take_all)
    assert scan.outside == ("link",)
    assert [file.path for file in scan.files] == ["blobs/abc"]
    with pytest.raises(ContentChanged):
        open_published(folder, "link")


def test_a_link_to_nothing_is_outside(folder: Path) -> None:
    (folder / "link").symlink_to("nothing")
    assert scan_folder(folder, take_all).outside == ("link",)


def test_a_linked_folder_is_left_out_but_links_lead_through_it(folder: Path) -> None:
    (folder / "also").symlink_to("blobs")
    (folder / "through").symlink_to("also/abc")
    scan = scan_folder(folder, take_all)
    assert [file.path for file in scan.files] == ["blobs/abc", "through"]
    assert [path for path, _ in scan.left_out] == ["also"]


def test_a_long_chain_of_links_is_outside(folder: Path) -> None:
    (folder / "l0").symlink_to("blobs/abc")
    for number in range(1, 12):
        (folder / f"l{number}").symlink_to(f"l{number - 1}")
    scan = scan_folder(folder, take_all)
    assert "l3" in [file.path for file in scan.files]
    assert "l11" in scan.outside


@covers("T22")
def test_special_files_are_left_out_and_opening_one_waits_for_nobody(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    scan = scan_folder(folder, take_all)
    assert [path for path, _ in scan.left_out] == ["pipe"]
    with pytest.raises(ContentChanged):
        open_published(folder, "pipe")
    with pytest.raises(ContentChanged):
        open_published(folder, "blobs")


def test_what_p2phub_keeps_beside_a_fetch_is_never_published(folder: Path) -> None:
    for at in (".p2phub", "blobs/.p2phub"):
        (folder / at).mkdir()
        (folder / at / "0").write_bytes(b"unfinished")
    scan = scan_folder(folder, take_all)
    assert [file.path for file in scan.files] == ["blobs/abc"]
    assert [path for path, _ in scan.left_out] == [".p2phub", "blobs/.p2phub"]


def test_a_name_that_is_not_text_is_left_out_and_can_be_shown(folder: Path) -> None:
    (Path(os.fsdecode(bytes(folder) + b"/bad\xff"))).write_bytes(b"x")
    ((path, why),) = scan_folder(folder, take_all).left_out
    assert path.encode() == b"bad\\xff"
    assert "UTF-8" in why


def test_a_folder_deeper_than_descriptors_last_is_refused(folder: Path) -> None:
    at = os.open(folder, os.O_RDONLY)
    for _ in range(SCAN_DEPTH_MAX + 2):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    with pytest.raises(DiskError, match="deep"):
        scan_folder(folder, take_all)


@covers("T53")
def test_a_file_is_opened_only_as_it_was_hashed(folder: Path) -> None:
    opened = open_published(folder, "blobs/abc")
    opened.close()
    open_published(folder, "blobs/abc", opened.expected).close()
    (folder / "blobs" / "abc").write_bytes(b"changed")
    with pytest.raises(ContentChanged, match="changed"):
        open_published(folder, "blobs/abc", opened.expected)


@covers("T53")
def test_a_truncation_under_an_open_file_is_seen(folder: Path) -> None:
    opened = open_published(folder, "blobs/abc")
    assert opened.unchanged()
    os.truncate(folder / "blobs" / "abc", 3)
    assert not opened.unchanged()
    opened.close()


def test_a_fingerprint_is_settled_only_after_a_while_alone() -> None:
    now_ns = 10**18
    old = Fingerprint(1, 1, 1, now_ns - 3 * 10**9, now_ns - 3 * 10**9)
    assert old.settled(now_ns)
    assert not Fingerprint(1, 1, 1, old.mtime_ns, now_ns - 10**9).settled(now_ns)
    assert not Fingerprint(1, 1, 1, now_ns + 10**9, old.ctime_ns).settled(now_ns)


def test_what_is_not_to_be_read_is_named_with_how_to_leave_it_out() -> None:
    error = cannot_read("sub/f", PermissionError(errno.EACCES, "Permission denied"))
    assert error.message == "cannot read sub/f: permission denied"
    assert "--ignore" in (error.hint or "")


@pytest.mark.parametrize(
    ("option", "hint"), [("--home", "name another place with --home"), (None, "name another place")]
)
def test_a_place_that_cannot_be_used_is_told_with_the_option_that_names_it(option: str | None, hint: str) -> None:
    found = disk_error(NotADirectoryError(errno.ENOTDIR, "Not a directory"), "use /x", option=option)
    assert found.hint == hint


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_another_place_is_not_hinted_at_where_nobody_could_name_one(number: int) -> None:
    without = disk_error(OSError(number, os.strerror(number)), "remove /x").hint
    assert without is not None
    assert "another place" not in without
    with_one = disk_error(OSError(number, os.strerror(number)), "use /x", option="--home").hint
    assert with_one == f"{without}, or name another place with --home"


def test_what_stands_in_a_folder_is_told_wherever_its_descriptor_was_read_before(tmp_path: Path) -> None:
    """As btrfs has it with whatever was made after the folder was opened."""
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()
    fd = os.open(tmp_path, os.O_RDONLY)
    with os.scandir(fd) as halfway:
        next(halfway)  # The system gave both: for whoever goes on with this descriptor there is nothing more.
        assert sorted(names_in(fd)) == ["a", "b"]
    os.close(fd)
