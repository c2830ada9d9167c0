"""Many small files: made in one call each, beside each other, and read on from the folder of the last one."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from p2phub.content import RangeSet
from p2phub.errors import ContentChanged, DiskFull, Occupied
from p2phub.store import index
from p2phub.store.database import TRUSTED
from p2phub.store.disk import Disk
from p2phub.store.doorway import Doorway
from p2phub.store.fingerprints import Fingerprint, Fingerprints
from p2phub.store.folders import FolderWalk, fingerprint, open_published
from tests.support.content import content_of, random_files
from tests.support.opening import all_closed_again, names_opened
from tests.support.stores import DiskScene, arrive, deliver, deliver_rest, hold

SMALL = content_of({f"d{number % 3}/{number:03}": b"%03d" % number * 40 for number in range(12)})
PATIENCE_S = 20.0


class MakingDisk(Disk):
    """Keeps count of the calls that open unfinished files, and can have two of them wait for each other."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, bool]] = []  # Name, and whether it was to be made.
        self.meeting: threading.Barrier | None = None

    def open(self, name: str | os.PathLike[str], flags: int, mode: int = 0o666, *, dir_fd: int | None = None) -> int:
        if str(name).isdigit():
            self.calls.append((str(name), bool(flags & os.O_CREAT)))
            if self.meeting is not None:
                self.meeting.wait(PATIENCE_S)
        return super().open(name, flags, mode, dir_fd=dir_fd)


def test_a_small_file_is_made_by_one_call(tmp_path: Path) -> None:
    disk = MakingDisk()
    scene = DiskScene(tmp_path, disk)
    arrival = arrive(scene, SMALL)
    deliver(arrival, SMALL, range(5))
    assert disk.calls == [(str(number), True) for number in range(5)]
    arrival.close()
    scene.store.close()


def test_files_that_come_whole_are_made_by_one_call_each_and_one_of_an_earlier_attempt_is_written_over(
    tmp_path: Path,
) -> None:
    first = arrive(DiskScene(tmp_path), SMALL)
    os.close(first.plan.open(2))  # Made, and killed before anything was written.
    deliver(first, SMALL, [0])
    first.close()
    disk = MakingDisk()
    scene = DiskScene(tmp_path, disk)
    arrival = arrive(scene, SMALL)
    assert arrival.plan.write_files is not None
    arrival.plan.write_files(range(1, 12), [memoryview(SMALL.chunk(number)) for number in range(1, 12)])
    assert disk.calls == [*((str(number), True) for number in range(1, 3)), ("2", False)] + [
        (str(number), True) for number in range(3, 12)
    ]
    arrival.verified(SMALL.whole)
    arrival.finish()
    assert scene.files() == SMALL.files
    scene.store.close()


def test_a_file_that_is_in_its_place_is_not_written_again(tmp_path: Path) -> None:
    scene = DiskScene(tmp_path)
    arrival = arrive(scene, SMALL)
    deliver(arrival, SMALL, [0])
    arrival.sync()
    assert arrival.plan.write_files is not None
    arrival.plan.write_files([0, 1], [memoryview(b"a late one"), memoryview(SMALL.chunk(1))])
    [unfinished] = (scene.folder / ".p2phub").glob("*/1")
    assert not unfinished.with_name("0").exists()
    arrival.verified(SMALL.whole)
    arrival.close()
    again = arrive(scene, SMALL)
    deliver_rest(again, SMALL)
    again.finish()
    assert scene.files() == SMALL.files
    scene.store.close()


def test_files_that_cannot_be_written_whole_say_which_and_why(tmp_path: Path) -> None:
    class FullDisk(Disk):
        def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> None:
            if bytes(data) == SMALL.chunk(1):
                raise OSError(errno.ENOSPC, "full")
            super().pwrite(fd, data, offset)

    arrival = arrive(DiskScene(tmp_path, FullDisk()), SMALL)
    assert arrival.plan.write_files is not None
    with pytest.raises(DiskFull, match=SMALL.manifest.files[1].path):
        arrival.plan.write_files([0, 1], [memoryview(SMALL.chunk(0)), memoryview(SMALL.chunk(1))])
    arrival.close()


