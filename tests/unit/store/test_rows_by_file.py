"""Chunks are noted by the file that has them: what a version adds, what goes with it, what a kill leaves between."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2phub import limits
from p2phub.content import Digest
from p2phub.store import Keep, Store
from p2phub.store import index_content as contents_room
from p2phub.store.filesystem import FilesystemStore
from p2phub.store.holdings import Holdings
from p2phub.store.index import key_of
from p2phub.store.remembering import NEWEST
from tests.support.content import Content, content_of, random_files
from tests.support.stores import DiskScene, MemoryScene, Scene, hashed, hold

STEP = 1000
WEIGHTS = random_files(1, model=8_500, other=3_000)
FIRST = content_of({**WEIGHTS, "README.md": b"first"}, STEP)
SECOND = content_of({**WEIGHTS, "README.md": b"second"}, STEP)
WANTED = content_of({"renamed.bin": WEIGHTS["model.bin"]}, STEP)


class Killed(BaseException):
    """The process ended here."""


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[DiskScene]:
    made = DiskScene(tmp_path)
    yield made
    made.store.close()


def holdings_of(scene: DiskScene) -> Holdings:
    assert isinstance(scene.store, FilesystemStore)
    return scene.store._holdings


def rows(scene: DiskScene, table: str) -> list[tuple[int, ...]]:
    db = sqlite3.connect(scene.home / "index.sqlite")
    found = sorted(db.execute(f"SELECT * FROM {table}").fetchall())
    db.close()
    return found


def found(store: Store, content: Content) -> int:
    return sum(run.count for run in store.local(content.table, content.whole))


def entry_root(content: Content, path: str) -> Digest:
    number = content.manifest.number_of(path)
    assert number is not None
    return content.manifest.files[number].root


def test_a_new_version_adds_no_row_of_a_file_that_did_not_change(scene: DiskScene) -> None:
    hold(scene, FIRST)
    before = rows(scene, "chunk"), rows(scene, "content")
    assert len(before[0]) == 9 + 3, "those of files of several chunks: one chunk is what a file's root names"
    hold(scene, SECOND)
    assert (rows(scene, "chunk"), rows(scene, "content")) == before
    readme = content_of({"r": b"second"}, STEP)
    assert (found(scene.store, WANTED), found(scene.store, readme)) == (9, 1)


def test_a_file_goes_on_being_found_until_the_last_version_that_has_it_is_released(scene: DiskScene) -> None:
    hold(scene, FIRST)
    hold(scene, SECOND)
    before = rows(scene, "content")
    scene.store.release(FIRST.root)
    assert found(scene.store, WANTED) == 9
    assert rows(scene, "content") == before
    scene.store.release(SECOND.root)
    assert found(scene.store, WANTED) == 0
    assert rows(scene, "chunk") == rows(scene, "content") == []


def test_what_is_held_again_while_its_rows_go_is_found(scene: DiskScene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents_room, "ROWS_AT_ONCE", 2)
    hold(scene, FIRST)
    contents = holdings_of(scene).contents
    goes = contents_room._goes
    looks = iter(range(100))

    def held_meanwhile(db: sqlite3.Connection, root: int) -> bool:
        going = goes(db, root)
        if next(looks) == 2:  # The rows of two steps are gone, then another process publishes it.
            other = DiskScene.__new__(DiskScene)
            other.home, other.folder, other.store = scene.home, scene.folder, FilesystemStore(scene.home)
            monkeypatch.setattr(contents_room, "_goes", goes)
            db.execute("COMMIT")
            hold(other, SECOND)
            other.store.close()
            db.execute("BEGIN IMMEDIATE")
            return goes(db, root)
        return going

    monkeypatch.setattr(contents_room, "_goes", held_meanwhile)
    scene.store.release(FIRST.root)
    assert next(looks) > 2
    assert found(scene.store, WANTED) == 9
    assert contents.unheld() == []
    assert [noted for *_, noted in rows(scene, "content")] == [1, 1]


@pytest.mark.parametrize("step", range(5))
def test_whoever_is_killed_while_chunks_are_noted_notes_them_at_the_next_look(
    scene: DiskScene, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setattr(contents_room, "CHUNKS_AT_ONCE", 3)
    written = contents_room._rows_of
    steps = iter(range(100))

    def killed(piece: list[contents_room._Piece]) -> Iterator[tuple[int, int, int]]:
        if next(steps) == step:
            raise Killed
        return written(piece)

    with monkeypatch.context() as patched:
        patched.setattr(contents_room, "_rows_of", killed)
        if step < 4:  # 9 and 3 chunks, 3 at once.
            with pytest.raises(Killed):
                hold(scene, FIRST)
        else:
            hold(scene, FIRST)
    scene.reopen()
    assert scene.store.holdings()[0].complete
    assert found(scene.store, WANTED) == 9
    assert len(rows(scene, "chunk")) == 12
    scene.store.release(FIRST.root)
    assert rows(scene, "chunk") == rows(scene, "content") == []


def test_what_is_released_while_its_chunks_are_noted_goes(scene: DiskScene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents_room, "CHUNKS_AT_ONCE", 3)
    set_roots = contents_room._set_roots
    steps = iter(range(100))

    def released_before(db: sqlite3.Connection, holding: int, roots: list[int | None]) -> None:
        if next(steps) == 2:  # Two steps are written.
            db.execute("COMMIT")
            other = FilesystemStore(scene.home)
            other.release(FIRST.root)
            other.close()
            db.execute("BEGIN IMMEDIATE")
        set_roots(db, holding, roots)

    monkeypatch.setattr(contents_room, "_set_roots", released_before)
    hold(scene, FIRST)
    assert scene.store.collectable(Keep()).rows > 0
    scene.store.sweep(Keep(), lambda: False)
    assert rows(scene, "chunk") == rows(scene, "content") == []


def test_what_a_kill_left_of_a_content_that_nobody_has_any_more_goes_with_the_next_collection(
    scene: DiskScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(scene, FIRST)

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(contents_room.ContentIndex, "forget", killed)
        with pytest.raises(Killed):
            scene.store.release(FIRST.root)
    scene.reopen()
    assert scene.store.holdings() == ()
    assert found(scene.store, WANTED) == 0
    assert scene.store.collectable(Keep()).rows == 2
    assert scene.store.sweep(Keep(), lambda: False).rows == 2
    assert rows(scene, "chunk") == rows(scene, "content") == []


def test_rows_of_a_content_go_though_its_list_is_not_here_any_more(scene: DiskScene) -> None:
    hold(scene, FIRST)
    hold(scene, content_of(random_files(3, third=2_500), STEP))
    (scene.home / "blobs" / entry_root(FIRST, "model.bin").raw.hex()).unlink()
    scene.store.release(FIRST.root)
    assert len(rows(scene, "chunk")) == 3
    assert len(rows(scene, "content")) == 1


def test_a_row_that_names_a_chunk_which_its_file_has_not_is_not_believed(scene: DiskScene) -> None:
    hold(scene, FIRST)
    wanted = content_of({"x": b"never seen"}, STEP)
    key = key_of(wanted.table.chunk(0).digest)
    db = sqlite3.connect(scene.home / "index.sqlite")
    for number in (0, 8, 9, 10_000):  # As if two contents were known by the same eight bytes.
        db.execute("INSERT INTO chunk VALUES (?, ?, ?)", (key, key_of(entry_root(FIRST, "model.bin").raw), number))
    db.commit()
    db.close()
    assert scene.store.local(wanted.table, wanted.whole) == []
    assert found(scene.store, WANTED) == 9


def test_a_file_that_is_another_files_list_is_told_apart(scene: DiskScene) -> None:
    root = entry_root(FIRST, "model.bin")
    as_a_file = content_of({"list": FIRST.blobs[root]}, STEP)
    assert as_a_file.manifest.files[0].root == root
    hold(scene, FIRST)
    assert found(scene.store, as_a_file) == 0
    hold(scene, as_a_file)
    scene.store.release(FIRST.root)
    assert found(scene.store, as_a_file) == 1
    assert found(scene.store, WANTED) == 0


def test_a_holding_whose_list_of_lists_is_missing_is_noted_when_it_is_back(
    scene: DiskScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CHUNKS_PER_LIST_MAX", 4)
    content = content_of({"large": random_files(9, large=9_500)["large.bin"]}, STEP)
    hold(scene, content)
    top = entry_root(content, "large")
    scene.store.close()
    (scene.home / "index.sqlite").unlink()
    (scene.home / "blobs" / top.raw.hex()).unlink()
    scene.store = FilesystemStore(scene.home)
    assert scene.store.collectable(Keep()).blobs == 0
    assert holdings_of(scene).contents.without_blobs() != []
    scene.store.put_blobs([content.blobs[top]])
    scene.store.check()
    scene.store.collectable(Keep())
    assert holdings_of(scene).contents.without_blobs() == []
    assert found(scene.store, content) == 10


def test_what_an_upgrade_left_to_note_of_a_large_home_is_noted_over_several_looks(
    scene: DiskScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [content_of(random_files(seed, **{f"m{seed}": 3_000}), STEP) for seed in range(4)]
    for content in others:
        hold(scene, content)
    db = sqlite3.connect(scene.home / "index.sqlite")
    db.executescript(
        "DELETE FROM chunk; DELETE FROM content; UPDATE file SET root = NULL; UPDATE holding SET chunked = 1"
    )
    db.close()
    scene.reopen()
    monkeypatch.setattr("p2phub.store.local.LOOKED_UP_AFTER", 6)
    assert found(scene.store, others[-1]) == 3, "the newest first"
    assert len(rows(scene, "content")) == 2
    assert found(scene.store, others[0]) == 3
    assert len(rows(scene, "content")) == 4


def test_publishing_again_reads_each_list_once_however_many_versions_there_are(
    scene: DiskScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(scene, FIRST)
    versions = [content_of({**WEIGHTS, "README.md": b"%d" % number}, STEP) for number in range(8)]
    for content in versions:
        scene.put("README.md", content.files["README.md"])
        scene.store.put_blobs(list(content.blobs.values()))
        scene.store.hold(content.manifest, content.root, scene.folder, hashed(scene, content))
    scene.reopen()
    blobs = holdings_of(scene).blobs
    get, asked = blobs.get, list[Digest]()
    monkeypatch.setattr(blobs, "get", lambda digest: asked.append(digest) or get(digest))
    assert set(scene.store.remembered(scene.folder)) == set(FIRST.files)
    lists = {entry_root(FIRST, "model.bin"), entry_root(FIRST, "other.bin")}
    assert sorted(asked) == sorted([*lists, versions[-1].root]), "earlier ones have nothing that it has not"


def test_a_large_file_of_any_older_holding_of_a_folder_is_known(scene: DiskScene) -> None:
    large = content_of(random_files(4, large=(1 << 20) + 1))
    hold(scene, large)
    for number in range(NEWEST + 1):  # As when much is fetched into one folder.
        hold(scene, content_of({f"{number}.bin": b"%d" % number}, STEP))
    assert set(scene.store.remembered(scene.folder)) == {"large.bin", *(f"{number}.bin" for number in range(1, 5))}


def test_a_large_file_that_was_moved_away_is_still_known_when_it_comes_back(scene: DiskScene) -> None:
    large = content_of({**random_files(4, large=(1 << 20) + 1, small=900), "README.md": b"first"})
    hold(scene, large)
    place = scene.folder / "large.bin"
    for moved in (place, scene.folder / "small.bin"):
        moved.rename(scene.folder.parent / moved.name)
    hold(scene, content_of({"README.md": b"second"}, STEP))
    assert set(scene.store.remembered(scene.folder)) == {"README.md"}
    known = scene.store.hashed_at([place, scene.folder / "small.bin"])
    assert set(known) == {place}
    assert known[place].entry.root == entry_root(large, "large.bin")
    chunks = known[place].chunks
    assert chunks is not None
    assert len(chunks) == 2


@pytest.mark.parametrize("seed", range(12))
def test_what_is_shared_is_what_counting_every_chunk_says(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    parts = [bytes([number]) * STEP for number in range(5)]
    disk, memory = DiskScene(tmp_path), MemoryScene()
    scenes: list[Scene] = [disk, memory]
    for number in range(4):
        files = {
            f"file-{at}": b"".join(chance.choices(parts, k=chance.randrange(4))) + b"tail"[: chance.randrange(3)]
            for at in range(chance.randrange(1, 4))
        }
        content = content_of(files, STEP)
        for scene in scenes:
            scene.folder = scene.folder.parent / f"folder-{number}"
            hold(scene, content)
    here, there = disk.store.usage(), memory.store.usage()
    assert [(each.bytes, each.bytes_same_content) for each in here.holdings] == [
        (each.bytes, each.bytes_same_content) for each in there.holdings
    ]
    assert here.bytes_content == there.bytes_content
    disk.store.close()


def test_what_was_never_whole_here_is_no_second_copy(scene: DiskScene) -> None:
    part = content_of({**WEIGHTS, "longer.bin": WEIGHTS["other.bin"] + b"more"}, STEP)
    hold(scene, FIRST)
    hold(scene, part)
    (newest,) = holdings_of(scene).index.holdings(part.root)
    db = sqlite3.connect(scene.home / "index.sqlite")
    db.execute("UPDATE file SET standing = 0, size = NULL, inode = NULL WHERE holding = ?", (newest.id,))
    db.commit()
    db.close()
    (second, first) = scene.store.usage().holdings
    assert (second.bytes, second.bytes_same_content) == (0, 0)
    assert (first.bytes, first.bytes_same_content) == (FIRST.manifest.bytes_total, 0)
    assert scene.store.usage().bytes_content == FIRST.manifest.bytes_total
