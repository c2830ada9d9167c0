"""The index of a home: damaged, old, too new, shared; and what is made again without it."""

from __future__ import annotations

import errno
import multiprocessing
import os
import sqlite3
from pathlib import Path

import pytest

from p2phub.content import Digest, digest_of
from p2phub.errors import DiskError
from p2phub.store import blobs
from p2phub.store.ballast import BALLAST
from p2phub.store.database import DOUBTED, TRUSTED, Damage
from p2phub.store.filesystem import FilesystemStore
from p2phub.store.fingerprints import Fingerprint
from p2phub.store.index import FileRow
from tests.support.content import content_of, random_files
from tests.support.stores import DiskScene, arrive, deliver_rest, hold

CONTENT = content_of({**random_files(7, model=5_000, other=100), "empty": b""}, 1_000)


def held_home(at: Path) -> DiskScene:
    """A home that holds CONTENT, its processes ended."""
    scene = DiskScene(at)
    hold(scene, CONTENT)
    scene.store.close()
    return scene


def flip_the_middle(index: Path) -> None:
    data = bytearray(index.read_bytes())
    for at in range(4096, len(data)):
        data[at] ^= 0x5A
    index.write_bytes(data)


HARM = {
    "garbage": lambda index: index.write_bytes(b"not a database" * 1_000),
    "zeros": lambda index: index.write_bytes(bytes(index.stat().st_size)),
    "cut": lambda index: os.truncate(index, index.stat().st_size // 2 - 100),
    "a page": flip_the_middle,
    "other tables": lambda index: other_tables(index),
    "no tables": lambda index: drop_tables(index),
    "deleted": lambda index: index.unlink(),
    "empty": lambda index: index.write_bytes(b""),
}


def other_tables(index: Path) -> None:
    index.unlink()
    with sqlite3.connect(index) as db:
        db.execute("CREATE TABLE elephants (name TEXT)")
    db.close()


def drop_tables(index: Path) -> None:
    with sqlite3.connect(index) as db:
        db.execute("DROP TABLE file")
    db.close()


@pytest.mark.covers("F08")
@pytest.mark.parametrize("harm", HARM)
def test_a_damaged_index_is_begun_again_and_what_it_knew_is_hashed_again(tmp_path: Path, harm: str) -> None:
    scene = held_home(tmp_path)
    HARM[harm](scene.home / "index.sqlite")
    scene.store = FilesystemStore(scene.home)
    plan = scene.store.read_plan(CONTENT.root)
    assert plan is not None
    assert not plan.held, "nothing is claimed before it was hashed again"
    assert [(each.files_here, each.files_damaged) for each in scene.store.holdings()] == [(0, 0)]
    said = scene.store.check()
    if harm not in ("deleted", "empty"):
        assert any("damaged" in line for line in said)
        assert [path.name for path in scene.home.glob("index.damaged-*")] == ["index.damaged-1"]
    plan = scene.store.read_plan(CONTENT.root)
    assert plan is not None
    assert plan.held == CONTENT.whole
    plan.open(0).close()
    assert scene.store.check() == ()
    scene.store.close()


@pytest.mark.covers("F08")
def test_what_changed_meanwhile_is_not_held_by_the_new_index(tmp_path: Path) -> None:
    scene = held_home(tmp_path)
    (scene.home / "index.sqlite").write_bytes(b"garbage")
    scene.put("model.bin", b"?" * 5_000)
    scene.store = FilesystemStore(scene.home)
    assert any("1 files are not what was hashed" in line for line in scene.store.check())
    (holding,) = scene.store.holdings()
    number = [entry.path for entry in CONTENT.manifest.files].index("model.bin")
    assert holding.held == CONTENT.whole - type(CONTENT.whole).of([CONTENT.table.span(number)])
    scene.store.close()


@pytest.mark.covers("F08")
def test_an_index_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    scene = held_home(tmp_path)
    with sqlite3.connect(scene.home / "index.sqlite") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    store = FilesystemStore(scene.home)
    for call in (store.holdings, store.check, lambda: store.read_plan(CONTENT.root)):
        with pytest.raises(DiskError, match="newer p2phub"):
            call()
    store.close()
    assert list(scene.home.glob("index.damaged-*")) == []


def test_a_released_holding_does_not_come_back_with_a_new_index(tmp_path: Path) -> None:
    scene = held_home(tmp_path)
    scene.store = FilesystemStore(scene.home)
    scene.store.release(CONTENT.root)
    scene.store.close()
    (scene.home / "index.sqlite").unlink()
    scene.store = FilesystemStore(scene.home)
    assert scene.store.holdings() == ()
    scene.store.close()


@pytest.mark.covers("F05")
def test_a_blob_that_rotted_is_dropped_and_said(tmp_path: Path) -> None:
    scene = held_home(tmp_path)
    blob = scene.home / "blobs" / CONTENT.root.raw.hex()
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)
    store = FilesystemStore(scene.home)
    said = store.check()
    assert any("rotted" in line for line in said)
    assert any("metadata is missing" in line for line in said)
    assert store.blob(CONTENT.root) is None
    assert store.read_plan(CONTENT.root) is None
    store.put_blobs(list(CONTENT.blobs.values()))
    assert store.check() == ()
    assert store.read_plan(CONTENT.root) is not None
    store.close()