def test_what_is_in_the_way_is_found_also_behind_folders_that_are_not_there(tmp_path: Path) -> None:
    content = content_of({path: path.encode() for path in ("a/b/c/1", "a/b/c/2", "a/b/d", "a/e", "b/1", "bb", "c/1")})
    scene = DiskScene(tmp_path)
    scene.put("a/e", b"another one")
    scene.put("bb", b"and another")
    with pytest.raises(Occupied, match=r"a/e.*bb"):
        arrive(scene, content)
    scene.remove("a/e")
    scene.put("bb", b"bb")
    arrival = arrive(scene, content)
    assert arrival.have == RangeSet.of([(5, 6)])
    arrival.close()
    scene.store.close()


def test_an_unfinished_file_is_opened_again_and_one_of_an_earlier_attempt_found(tmp_path: Path) -> None:
    content = content_of(random_files(2, a=3_000), 1_000)
    scene = DiskScene(tmp_path)
    first = arrive(scene, content)
    deliver(first, content, [0, 1])
    first.close()
    second = arrive(scene, content)
    assert list(second.have) == [0, 1]
    deliver(second, content, [2])
    second.finish()
    assert scene.files() == content.files
    scene.store.close()


def test_carriers_make_files_beside_each_other(tmp_path: Path) -> None:
    disk = MakingDisk()
    scene = DiskScene(tmp_path, disk)
    arrival = arrive(scene, SMALL)
    disk.meeting = threading.Barrier(2)  # Whoever had to wait for the other to be done would break it.
    with ThreadPoolExecutor(2) as carriers:
        for made in [carriers.submit(deliver, arrival, SMALL, [number]) for number in (0, 1)]:
            made.result()
    disk.meeting = None
    deliver_rest(arrival, SMALL)
    arrival.finish()
    assert scene.files() == SMALL.files
    scene.store.close()


def test_who_waits_at_a_doorway_waits_for_the_last_inside() -> None:
    doorway = Doorway()
    empty = threading.Event()

    def wait() -> None:
        doorway.wait_until_empty()
        empty.set()

    with doorway:
        waiting = threading.Thread(target=wait)
        waiting.start()
        with ThreadPoolExecutor(1) as another:
            another.submit(lambda: doorway.__enter__()).result()
    assert not empty.is_set(), "the other is still inside"
    doorway.__exit__()
    assert empty.wait(PATIENCE_S)
    waiting.join()


# --- reading on ----------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    for path in ("a/one", "a/two", "b/three", "top"):
        (made / path).parent.mkdir(parents=True, exist_ok=True)
        (made / path).write_text(path)
    return made


def seen(folder: Path, path: str) -> Fingerprint:
    return fingerprint(os.stat(folder / path))


def test_a_walk_opens_each_file_as_it_was_hashed_in_any_order(folder: Path) -> None:
    walk = FolderWalk(folder)
    for path in ("a/one", "a/two", "b/three", "top", "a/one"):
        opened = walk.open(path, seen(folder, path))
        assert os.pread(opened.descriptor, 99, 0) == path.encode()
        assert opened.unchanged()
        opened.close()
    walk.close()


