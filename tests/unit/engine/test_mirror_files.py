"""What is written so that a folder becomes a mirror: beside the user's files, and never through a link."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from p2phub.engine.mirrors import remove_mirror_files, write_mirror_files
from p2phub.errors import DiskError
from p2phub.manifest import Release, read_release, sign_release
from p2phub.store.disk import Disk
from p2phub.store.memory import MemoryStore
from tests.support.content import Content, content_of
from tests.support.covers import covers
from tests.support.crashing import RecordingDisk, images, short_lived
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


def test_a_folder_that_a_link_leads_to_is_written_to_and_one_that_is_away_is_not_made(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "www").symlink_to(tmp_path / "disk" / "www")
    with pytest.raises(DiskError):  # Its disk is not mounted, perhaps.
        write(tmp_path / "www")
    assert list((tmp_path / "disk").iterdir()) == []
    (tmp_path / "disk" / "www").mkdir()
    write(tmp_path / "www")
    assert list((tmp_path / "disk" / "www" / ".p2phub/mirror/releases").iterdir())


OTHER = content_of({"b.bin": b"b" * 3000, "c.bin": b"c" * 5000}, 1000)


def mirrored(folder: Path, *contents: tuple[str, Content], disk: Disk | None = None) -> MemoryStore:
    """Write `contents` by name, signed, into one mirror, one after the other; return a store that holds all."""
    store = MemoryStore()
    for name, content in contents:
        store.put_blobs(list(content.blobs.values()))
        release = Release(NAME[0], name, content.root, 1, 3000, 1_700_000_000, 1_730_000_000)
        signed = sign_release(key_of("ann"), release)
        write_mirror_files(folder, content.root, signed, store=store, name=(NAME[0], name, "main"), disk=disk)
    return store


def test_what_was_written_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"mine")
    store = mirrored(tmp_path, ("model", CONTENT))
    assert remove_mirror_files(tmp_path, store=store, name=NAME)
    assert [path.name for path in tmp_path.iterdir()] == ["weights.bin"]
    assert not remove_mirror_files(tmp_path, store=store, name=NAME)


def test_what_another_name_needs_stays(tmp_path: Path) -> None:
    store = mirrored(tmp_path, ("model", CONTENT), ("other", OTHER))
    assert remove_mirror_files(tmp_path, store=store, name=NAME)
    blobs = {path.name for path in (tmp_path / ".p2phub/mirror/blobs").iterdir()}
    assert blobs == {digest.text() for digest in OTHER.blobs}


def test_where_another_name_cannot_be_looked_into_all_blobs_stay(tmp_path: Path) -> None:
    mirrored(tmp_path, ("model", CONTENT), ("other", OTHER))
    assert remove_mirror_files(tmp_path, store=MemoryStore(), name=NAME)
    assert len(list((tmp_path / ".p2phub/mirror/blobs").iterdir())) == len({*CONTENT.blobs, *OTHER.blobs})


def test_where_a_part_of_another_name_is_not_held_all_blobs_stay(tmp_path: Path) -> None:
    """As an interrupted fetch leaves it: the root page, and none of the chunk lists."""
    mirrored(tmp_path, ("model", CONTENT), ("other", OTHER))
    store = MemoryStore()
    store.put_blobs([OTHER.blobs[OTHER.root]])
    assert remove_mirror_files(tmp_path, store=store, name=NAME)
    assert len(list((tmp_path / ".p2phub/mirror/blobs").iterdir())) == len({*CONTENT.blobs, *OTHER.blobs})


def test_where_releases_cannot_be_listed_all_blobs_stay(tmp_path: Path) -> None:
    store = mirrored(tmp_path, ("model", CONTENT), ("other", OTHER))
    (tmp_path / ".p2phub/mirror/releases/somebody").symlink_to(tmp_path)
    assert remove_mirror_files(tmp_path, store=store, name=NAME)
    assert len(list((tmp_path / ".p2phub/mirror/blobs").iterdir())) == len({*CONTENT.blobs, *OTHER.blobs})


@covers("T22")
def test_nothing_is_removed_through_a_link(tmp_path: Path) -> None:
    mirrored(tmp_path / "mine", ("model", CONTENT))
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / ".p2phub").symlink_to(tmp_path / "mine" / ".p2phub")
    before = sorted((tmp_path / "mine").rglob("*"))
    with pytest.raises(DiskError):
        remove_mirror_files(tmp_path / "www", store=MemoryStore(), name=NAME)
    assert sorted((tmp_path / "mine").rglob("*")) == before


MANY = content_of({f"{number}.bin": bytes([number]) * 3000 for number in range(12)}, 1000)
BLOBS = {digest.text(): blob for content in (CONTENT, OTHER, MANY) for digest, blob in content.blobs.items()}


@covers("F02")
@pytest.mark.parametrize("then", [OTHER, MANY], ids=["few", "many"])
def test_after_a_power_cut_a_mirror_has_all_that_its_release_leads_to(tmp_path: Path, then: Content) -> None:
    """The version before, or that which was being written, or none when it was removed; never an empty file."""
    with short_lived(tmp_path) as at:
        (at / "www").mkdir()
        disk = RecordingDisk(at / "www")
        mirrored(at / "www", ("model", CONTENT), disk=disk)
        disk.say("CONTENT")
        store = mirrored(at / "www", ("model", then), disk=disk)
        disk.say("then")
        assert remove_mirror_files(at / "www", store=store, name=NAME, disk=disk)
        disk.say("none")

        def look(left: Path, said: Sequence[object]) -> None:
            mirror = left / ".p2phub/mirror"
            release = mirror / "releases" / str(NAME[0]) / "model" / "main"
            if not release.exists():
                assert not said or said[-1] in ("then", "none")
                return
            assert said[-1:] != ["none"]
            found = read_release(release.read_bytes()).manifest
            assert found in (CONTENT.root, then.root)
            assert found == then.root or "then" not in said
            for digest in (CONTENT if found == CONTENT.root else then).blobs:
                assert (mirror / "blobs" / digest.text()).read_bytes() == BLOBS[digest.text()]

        images(disk, at, look)
