"""What is noted of a file being hashed is believed as far as it is whole, and written once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from p2phub.store import Fingerprint, Keep, PartHashed
from p2phub.store.filesystem import FilesystemStore
from tests.support.stores import DiskScene

PLACE = Path("/models/large.bin")
DIGESTS = Random(1).randbytes(32 * 1000)
NOTED = (10, 30, 31, 400)


def part(chunks: int) -> PartHashed:
    state = b"%032d" % chunks
    return PartHashed(Fingerprint(1, 2, 3, 4, 5), bytes(32), 1000 * chunks, DIGESTS[: 32 * chunks], state)


@pytest.fixture
def scene(tmp_path: Path) -> DiskScene:
    made = DiskScene(tmp_path)
    for chunks in NOTED:
        made.store.note_parts({PLACE: part(chunks)})
    return made


def change(scene: DiskScene, statement: str, values: tuple[object, ...] = ()) -> list[tuple[int, int]]:
    """Change the index behind the store's back; return (chunks, length of the note) of each row that is left."""
    with sqlite3.connect(scene.home / "index.sqlite") as db:
        db.execute(statement, values)
        left = db.execute("SELECT chunks, length(note) FROM hashing ORDER BY chunks").fetchall()
    db.close()
    return left


def test_each_digest_is_written_once(scene: DiskScene) -> None:
    rows = change(scene, "SELECT 1")
    assert [chunks for chunks, _ in rows] == list(NOTED)
    assert sum(length for _, length in rows) < 400 * 32 + len(NOTED) * 250
    scene.store.close()


def flipped(scene: DiskScene, chunks: int) -> None:
    with sqlite3.connect(scene.home / "index.sqlite") as db:
        (note,) = db.execute("SELECT note FROM hashing WHERE chunks = ?", (chunks,)).fetchone()
    db.close()
    at = Random(chunks).randrange(len(note))
    bad = note[:at] + bytes([note[at] ^ 1]) + note[at + 1 :]
    change(scene, "UPDATE hashing SET note = ? WHERE chunks = ?", (bad, chunks))


def gone(scene: DiskScene, chunks: int) -> None:
    change(scene, "DELETE FROM hashing WHERE chunks = ?", (chunks,))


def moved(scene: DiskScene, chunks: int) -> None:
    change(scene, "UPDATE hashing SET chunks = chunks + 1000 WHERE chunks = ?", (chunks,))
    change(scene, "DELETE FROM hashing WHERE chunks BETWEEN ? AND 999", (chunks,))


def huge(scene: DiskScene, chunks: int) -> None:
    change(scene, "UPDATE hashing SET note = zeroblob(5000000) WHERE chunks = ?", (chunks,))


def text(scene: DiskScene, chunks: int) -> None:
    change(scene, "UPDATE hashing SET note = 'note' WHERE chunks = ?", (chunks,))


@pytest.mark.parametrize("damage", [flipped, gone, moved, huge, text])
@pytest.mark.parametrize("number", range(len(NOTED)))
def test_nothing_is_believed_behind_what_is_damaged_and_it_goes_on_from_there(
    scene: DiskScene, damage: Callable[[DiskScene, int], None], number: int
) -> None:
    damage(scene, NOTED[number])
    known = part(NOTED[number - 1]) if number else None
    assert scene.store.part_hashed(PLACE) == known
    scene.store.note_parts({PLACE: part(500)})
    assert scene.store.part_hashed(PLACE) == part(500)
    scene.store.close()


def test_what_was_noted_of_one_file_is_not_believed_of_another(scene: DiskScene) -> None:
    other = PLACE.with_name("other.bin")
    change(scene, "UPDATE hashing SET place = ?", (bytes(other),))
    assert scene.store.part_hashed(other) is None
    scene.store.close()


def test_two_passes_at_once_cost_work_and_no_truth(scene: DiskScene) -> None:
    other = PartHashed(Fingerprint(9, 9, 9, 9, 9), bytes(32), 60_000, DIGESTS[-32 * 60 :], b"other")
    rows = change(scene, "SELECT 1")
    scene.store.note_parts({PLACE: other})
    assert change(scene, "SELECT 1") != rows
    scene.store.note_parts({PLACE: part(500)})
    assert scene.store.part_hashed(PLACE) == part(500)
    scene.store.close()


def test_an_index_that_is_begun_anew_knows_of_no_part(scene: DiskScene) -> None:
    scene.store.close()
    (scene.home / "index.sqlite").write_bytes(b"no database" * 500)
    scene.store = FilesystemStore(scene.home)
    assert scene.store.part_hashed(PLACE) is None
    scene.store.note_parts({PLACE: part(500)})
    assert scene.store.part_hashed(PLACE) == part(500)
    scene.store.close()


def test_a_collection_forgets_parts_of_files_that_are_gone(scene: DiskScene, tmp_path: Path) -> None:
    here, away = tmp_path / "here.bin", tmp_path / "gone.bin"
    here.write_bytes(b"here")
    scene.store.note_parts({here: part(3), away: part(4)})
    assert scene.store.collectable(Keep()).rows == 1
    scene.store.sweep(Keep(), lambda: False)
    assert [scene.store.part_hashed(place) for place in (here, away, PLACE)] == [part(3), None, part(400)]
    scene.store.close()
