"""A folder that was made by somebody else, with a `.p2phub` that says how much of it is done: what counts is read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from p2phub.content import ChunkTable, RangeSet
from p2phub.store import journal, survey
from p2phub.store.disk import Disk
from p2phub.store.interface import Arrival
from p2phub.store.journal import WRITTEN_ON_S, Binding, FileId, Identity, Journal, Remembered
from p2phub.store.records import decode_records, encode_record
from p2phub.store.rehash import Unreadable, matching_chunks
from tests.support.content import content_of, random_files
from tests.support.covers import covers
from tests.support.stores import DiskScene, arrive, deliver, deliver_rest

CONTENT = content_of(random_files(5, big=40_000), 1_000)
TWO = content_of({**CONTENT.files, "small.bin": b"s" * 900}, 1_000)
BINDING = Binding(CONTENT.root.raw, CONTENT.table.files, len(CONTENT.table), CONTENT.table.bytes_total)
HONEST = RangeSet.of([(0, 1), (7, 9)])
EVIL = b"".join(CONTENT.chunk(number) if number in HONEST else b"?" * 1_000 for number in CONTENT.whole)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[DiskScene]:
    made = DiskScene(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many chunks of unfinished files were to be read and hashed, look by look."""
    counts: list[int] = []

    def counting(table: ChunkTable, places: Sequence[tuple[int, RangeSet]], unreadable: Unreadable) -> RangeSet:
        counts.append(sum(len(chunks) for _, chunks in places))
        return matching_chunks(table, places, unreadable)

    monkeypatch.setattr(survey, "matching_chunks", counting)
    return counts


def partials_of(folder: Path) -> Path:
    return folder / ".p2phub" / CONTENT.root.raw.hex()[:16]


def left_by(scene: DiskScene, chunks: range = range(30)) -> Path:
    """Leave an attempt of the user's own with these chunks durable; return the folder of its unfinished files."""
    arrival = arrive(scene, CONTENT)
    deliver(arrival, CONTENT, chunks)
    arrival.sync()
    arrival.close()
    return partials_of(scene.folder)


def planted(scene: DiskScene) -> Path:
    """Unpack a folder whose unfinished file is mostly wrong, and whose journal calls all of it durable."""
    partials = partials_of(scene.folder)
    partials.mkdir(mode=0o700, parents=True)
    (partials / "0").write_bytes(EVIL)
    fd = os.open(partials, os.O_RDONLY)
    # Even if it names the very file: numbers of inodes can be guessed.
    lying = {0: Identity.of(os.stat(partials / "0")).id}
    Journal(Disk(), fd, BINDING, Remembered(CONTENT.whole, lying=lying), b"not the home's secret".ljust(32)).close()
    os.close(fd)
    return partials


def bodies(partials: Path) -> list[bytes]:
    return decode_records((partials / "journal").read_bytes())[0]


def put_bodies(partials: Path, bodies: Sequence[bytes]) -> None:
    data = b""
    for body in bodies:
        data += encode_record(body, len(data))
    (partials / "journal").write_bytes(data)


def assert_finishes_with_the_rest_fetched(scene: DiskScene, arrival: Arrival) -> None:
    assert arrival.have == HONEST
    assert deliver_rest(arrival, CONTENT) == list(CONTENT.whole - HONEST)
    arrival.finish()
    assert scene.files() == CONTENT.files


@covers("T54")
def test_of_a_planted_folder_only_what_is_right_counts_and_the_rest_is_fetched(scene: DiskScene) -> None:
    planted(scene)
    assert_finishes_with_the_rest_fetched(scene, arrive(scene, CONTENT))


@covers("T54")
def test_a_journal_from_before_the_seals_is_a_hint(scene: DiskScene) -> None:
    partials = planted(scene)
    placed = b"P" + b"\0" * 4 + bytes(32)
    put_bodies(
        partials,
        [BINDING.encode(b"p2phjn\x00\x01"), placed, b"D" + (0).to_bytes(4, "big") + (40).to_bytes(4, "big")],
    )
    assert_finishes_with_the_rest_fetched(scene, arrive(scene, CONTENT))


@covers("T54")
def test_our_journal_of_another_folder_is_a_hint_here(scene: DiskScene, tmp_path: Path) -> None:
    theirs = planted(scene)
    elsewhere = tmp_path / "elsewhere"
    arrival = scene.store.arrive(CONTENT.manifest, CONTENT.root, CONTENT.table, elsewhere, force=False)
    deliver(arrival, CONTENT, range(39))
    arrival.sync()
    arrival.close()
    shutil.copyfile(partials_of(elsewhere) / "journal", theirs / "journal")
    # The file itself, moved over and overwritten, so that it is the one that was marked.
    os.replace(partials_of(elsewhere) / "0", theirs / "0")
    (theirs / "0").write_bytes(EVIL)
    assert_finishes_with_the_rest_fetched(scene, arrive(scene, CONTENT))


