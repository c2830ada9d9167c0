"""What is written so that a folder becomes a mirror: beside the user's files, and never through a link."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2phub.engine.mirrors import write_mirror_files
from p2phub.errors import DiskError
from p2phub.store.memory import MemoryStore
from tests.support.content import Content, content_of
from tests.support.covers import covers
from tests.support.hosts import key_of

NAME = (key_of("ann").peer_id, "model", "main")
CONTENT = content_of({"a.bin": b"a" * 3000}, 1000)


def write(folder: Path, content: Content = CONTENT) -> int:
    store = MemoryStore()
    store.put_blobs(list(content.blobs.values()))
    return write_mirror_files(folder, content.root, b"signed", store=store, name=NAME)


def test_blobs_and_the_release_stand_where_a_fetch_looks(tmp_path: Path) -> None:
    assert write(tmp_path / "www") == len(CONTENT.blobs) + 1
    assert write(tmp_path / "www") == len(CONTENT.blobs) + 1  # And again over themselves.
    release = tmp_path / "www" / ".p2phub/mirror/releases" / str(NAME[0]) / "model" / "main"
    assert release.read_bytes() == b"signed"
    assert not list((tmp_path / "www").rglob("*~"))


@covers("T22")
@pytest.mark.parametrize("part", [".p2phub", ".p2phub/mirror", ".p2phub/mirror/blobs"])
def test_no_folder_is_entered_through_a_link(tmp_path: Path, part: str) -> None:
    """The folder may have come from somebody else, with a link in it that leads to the user's own things."""
    (tmp_path / "mine").mkdir()
    link = tmp_path / "www" / part
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "mine")
    with pytest.raises(DiskError):
        write(tmp_path / "www")
    assert list((tmp_path / "mine").iterdir()) == []


@covers("T22")
def test_no_file_is_written_through_a_link(tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_bytes(b"precious")
    place = tmp_path / "www" / ".p2phub/mirror/releases" / str(NAME[0]) / "model"
    place.mkdir(parents=True)
    (place / "main~").symlink_to(mine)
    (place / "main").symlink_to(mine)
    write(tmp_path / "www")
    assert mine.read_bytes() == b"precious"
    assert (place / "main").read_bytes() == b"signed"
    assert not (place / "main").is_symlink()
