"""What is stored through a mapping into a page that was written to before: the times of the file do not tell of it,
unless its pages were sent to the disk in between.

Times are set long back once the page is dirty, so that any later one is another, and nothing here waits."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2phub.errors import ContentChanged
from p2phub.store.folders import fingerprint
from p2phub.store.mapped import shows_writes
from p2phub.store.tmpfs import is_in_memory
from tests.support.content import content_of
from tests.support.covers import covers
from tests.support.stores import DiskScene, arrive, deliver_rest, hold

CONTENT = content_of({"late": b"l" * 900, "mapped": b"m" * 9_000}, 1_000)
MAPPED = 1
IN_MEMORY = Path("/dev/shm")


class Mapped:
    """A file with a page that is written to, and has not gone to the disk."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("r+b")
        self._map = mmap.mmap(self._file.fileno(), 0)
        self._map[0] = self._map[0]
        os.utime(path, (10**9, 10**9))

    def store(self) -> None:
        self._map[0] ^= 1

    def close(self) -> None:
        self._map.close()
        self._file.close()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[DiskScene]:
    if is_in_memory(tmp_path):
        pytest.skip("a file system in memory writes nothing back, so nothing that is stored there can be told by times")
    made = DiskScene(tmp_path)
    yield made
    made.store.close()


def settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every fingerprint be old enough: the ctime cannot be set back, and nobody is to wait here."""
    monkeypatch.setattr("p2phub.limits.RACY_FINGERPRINT_S", 0)


def test_a_store_into_a_page_that_was_written_to_before_shows_once_its_pages_were_sent(scene: DiskScene) -> None:
    scene.put("mapped", b"m" * 9_000)
    file = Mapped(scene.folder / "mapped")
    with (scene.folder / "mapped").open("rb") as read:
        assert shows_writes(read.fileno())
        before = fingerprint(os.fstat(read.fileno()))
        file.store()
        assert fingerprint(os.fstat(read.fileno())) != before
    file.close()


@covers("F05")
def test_a_kept_file_that_is_stored_into_while_the_rest_is_fetched_is_not_recorded(scene: DiskScene) -> None:
    scene.put("mapped", CONTENT.files["mapped"])
    file = Mapped(scene.folder / "mapped")
    arrival = arrive(scene, CONTENT)
    assert deliver_rest(arrival, CONTENT) == list(range(*CONTENT.table.span(0)))
    file.store()
    with pytest.raises(ContentChanged, match="mapped"):
        arrival.finish()
    arrival.close()
    file.close()


@covers("F05")
def test_a_file_that_was_looked_at_again_and_is_stored_into_is_not_served(
    scene: DiskScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(scene, CONTENT)
    file = Mapped(scene.folder / "mapped")
    scene.store.mark_changed(CONTENT.root, MAPPED)
    settle(monkeypatch)
    assert scene.store.check() == ()
    plan = scene.store.read_plan(CONTENT.root)
    assert plan is not None
    plan.open(MAPPED).close()
    assert "mapped" in scene.store.remembered(scene.folder)
    file.store()
    with pytest.raises(ContentChanged):
        plan.open(MAPPED)
    file.close()


@pytest.mark.skipif(not IN_MEMORY.is_dir() or not is_in_memory(IN_MEMORY), reason="no file system in memory here")
def test_of_a_file_in_memory_nothing_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    settle(monkeypatch)
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as at:
        scene = DiskScene(Path(at))
        hold(scene, CONTENT)
        file = scene.store.open_in_place(scene.folder, "mapped")
        assert not scene.store.shows_writes(file)
        file.close()
        scene.store.mark_changed(CONTENT.root, MAPPED)
        assert scene.store.check() == ()
        assert "mapped" not in scene.store.remembered(scene.folder)
        scene.folder = Path(at) / "fetched"
        arrival = arrive(scene, CONTENT)
        deliver_rest(arrival, CONTENT)
        arrival.finish()
        assert scene.store.remembered(scene.folder) == {}
        assert scene.store.holdings(CONTENT.root)[0].complete
        scene.store.close()


def test_a_file_opened_for_reading_that_nobody_may_write_to_is_asked_as_well(scene: DiskScene) -> None:
    scene.put("mapped", b"m")
    (scene.folder / "mapped").chmod(0o444)
    with (scene.folder / "mapped").open("rb") as read:
        assert shows_writes(read.fileno())