@covers("T54")
def test_a_record_behind_ours_or_moved_within_our_journal_is_a_hint(scene: DiskScene) -> None:
    partials = left_by(scene, range(1))
    ours = bodies(partials)
    (partials / "0").write_bytes(EVIL)  # In place: what was marked is right, and so are file and journal.
    more = b"D" + (1).to_bytes(4, "big") + (40).to_bytes(4, "big")
    put_bodies(partials, [*ours, more + ours[-1][-16:]])
    assert_finishes_with_the_rest_fetched(scene, arrive(scene, CONTENT))


@pytest.mark.parametrize("at", range(4))
def test_a_record_that_was_changed_makes_a_hint_of_it_and_of_what_follows(
    scene: DiskScene, at: int, hashed: list[int]
) -> None:
    partials = left_by(scene)
    found = bodies(partials)
    found[at] = found[at][:-1] + bytes([found[at][-1] ^ 1])
    put_bodies(partials, found)
    (partials / "hints.0").write_bytes(b"")
    arrival = arrive(scene, CONTENT)
    assert arrival.have == RangeSet.of([(0, 30)])
    assert sum(hashed) >= 30
    arrival.close()


@covers("T54")
def test_marks_are_hints_for_another_file_under_the_same_number(scene: DiskScene) -> None:
    partials = left_by(scene, range(39))
    (partials / "other").write_bytes(EVIL)
    os.replace(partials / "other", partials / "0")
    assert_finishes_with_the_rest_fetched(scene, arrive(scene, CONTENT))


@covers("T54")
def test_marks_are_hints_for_their_own_file_once_it_was_written_to_long_after(
    scene: DiskScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    partials = left_by(scene, range(39))
    (partials / "0").write_bytes(EVIL)  # Unpacked over what was there: the same file, beside our own journal.
    monkeypatch.setattr(journal, "WRITTEN_ON_S", -1.0)  # As if it had been left alone for long before.
    assert_finishes_with_the_rest_fetched(scene, arrive(scene, CONTENT))


@covers("T54")
def test_a_file_is_the_one_that_was_marked_as_long_as_we_may_have_written_to_it() -> None:
    def changed(seconds: float, inode: int = 2) -> os.stat_result:
        times_ns = {"st_ctime_ns": int(seconds * 1e9), "st_mtime_ns": 0}
        return os.stat_result((0o100600, inode, 1, 1, 0, 0, 0, 0, 0, seconds), times_ns)

    past = Remembered(lying={0: FileId(1, 2)}, marked_ns=100 * 10**9)
    assert past.speaks_of(0, changed(0))
    assert past.speaks_of(0, changed(100 + WRITTEN_ON_S))
    assert not past.speaks_of(0, changed(101 + WRITTEN_ON_S))
    assert not past.speaks_of(0, changed(0, inode=3))
    assert not past.speaks_of(1, changed(0))


def test_marks_of_a_file_that_went_to_its_place_are_hints_for_another_under_its_number(scene: DiskScene) -> None:
    arrival = arrive(scene, TWO)
    deliver(arrival, TWO, range(*TWO.table.span(0)))
    arrival.sync()
    arrival.close()
    scene.remove("big.bin")
    (scene.folder / ".p2phub" / TWO.root.raw.hex()[:16] / "0").write_bytes(EVIL)
    again = arrive(scene, TWO)
    assert again.have == HONEST
    deliver_rest(again, TWO)
    again.finish()
    assert scene.files() == TWO.files


@covers("F01")
def test_the_users_own_folder_is_resumed_without_being_read_through(scene: DiskScene, hashed: list[int]) -> None:
    left_by(scene)
    scene.reopen()
    for _ in range(3):  # Each attempt writes the journal anew.
        arrival = arrive(scene, CONTENT)
        assert arrival.have == RangeSet.of([(0, 30)])
        arrival.close()
    assert sum(hashed) == 3, "one spot check each"


def test_a_folder_that_was_renamed_is_resumed_without_being_read_through(
    scene: DiskScene, tmp_path: Path, hashed: list[int]
) -> None:
    left_by(scene)
    scene.folder.rename(tmp_path / "renamed")
    scene.folder = tmp_path / "renamed"
    assert arrive(scene, CONTENT).have == RangeSet.of([(0, 30)])
    assert sum(hashed) == 1


@pytest.mark.parametrize("how", ["copied", "the home lost its secret", "another home"])
def test_a_folder_that_is_not_recognised_keeps_its_bytes_and_is_recognised_from_then_on(
    scene: DiskScene, tmp_path: Path, how: str, hashed: list[int]
) -> None:
    left_by(scene)
    if how == "copied":
        shutil.copytree(scene.folder, tmp_path / "copy")
        scene.folder = tmp_path / "copy"
    elif how == "another home":
        scene.home = tmp_path / "another"
        scene.reopen()
    else:
        (scene.home / "journal.key").unlink()
    arrival = arrive(scene, CONTENT)
    assert arrival.have == RangeSet.of([(0, 30)])
    assert sum(hashed) == 30
    arrival.sync()
    arrival.close()
    hashed.clear()
    assert arrive(scene, CONTENT).have == RangeSet.of([(0, 30)])
    assert sum(hashed) == 1