def test_a_neighbour_is_opened_from_the_folder_that_is_open(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walk = FolderWalk(folder)
    expected = seen(folder, "a/two")
    walk.open("a/one", seen(folder, "a/one")).close()
    monkeypatch.setattr("p2phub.store.folders.open_published", None)  # Not needed, nor a way from the root:
    monkeypatch.setattr(FolderWalk, "_go_to", None)
    opened = walk.open("a/two", expected)
    assert os.pread(opened.descriptor, 99, 0) == b"a/two"
    opened.close()
    walk.close()


def test_a_file_that_is_not_as_it_was_hashed_is_refused_on_a_walk_too(folder: Path) -> None:
    walk = FolderWalk(folder)
    before = seen(folder, "a/two")
    walk.open("a/one", seen(folder, "a/one")).close()
    (folder / "a/two").write_text("other")
    with pytest.raises(ContentChanged, match="changed"):
        walk.open("a/two", before)
    (folder / "a/two").unlink()
    with pytest.raises(ContentChanged, match="not there"):
        walk.open("a/two", before)
    (folder / "a/two").symlink_to("/etc/hostname")
    with pytest.raises(ContentChanged):
        walk.open("a/two", before)
    walk.close()


def test_what_is_no_file_any_more_is_not_even_opened_on_a_walk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walk = FolderWalk(folder)
    before = seen(folder, "a/two")
    walk.open("a/one", seen(folder, "a/one")).close()
    (folder / "a/two").unlink()
    os.mkfifo(folder / "a/two")
    opened = names_opened(monkeypatch)
    with pytest.raises(ContentChanged):
        walk.open("a/two", before)
    assert not any(name.endswith("two") for name in opened)
    walk.close()


def test_a_file_that_is_replaced_between_look_and_open_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = FolderWalk(folder)
    before, status = seen(folder, "a/two"), os.stat(folder / "a/two")
    (folder / "a/new").write_text("other")
    (folder / "a/new").rename(folder / "a/two")
    monkeypatch.setattr(os, "stat", lambda *path, **how: status)  # As it looked a moment ago.
    with pytest.raises(ContentChanged):
        walk.open("a/two", before)
    walk.close()


def test_a_link_inside_the_folder_is_followed_on_a_walk_as_it_is_otherwise(folder: Path) -> None:
    (folder / "linked").symlink_to("a/one")
    (folder / "c").symlink_to("b")
    walk = FolderWalk(folder)
    for path, led_to in (("linked", "a/one"), ("c/three", "b/three")):
        opened = walk.open(path, seen(folder, led_to))
        assert os.pread(opened.descriptor, 99, 0) == led_to.encode()
        opened.close()
        open_published(folder, path, seen(folder, led_to)).close()
    walk.close()


def test_a_walk_leaves_no_descriptor_behind(folder: Path) -> None:
    with all_closed_again():
        walk = FolderWalk(folder)
        for path in ("a/one", "b/three", "top"):
            walk.open(path, seen(folder, path)).close()
        with pytest.raises(ContentChanged):
            walk.open("a/b/c/d", seen(folder, "top"))
        walk.close()
        walk.close()


# --- many rows -----------------------------------------------------------------------------------------------------


def test_a_fingerprint_is_its_five_numbers_and_a_list_of_them_gives_each_back() -> None:
    numbers = [(1, 2, 3, 4, 5), (2**64 - 1, 2**63, 0, -(2**63), 2**63 - 1)]
    prints = Fingerprints()
    for each in numbers:
        prints.append(Fingerprint(*each))
    assert [found.values() for found in prints] == numbers
    assert (prints[0].device, prints[0].inode, prints[0].size, prints[0].mtime_ns, prints[0].ctime_ns) == numbers[0]
    assert prints[1] == Fingerprint(*numbers[1]) != prints[0]
    assert len(prints) == 2
    with pytest.raises(IndexError):
        prints[2]


def test_rows_are_read_a_few_at_a_time_and_none_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "ROWS_AT_ONCE", 4)  # Three pages of 12 rows, the last one full.
    scene = DiskScene(tmp_path)
    hold(scene, SMALL)
    plan = scene.store.read_plan(SMALL.root)
    assert plan is not None
    assert plan.held == SMALL.whole
    scene.store.mark_changed(SMALL.root, 5)
    plan = scene.store.read_plan(SMALL.root)
    assert plan is not None
    assert list(plan.held) == [number for number in range(12) if number != 5]
    plan.open(11).close()
    with pytest.raises(ContentChanged):
        plan.open(5)
    scene.store.close()


def test_a_holding_is_recorded_whole_also_where_the_index_turns_out_to_be_damaged(tmp_path: Path) -> None:
    scene = DiskScene(tmp_path)
    hold(scene, content_of({"other": b"other"}))
    with sqlite3.connect(scene.home / "index.sqlite") as db:  # While the store has it open: seen in the middle of work.
        db.execute("DROP TABLE file")
    db.close()
    hold(scene, SMALL)
    scene.store.close()
    with sqlite3.connect(scene.home / "index.sqlite") as db:
        rows = db.execute("SELECT number FROM file WHERE standing = ? ORDER BY number", (TRUSTED,)).fetchall()
    db.close()
    assert [number for (number,) in rows] == list(range(12))


@pytest.mark.parametrize("size", ["-1", "'many'", "1e300"])
def test_a_row_that_no_file_can_have_is_not_served(tmp_path: Path, size: str) -> None:
    scene = DiskScene(tmp_path)
    hold(scene, SMALL)
    with sqlite3.connect(scene.home / "index.sqlite") as db:
        db.execute(f"UPDATE file SET size = {size} WHERE number = 3")
    db.close()
    plan = scene.store.read_plan(SMALL.root)
    assert plan is not None
    plan.open(2).close()
    with pytest.raises(ContentChanged):
        plan.open(3)
    assert SMALL.manifest.files[3].path not in scene.store.remembered(scene.folder)
    scene.store.close()
