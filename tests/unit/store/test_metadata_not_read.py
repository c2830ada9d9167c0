"""One file of metadata that the disk does not let us read: what it describes is told with its problem, and nothing else
is hidden, kept from being fetched, or removed for it."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from p2phub.content import Digest, RangeSet
from p2phub.errors import DiskError, Occupied
from p2phub.store import Keep
from tests.support.content import content_of, random_files
from tests.support.covers import covers
from tests.support.stores import DiskScene, arrive, hashed, hold

BAD = content_of({**random_files(1, model=5_500), "config.json": b"{}"}, 1000)
GOOD = content_of(random_files(2, other=3_500), 1000)
LIST = next(digest for digest in BAD.blobs if digest != BAD.root)


def unreadable(patch: pytest.MonkeyPatch, scene: DiskScene, blob: Digest) -> None:
    """Let the disk fail at the file that a blob is in now."""
    name, really = blob.raw.hex(), os.open
    bad = (scene.home / "blobs" / name).stat().st_ino

    def fail(path: Any, *args: Any, **named: Any) -> int:
        fd = really(path, *args, **named)
        if path == name and os.fstat(fd).st_ino == bad:
            os.close(fd)
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return fd

    patch.setattr(os, "open", fail)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[DiskScene]:
    made = DiskScene(tmp_path)
    for name, content in (("bad", BAD), ("good", GOOD)):
        made.folder = tmp_path / name
        hold(made, content)
    made.reopen()  # As in a process that has read nothing yet.
    yield made
    made.store.close()


@covers("F03")
@pytest.mark.parametrize("blob", [BAD.root, LIST], ids=["manifest", "list"])
def test_all_else_is_listed_and_what_cannot_be_described_says_why(
    scene: DiskScene, monkeypatch: pytest.MonkeyPatch, blob: Digest
) -> None:
    unreadable(monkeypatch, scene, blob)
    good, bad = scene.store.holdings()
    assert (good.manifest, good.complete, good.problem) == (GOOD.root, True, None)
    assert (bad.manifest, bad.folder.name, bad.complete, len(bad.held)) == (BAD.root, "bad", False, 0)
    assert "input/output error" in str(bad.problem)
    assert [each.holding for each in scene.store.usage().holdings] == [good, bad]
    assert scene.store.holdings(GOOD.root) == (good,)
    with pytest.raises(DiskError):  # Nobody is to take it for what is held in part.
        scene.store.holdings(BAD.root)


@covers("F03")
@pytest.mark.parametrize("blob", [BAD.root, LIST], ids=["manifest", "list"])
def test_a_check_mends_all_else_and_tells_of_it(
    scene: DiskScene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, blob: Digest
) -> None:
    os.utime(tmp_path / "good" / "other.bin", (1, 1))
    scene.store.mark_changed(GOOD.root, 0)
    unreadable(monkeypatch, scene, blob)
    said = scene.store.check()
    assert {each.manifest: each.complete for each in scene.store.holdings()} == {GOOD.root: True, BAD.root: False}
    assert "1 blobs could not be read: check the disk" in said
    assert any("bad is not served: cannot read metadata" in each for each in said)
    assert len(list((scene.home / "blobs").iterdir())) >= len(BAD.blobs) + len(GOOD.blobs)


@covers("F03")
def test_what_is_here_of_others_is_found_and_fetched_all_the_same(
    scene: DiskScene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    unreadable(monkeypatch, scene, BAD.root)
    scene.folder = tmp_path / "copy"
    arrival = arrive(scene, GOOD)
    found = [arrival.copy(run) for run in scene.store.local(GOOD.table, GOOD.whole)]
    assert RangeSet.of(run for each in found for run in each.runs) == GOOD.whole
    arrival.close()
    assert scene.store.local(BAD.table, BAD.whole) == []  # Not known to be there, as it cannot be looked up.


@covers("F03")
@pytest.mark.parametrize("blob", [BAD.root, LIST], ids=["manifest", "list"])
def test_its_folder_is_read_again_by_who_publishes_it_and_that_mends_it(
    scene: DiskScene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, blob: Digest
) -> None:
    scene.folder = tmp_path / "bad"
    assert scene.store.remembered(scene.folder).keys() == BAD.files.keys()
    scene.store.note_hashed({scene.folder / file.entry.path: file for file in hashed(scene, BAD)})
    scene.reopen()
    with monkeypatch.context() as patch:
        unreadable(patch, scene, blob)
        assert "model.bin" not in scene.store.remembered(scene.folder)
        assert scene.folder / "model.bin" not in scene.store.hashed_at([scene.folder / "model.bin"]) or blob != LIST
        with pytest.raises(Occupied):  # Another version: who fetches it there is told of the files, as ever.
            arrive(scene, content_of({"model.bin": b"another"}, 1000))
        hold(scene, BAD)
    assert [each.complete for each in scene.store.holdings()] == [True, True]


@covers("F03")
def test_what_would_be_linked_from_there_is_brought_instead(
    scene: DiskScene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    same = content_of(random_files(1, model=5_500), 1000)
    scene.store.put_blobs(list(same.blobs.values()))
    unreadable(monkeypatch, scene, BAD.root)
    arrival = scene.store.arrive(same.manifest, same.root, same.table, tmp_path / "into", force=False, link=True)
    assert not arrival.have
    arrival.close()


@covers("F03")
@pytest.mark.parametrize("blob", [BAD.root, LIST], ids=["manifest", "list"])
def test_what_it_describes_can_be_let_go_of_and_loses_no_metadata_to_a_collection(
    scene: DiskScene, monkeypatch: pytest.MonkeyPatch, blob: Digest
) -> None:
    blobs = scene.home / "blobs"
    for each in blobs.iterdir():
        os.utime(each, (1, 1))
    before = sorted(each.name for each in blobs.iterdir())
    with monkeypatch.context() as patch:
        unreadable(patch, scene, blob)
        with contextlib.suppress(DiskError):
            scene.store.sweep(Keep(), lambda: False)
        assert sorted(each.name for each in blobs.iterdir()) == before
        scene.store.release(BAD.root)
        assert [each.manifest for each in scene.store.holdings()] == [GOOD.root]
