"""Drafts on the disk: what a crash leaves of them goes; what was published is links to files that are read-only."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from msgspec.structs import replace

from p2phub.errors import DiskError, DiskFull
from p2phub.store import DraftFolder, HashedFile, Keep
from p2phub.store.database import INDEX
from p2phub.store.disk import Disk
from p2phub.store.filesystem import FilesystemStore
from tests.contract.test_store_drafts_contract import FIRST, SECOND, published, served, without_empty, write
from tests.support.content import Content, content_of
from tests.support.covers import covers
from tests.support.stores import DiskScene


@pytest.fixture
def scene(tmp_path: Path) -> DiskScene:
    return DiskScene(tmp_path)


def publish(scene: DiskScene, files: dict[str, bytes]) -> Content:
    content, draft = content_of(files, 1000), scene.store.open_draft()
    published(scene, draft, content, write(scene, draft, files))
    draft.close()
    return content


def test_a_version_is_a_folder_of_links_to_files_that_are_read_only(scene: DiskScene) -> None:
    content = publish(scene, FIRST)
    folder = scene.home / "published" / content.root.raw.hex()
    found = {path: (folder / path).read_bytes() for path in FIRST}
    assert found == FIRST
    assert all((folder / path).is_symlink() and not os.readlink(folder / path).startswith("/") for path in FIRST)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (scene.home / "published/content").iterdir()}
    assert modes == {0o444}


def test_a_draft_that_a_killed_process_left_goes_when_the_next_begins(scene: DiskScene) -> None:
    left = scene.home / "published/drafts" / ("ab" * 16)
    left.mkdir(parents=True)
    (left / "lock").touch()
    (left / "files").mkdir()
    (left / "files/model").write_bytes(b"half")
    draft = scene.store.open_draft()
    assert os.listdir(scene.home / "published/drafts") == [draft.folder.parent.name]
    draft.close()


def test_a_draft_that_somebody_is_at_stays(scene: DiskScene) -> None:
    draft = scene.store.open_draft()
    (draft.folder / "model").write_bytes(b"half")
    other = FilesystemStore(scene.home)
    other.open_draft().close()
    other.sweep(Keep(), lambda: False)
    other.close()
    assert (draft.folder / "model").read_bytes() == b"half"
    draft.close()


def test_after_the_index_was_lost_nothing_is_collected_and_all_is_found_again(scene: DiskScene) -> None:
    content = publish(scene, FIRST)
    scene.store.close()
    for name in (INDEX, f"{INDEX}-wal", f"{INDEX}-shm"):
        (scene.home / name).unlink(missing_ok=True)
    scene.store = FilesystemStore(scene.home)
    scene.store.sweep(Keep(), lambda: False)
    scene.store.check()
    assert served(scene, content) == without_empty(FIRST)


def test_what_the_log_alone_knows_to_be_held_is_not_collected(scene: DiskScene) -> None:
    content = publish(scene, FIRST)
    scene.store.close()
    with sqlite3.connect(scene.home / INDEX) as db:
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("DELETE FROM holding")
    db.close()
    for blob in (scene.home / "blobs").iterdir():
        os.utime(blob, (0, 0))
    scene.store = FilesystemStore(scene.home)
    swept = scene.store.sweep(Keep(), lambda: False)
    assert (swept.leftovers, swept.blobs) == ((), 0)
    scene.store.check()
    assert served(scene, content) == without_empty(FIRST)


def test_what_a_crash_left_among_the_files_is_not_believed(scene: DiskScene) -> None:
    content = content_of(FIRST, 1000)
    draft = scene.store.open_draft()
    files = write(scene, draft, FIRST)
    for file in files:
        (scene.home / "published/content" / file.entry.sha256.hex()).write_bytes(b"never synced")
    left = scene.home / "published" / content.root.raw.hex()
    left.mkdir()
    (left / "half").touch()
    published(scene, draft, content, files)
    assert served(scene, content) == without_empty(FIRST)
    assert sorted(os.listdir(left)) == ["README.md", "data", "empty"]
    draft.close()


def test_the_same_file_twice_is_there_once(scene: DiskScene) -> None:
    first = publish(scene, FIRST)
    second = publish(scene, {**FIRST, "again.bin": FIRST["data/model.bin"]})
    assert len(os.listdir(scene.home / "published/content")) == len(FIRST)
    assert served(scene, first) == without_empty(FIRST)
    assert served(scene, second)["again.bin"] == FIRST["data/model.bin"]


def test_links_are_told_of_as_left_over_once_nothing_holds_them(scene: DiskScene) -> None:
    content = publish(scene, FIRST)
    assert scene.store.collectable(Keep()).leftovers == ()
    scene.store.release(content.root)
    told = {each.folder.name for each in scene.store.collectable(Keep()).leftovers}
    hexes = {file.sha256.hex() for file in content.manifest.files}
    assert told == {content.root.raw.hex(), *hexes}
    scene.store.sweep(Keep(), lambda: False)
    assert os.listdir(scene.home / "published/content") == []
    assert sorted(os.listdir(scene.home / "published")) == ["content", "drafts", "lock"]


class FullDisk(Disk):
    """A disk that has no room for effect number `full_at`, counted from when that was set."""

    full_at = -1

    def _counted(self, effect: Callable[..., Any]) -> Callable[..., Any]:
        def do(*args: object, **named: object) -> Any:
            self.full_at -= 1
            if self.full_at == -1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return effect(*args, **named)

        return do

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        return found if name.startswith("_") or not callable(found) else self._counted(found)


def hashed_again(scene: DiskScene, files: list[HashedFile]) -> list[HashedFile]:
    found = []
    for file in files:
        assert file.place is not None
        opened = scene.store.open_place(file.place)
        found.append(replace(file, fingerprint=scene.store.fingerprint_of(opened)))
        opened.close()
    return found


def written(draft: DraftFolder, files: list[HashedFile]) -> dict[str, bytes]:
    there = {file.entry.path: file.place for file in files if file.place is not None and file.place.exists()}
    assert all(place.parent == draft.folder for place in there.values())
    return {path: place.read_bytes() for path, place in there.items()}


@covers("F03", "F04")
def test_what_was_written_is_still_there_to_be_published_wherever_the_disk_was_full(tmp_path: Path) -> None:
    for full_at in range(1000):
        disk = FullDisk()
        scene = DiskScene(tmp_path / str(full_at), disk)
        content, draft = content_of(SECOND, 1000), scene.store.open_draft()
        base = publish(scene, FIRST)
        scene.store.put_blobs(list(content.blobs.values()))
        files = write(scene, draft, SECOND)
        disk.full_at = full_at
        try:
            draft.hold(content.manifest, content.root, files)
        except DiskFull:
            assert written(draft, files) == SECOND
            assert [each.manifest for each in scene.store.holdings()] == [base.root]
            disk.full_at = -1
            scene.store.sweep(Keep(), lambda: False)
            published(scene, draft, content, hashed_again(scene, files))
        was_reached = disk.full_at < 0
        disk.full_at = -1
        assert served(scene, content) == without_empty(SECOND)
        assert served(scene, base) == without_empty(FIRST)
        draft.close()
        scene.store.close()
        shutil.rmtree(scene.home)
        if not was_reached:
            assert full_at > 20
            return
    raise AssertionError("it never came to an end")


@covers("F04")
def test_what_was_written_is_still_there_where_the_index_could_not_be_written(
    scene: DiskScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*args: object, **named: object) -> NoReturn:
        raise DiskFull("cannot write index.sqlite: no space left")

    content, draft = content_of(FIRST, 1000), scene.store.open_draft()
    files = write(scene, draft, FIRST)
    with monkeypatch.context() as full:
        full.setattr("p2phub.store.index.Index.hold", no_room)
        with pytest.raises(DiskError):
            published(scene, draft, content, files)
    assert written(draft, files) == FIRST
    scene.store.check()
    assert scene.store.holdings() == ()
    published(scene, draft, content, hashed_again(scene, files))
    assert served(scene, content) == without_empty(FIRST)