def use_home(home: Path, folder: Path) -> None:
    store = FilesystemStore(home)
    scene = DiskScene.__new__(DiskScene)
    scene.home, scene.folder, scene.store = home, folder, store
    for number in range(4):
        content = content_of({f"{folder.name}-{number}": b"x" * number})
        arrival = arrive(scene, content)
        deliver_rest(arrival, content)
        arrival.finish()
        assert len(store.holdings()) >= number
    store.close()


@pytest.mark.covers("F07")
def test_several_processes_use_one_home_from_the_very_first_moment(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=use_home, args=(tmp_path / "home", tmp_path / name)) for name in "abc"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    store = FilesystemStore(tmp_path / "home")
    assert len(store.holdings()) == 12
    assert all(holding.complete for holding in store.holdings())
    store.close()


def test_device_and_inode_numbers_use_all_their_64_bits(tmp_path: Path) -> None:
    scene = DiskScene(tmp_path)
    hold(scene, CONTENT)
    rows = scene.store._holdings.index  # type: ignore[attr-defined]
    huge = Fingerprint(2**64 - 1, 2**63, 5, -1, 7)
    rows.stand(rows.holdings()[0].id, 0, FileRow(0, 2, huge))
    assert next(rows.files(rows.holdings()[0].id)).fingerprint == huge
    scene.store.close()


def test_publishing_costs_less_than_a_hundredth_of_the_content(tmp_path: Path) -> None:
    scene = DiskScene(tmp_path)
    hold(scene, content_of({f"{number:04}.bin": b"%04d" % number * 5_000 for number in range(300)}))
    scene.store.close()
    # Without the ballast, which is the same whatever is held.
    used = sum(path.stat().st_size for path in scene.home.rglob("*") if path.is_file() and path.name != BALLAST)
    assert used < 6_000_000 * 0.03  # 20 kB files, and an index that has not grown into its pages yet.


def test_the_list_of_holdings_is_read_again_whoever_changed_it(tmp_path: Path) -> None:
    scene = DiskScene(tmp_path)
    other = FilesystemStore(scene.home)
    assert scene.store.held_at() == other.held_at() == ()
    hold(scene, CONTENT)
    assert scene.store.held_at() == other.held_at() != ()
    other.release(CONTENT.root)
    assert scene.store.held_at() == other.held_at() == ()
    other.close()
    scene.store.close()


def test_a_new_home_has_its_index_before_anybody_needs_it(tmp_path: Path) -> None:
    """So that the syncs that it takes can be waited for beside something else."""
    scene = DiskScene(tmp_path)
    index = scene.home / "index.sqlite"
    assert not index.exists()
    scene.store.get_ready()
    made = index.stat()
    hold(scene, CONTENT)
    assert made.st_ino == index.stat().st_ino
    assert scene.store.check() == ()


def meets_damage(store: FilesystemStore) -> None:
    """Have a process find the index damaged once, as it is open there."""
    met: list[object] = []

    def work(db: sqlite3.Connection) -> None:
        if not met:
            met.append(db)
            raise Damage("a page")

    store._holdings.index.database.do(work)


