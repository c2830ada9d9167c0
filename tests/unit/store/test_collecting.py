"""What the contract of every store cannot show: other processes, crashes, and what lies in a home beside."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from p2phub.content import digest_of
from p2phub.errors import DiskError
from p2phub.store import Keep, Origin, Spare, collecting
from p2phub.store.blobs import YOUNG_S
from p2phub.store.filesystem import FilesystemStore
from p2phub.store.logged import HOLDING
from p2phub.store.state_log import Key, StateLog, Value
from tests.support.content import Content, content_of, random_files
from tests.support.covers import covers
from tests.support.stores import DiskScene, arrive, deliver_rest, hashed, hold, put_all

ONE = content_of({**random_files(1, model=5_500), "sub/config.json": b"{}"}, 1000)
PART = content_of({"model.bin": ONE.files["model.bin"]}, 1000)
TWO = content_of(random_files(2, other=2_000), 1000)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[DiskScene]:
    made = DiskScene(tmp_path)
    yield made
    made.store.close()


def own(scene: DiskScene, content: Content) -> Spare:
    user, scene.folder = scene.folder, scene.store.own_folder(content.root)
    arrival = arrive(scene, content)
    deliver_rest(arrival, content)
    arrival.finish()
    spare, scene.folder = Spare(content.root, scene.folder, content.manifest.bytes_total), user
    return spare


def sweep(scene: DiskScene, *, aged: bool = True) -> None:
    if aged:
        for path in (scene.home / "blobs").iterdir():
            os.utime(path, times=(time.time() - 2 * YOUNG_S,) * 2)
    scene.store.sweep(Keep(), lambda: False)


@covers("F33")
def test_a_pin_that_another_process_noted_meanwhile_keeps_it(scene: DiskScene) -> None:
    spare = own(scene, ONE)
    ledger = scene.ledger()
    ledger.pin(ONE.root, pinned=True)
    assert scene.store.collect(spare, Keep()) is None  # Planned before the pin was there.
    assert scene.store.read_plan(ONE.root) is not None
    assert not (spare.folder / ".p2phub").exists()
    ledger.pin(ONE.root, pinned=False)
    assert scene.store.collect(spare, Keep()) is not None
    ledger.close()


@covers("F05", "F33")
def test_what_the_disk_does_not_let_us_look_at_is_not_taken_for_removed(
    scene: DiskScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    spare = own(scene, ONE)
    really = {name: getattr(os, name) for name in ("stat", "lstat")}

    def failing(name: str) -> Any:
        def look(path: Any, *args: Any, **named: Any) -> os.stat_result:
            if path == spare.folder:
                raise OSError(errno.EIO, os.strerror(errno.EIO), path)
            found: os.stat_result = really[name](path, *args, **named)
            return found

        return look

    with monkeypatch.context() as disk:
        for name in really:
            disk.setattr(os, name, failing(name))
        with pytest.raises(DiskError, match="input/output error"):
            scene.store.collect(spare, Keep())
    scene.reopen()
    sweep(scene)
    [held] = scene.store.holdings()
    assert (held.complete, held.origin) == (True, Origin.OWN)


def test_what_was_hashed_where_the_disk_does_not_say_what_stands_stays_known(
    scene: DiskScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_all(scene, ONE)
    files = {scene.folder / file.entry.path: file for file in hashed(scene, ONE)}
    scene.store.note_hashed(files)
    really = {name: getattr(os, name) for name in ("stat", "lstat")}

    def failing(name: str) -> Any:
        def look(path: Any, *args: Any, **named: Any) -> os.stat_result:
            if not isinstance(path, int) and Path(os.fsdecode(path)) in files:
                raise OSError(errno.EIO, os.strerror(errno.EIO), path)
            found: os.stat_result = really[name](path, *args, **named)
            return found

        return look

    with monkeypatch.context() as disk:
        for name in really:
            disk.setattr(os, name, failing(name))
        sweep(scene)
    assert len(scene.store.hashed_at(files)) == len(files)


@covers("F33")
def test_a_fetch_of_another_process_into_the_own_store_is_left_alone(scene: DiskScene) -> None:
    other = FilesystemStore(scene.home)
    other.put_blobs(list(ONE.blobs.values()))
    arrival = other.arrive(ONE.manifest, ONE.root, ONE.table, other.own_folder(ONE.root), force=False)
    sweep(scene)
    deliver_rest(arrival, ONE)
    arrival.finish()
    other.close()
    scene.reopen()
    (held,) = scene.store.holdings()
    assert (held.complete, held.origin) == (True, Origin.OWN)
    assert scene.store.blob(ONE.root) is not None


@covers("F33")
def test_what_another_process_collects_while_a_model_is_recorded_is_not_what_describes_it(
    scene: DiskScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_all(scene, ONE)
    scene.store.put_blobs(list(ONE.blobs.values()))
    os.utime(scene.home / "blobs" / ONE.root.raw.hex(), times=(time.time() - 2 * YOUNG_S,) * 2)
    other = FilesystemStore(scene.home)
    note = StateLog.set

    def collect_first(log: StateLog, kind: str, key: Key, value: Value) -> None:
        if kind == HOLDING:
            other.sweep(Keep(), lambda: False)
        note(log, kind, key, value)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(StateLog, "set", collect_first)
        scene.store.hold(ONE.manifest, ONE.root, scene.folder, hashed(scene, ONE))
    assert scene.store.blob(ONE.root) is not None
    (held,) = scene.store.holdings()
    assert held.complete
    other.close()


@covers("F33")
def test_a_blob_that_is_put_is_kept_until_it_is_said_what_it_is_for(scene: DiskScene) -> None:
    blob = b"a list of chunks"
    scene.store.put_blobs([blob])
    sweep(scene, aged=False)
    assert scene.store.blob(digest_of(blob)) == blob
    for path in (scene.home / "blobs").iterdir():
        os.utime(path, times=(time.time() - 2 * YOUNG_S,) * 2)
    scene.store.put_blobs([blob])  # Again, by somebody else.
    sweep(scene, aged=False)
    assert scene.store.blob(digest_of(blob)) == blob
    sweep(scene)
    assert scene.store.blob(digest_of(blob)) is None


@covers("F33")
@pytest.mark.parametrize(
    "content", [ONE, content_of({"model.bin": ONE.files["model.bin"]}, 1000)], ids=["same", "part"]
)
def test_what_was_published_from_the_own_store_is_the_users(scene: DiskScene, content: Content) -> None:
    spare = own(scene, ONE)
    scene.folder = spare.folder
    scene.store.put_blobs(list(content.blobs.values()))
    scene.store.hold(content.manifest, content.root, spare.folder, hashed(scene, content))
    other = own(scene, TWO)
    assert [each.manifest for each in scene.store.collectable(Keep()).spare] == [TWO.root]
    assert scene.store.collect(spare, Keep()) is None
    assert scene.store.collect(other, Keep()) is not None
    sweep(scene)
    assert scene.files() == ONE.files
    assert scene.store.read_plan(content.root) is not None


@covers("F33")
def test_what_was_adopted_from_within_the_own_store_stays(scene: DiskScene) -> None:
    spare = own(scene, ONE)
    scene.folder = spare.folder
    scene.store.put_blobs(list(PART.blobs.values()))
    files = [replace(file, place=spare.folder / "model.bin") for file in hashed(scene, PART)]
    scene.store.hold(PART.manifest, PART.root, scene.home.parent / "cache", files, origin=Origin.ADOPTED)
    assert scene.store.collectable(Keep()).spare == ()
    assert scene.store.collect(spare, Keep()) is None
    sweep(scene)
    assert scene.files() == ONE.files
    scene.store.release(PART.root)
    assert len(scene.store.collectable(Keep()).spare) == 1
    assert scene.store.collect(spare, Keep()) is not None


@covers("F33")
def test_what_was_adopted_from_there_by_the_way_that_a_link_leads_stays(scene: DiskScene) -> None:
    elsewhere = scene.home.parent / "other-disk"
    elsewhere.mkdir()
    (scene.home / "files").symlink_to(elsewhere)
    spare = own(scene, ONE)
    real = elsewhere / spare.folder.name
    scene.folder = real
    scene.store.put_blobs(list(PART.blobs.values()))
    files = [replace(file, place=real / "model.bin") for file in hashed(scene, PART)]
    scene.store.hold(PART.manifest, PART.root, scene.home.parent / "cache", files, origin=Origin.ADOPTED)
    assert scene.store.collectable(Keep()).spare == ()
    assert scene.store.collect(spare, Keep()) is None
    sweep(scene)
    assert scene.files() == ONE.files


def test_what_lies_around_the_own_store_keeps_all_of_it(scene: DiskScene) -> None:
    spare = own(scene, ONE)
    scene.folder = scene.home.parent
    hold(scene, PART)
    assert scene.store.collectable(Keep()).spare == ()
    assert scene.store.collect(spare, Keep()) is None


def test_only_what_is_named_as_ours_is_taken_for_left_over(scene: DiskScene) -> None:
    own(scene, TWO)
    files = scene.home / "files"
    for name in ("mine", "0123", ".going.1234", ONE.root.raw.hex()):
        (files / name / "deep").mkdir(parents=True)
        (files / name / "deep" / "file").write_bytes(b"x" * 10)
    outside = scene.folder.parent / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"stays")
    (files / ".going.1234" / "link").symlink_to(outside)
    assert sum(each.bytes for each in scene.store.collectable(Keep()).leftovers) >= 20
    sweep(scene)
    assert sorted(os.listdir(files)) == sorted(["0123", "mine", TWO.root.raw.hex()])
    assert (outside / "file").read_bytes() == b"stays"


def test_what_goes_though_its_metadata_is_damaged_leaves_no_row(scene: DiskScene) -> None:
    spare = own(scene, ONE)
    own(scene, TWO)
    scene.reopen()
    for digest in ONE.blobs:
        (scene.home / "blobs" / digest.raw.hex()).write_bytes(b"rotten")
    assert scene.store.collect(spare, Keep()) is not None
    sweep(scene)
    assert isinstance(scene.store, FilesystemStore)
    contents = scene.store._holdings.contents
    assert all(contents.find_chunk(ref.digest) == [] for ref in ONE.table.chunks(0, len(ONE.table)))
    assert all(contents.find_chunk(ref.digest) for ref in TWO.table.chunks(0, len(TWO.table)))
    assert scene.store._holdings.keeping.gone() == []


def test_after_the_index_was_lost_what_is_held_keeps_its_blobs(scene: DiskScene) -> None:
    hold(scene, TWO)
    own(scene, ONE)
    scene.store.close()
    for path in scene.home.glob("index.sqlite*"):
        path.unlink()
    scene.store = FilesystemStore(scene.home)
    sweep(scene)
    scene.store.check()
    assert all(held.complete for held in scene.store.holdings())
    assert {held.origin for held in scene.store.holdings()} == {Origin.OWN, Origin.PUBLISHED}


def test_a_collection_that_is_stopped_has_done_a_part_and_the_next_does_the_rest(scene: DiskScene) -> None:
    files = scene.home / "files"
    for number in range(3):
        (files / f".going.{number}").mkdir(parents=True)
    looks = iter([False, True])
    scene.store.sweep(Keep(), lambda: next(looks, True))
    assert len(os.listdir(files)) == 2
    sweep(scene)
    assert os.listdir(files) == []


@covers("F33")
def test_what_is_published_from_the_own_store_while_it_is_to_be_forgotten_keeps_it(
    scene: DiskScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    spare = own(scene, ONE)
    other = FilesystemStore(scene.home)
    user, scene.folder = scene.folder, spare.folder
    found = hashed(scene, PART)
    scene.folder = user
    take = collecting.Destination

    def publish_then_take(*args: Any) -> collecting.Destination:  # Asked whether anything needs it was before.
        other.put_blobs(list(PART.blobs.values()))
        other.hold(PART.manifest, PART.root, spare.folder, found)
        return take(*args)

    monkeypatch.setattr(collecting, "Destination", publish_then_take)
    assert scene.store.collect(spare, Keep()) is None
    assert [holding.complete for holding in scene.store.holdings()] == [True, True]
    assert not (spare.folder / ".p2phub").exists()
    other.close()