@pytest.mark.covers("F08")
def test_what_is_recorded_by_who_had_the_index_open_that_another_put_aside_is_in_the_new_one(tmp_path: Path) -> None:
    scene = DiskScene(tmp_path)
    assert scene.store.holdings() == ()
    other = FilesystemStore(scene.home)
    meets_damage(other)
    hold(scene, CONTENT)
    assert [holding.complete for holding in (*other.holdings(), *scene.store.holdings())] == [True, True]
    scene.store.close()
    other.close()
    fresh = FilesystemStore(scene.home)
    assert [holding.complete for holding in fresh.holdings()] == [True]
    fresh.close()


@pytest.mark.covers("F08")
def test_what_was_being_recorded_when_the_index_was_put_aside_is_recorded_again(tmp_path: Path) -> None:
    scene = DiskScene(tmp_path)
    hold(scene, CONTENT)
    hold(scene, content_of({"other": b"x"}))
    scene.store.close()
    store, other = FilesystemStore(scene.home), FilesystemStore(scene.home)
    before = store._holdings.index.holdings()
    standings: list[int] = []

    def work(db: sqlite3.Connection) -> None:
        (standing,) = db.execute("SELECT max(standing) FROM file").fetchone()
        standings.append(standing)
        if len(standings) == 1:
            meets_damage(other)

    store._holdings.index.database.do(work)
    assert standings == [TRUSTED, DOUBTED]
    after = store._holdings.index.holdings()
    assert {(row.manifest, row.folder) for row in before} == {(row.manifest, row.folder) for row in after}
    assert not {row.id for row in before} & {row.id for row in after}, "what is noted of one is noted of no other"
    store.close()
    other.close()


@pytest.mark.covers("F07")
def test_damage_that_two_processes_meet_puts_the_index_aside_once(tmp_path: Path) -> None:
    scene = held_home(tmp_path)
    one, two = FilesystemStore(scene.home), FilesystemStore(scene.home)
    assert len(one.holdings()) == len(two.holdings()) == 1
    meets_damage(one)
    assert any("damaged" in line for line in one.check())
    meets_damage(two)
    assert two.check() == ()
    assert [holding.complete for holding in (*one.holdings(), *two.holdings())] == [True, True]
    assert [path.name for path in scene.home.glob("index.damaged-*")] == ["index.damaged-1"]
    one.close()
    two.close()


@pytest.mark.covers("F08")
def test_a_holding_that_the_log_has_and_the_index_lacks_is_held_again_once_it_was_hashed(tmp_path: Path) -> None:
    scene = held_home(tmp_path)
    with sqlite3.connect(scene.home / "index.sqlite") as db:
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("DELETE FROM holding")
    db.close()
    store = FilesystemStore(scene.home)
    assert store.holdings() == ()
    assert any("told again" in line for line in store.check())
    assert [holding.complete for holding in store.holdings()] == [True]
    assert store.check() == ()
    store.close()


@pytest.mark.covers("F07")
def test_a_blob_that_was_put_right_while_the_rotted_one_was_read_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = held_home(tmp_path)
    reader, writer = FilesystemStore(scene.home), FilesystemStore(scene.home)
    (scene.home / "blobs" / CONTENT.root.raw.hex()).write_bytes(b"rotted")

    def digest_and_put(blob: bytes) -> Digest:
        if blob == b"rotted":
            monkeypatch.undo()
            writer.put_blobs([CONTENT.blobs[CONTENT.root]])
        return digest_of(blob)

    monkeypatch.setattr(blobs, "digest_of", digest_and_put)
    assert reader.blob(CONTENT.root) is None
    assert reader.blob(CONTENT.root) == CONTENT.blobs[CONTENT.root]
    reader.close()
    writer.close()


@pytest.mark.covers("F05")
def test_a_blob_that_the_disk_cannot_read_any_more_is_written_anew_when_it_is_put(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = held_home(tmp_path)
    name = CONTENT.root.raw.hex()
    bad = (scene.home / "blobs" / name).stat().st_ino
    store, opened = FilesystemStore(scene.home), os.open

    def failing(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == name and os.stat(path, dir_fd=dir_fd).st_ino == bad:
            raise OSError(errno.EIO, "Input/output error")
        return opened(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", failing)
    with pytest.raises(DiskError, match="read metadata"):
        store.blob(CONTENT.root)
    store.put_blobs([CONTENT.blobs[CONTENT.root]])
    assert store.blob(CONTENT.root) == CONTENT.blobs[CONTENT.root]
    store.close()
