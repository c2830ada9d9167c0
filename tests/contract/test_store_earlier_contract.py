"""What every store promises of earlier versions of a folder, run on the real disk and in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2phub.content import RangeSet
from p2phub.errors import ContentChanged
from p2phub.store import Holding, Keep, Origin, Selected
from tests.support.content import Content, content_of, random_files
from tests.support.covers import covers
from tests.support.stores import (
    DiskScene,
    MemoryScene,
    Scene,
    arrive,
    as_on_a_disk,
    deliver,
    deliver_rest,
    hashed,
)

STEP = 1000
WEIGHTS = random_files(1, model=3_500)
CHECKPOINT = random_files(2, checkpoint=2_500)
ANOTHER = random_files(3, checkpoint=2_500)
FIRST = content_of({**WEIGHTS, **CHECKPOINT, "README.md": b"first"}, STEP)
SECOND = content_of({**WEIGHTS, **ANOTHER, "README.md": b"second"}, STEP)


@pytest.fixture(params=["disk", "memory"])
def scene(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    as_on_a_disk(monkeypatch)
    made: Scene = DiskScene(tmp_path) if request.param == "disk" else MemoryScene()
    yield made
    made.store.close()


def publish(scene: Scene, content: Content, *, leave: tuple[str, ...] = ()) -> None:
    """Bring the folder to `content`, but for what it is to `leave`, and hold it: what is the same is not touched."""
    there = scene.files()
    for path in there.keys() - content.files.keys() - set(leave):
        scene.remove(path)
    for path, data in content.files.items():
        if there.get(path) != data:
            scene.put(path, data)
    scene.store.put_blobs(list(content.blobs.values()))
    scene.store.hold(content.manifest, content.root, scene.folder, hashed(scene, content))


def fetch(scene: Scene, content: Content) -> None:
    arrival = arrive(scene, content, force=True)
    deliver_rest(arrival, content)
    arrival.finish()


def holding(scene: Scene, content: Content) -> Holding:
    (found,) = scene.store.holdings(content.root)
    return found


def check_served(scene: Scene, content: Content, *paths: str) -> None:
    """Have these files of `content` served, each chunk read and compared, and no others claimed."""
    plan = scene.store.read_plan(content.root)
    assert plan is not None
    numbers = [number for path in paths if (number := content.manifest.number_of(path)) is not None]
    assert plan.held == RangeSet.of(content.table.span(number) for number in numbers)
    for number in numbers:
        file = plan.open(number)
        for ref in content.table.chunks(content.table.span(number)[0], len(content.table.list_of(number))):
            assert os.pread(file.descriptor, ref.length, ref.offset) == content.chunk(ref.index)
        file.close()


def test_what_was_replaced_is_known_to_be_gone_when_the_newer_version_is_recorded(scene: Scene) -> None:
    publish(scene, FIRST)
    assert not holding(scene, FIRST).replaced
    publish(scene, SECOND)
    found = holding(scene, FIRST)
    assert (found.complete, found.replaced) == (False, True)
    assert (found.files, found.files_here, found.files_damaged) == (3, 1, 0)
    check_served(scene, FIRST, "model.bin")
    check_served(scene, SECOND, *SECOND.files)
    (model,) = scene.store.recorded(FIRST.root, scene.folder)
    assert FIRST.path_of(model) == "model.bin"
    assert scene.store.check() == (), "it is neither damaged nor in doubt"
    scene.reopen()
    assert holding(scene, FIRST) == found


def test_a_version_whose_files_all_stay_is_whole_and_served_on(scene: Scene) -> None:
    publish(scene, FIRST)
    more = content_of({**FIRST.files, "more.txt": b"more"}, STEP)
    publish(scene, more)
    assert holding(scene, FIRST).complete
    assert not holding(scene, FIRST).replaced
    check_served(scene, FIRST, *FIRST.files)


def test_what_a_name_leaves_out_that_another_has_is_held_on(scene: Scene) -> None:
    publish(scene, FIRST)
    publish(scene, content_of(WEIGHTS, STEP), leave=("checkpoint.bin", "README.md"))
    assert holding(scene, FIRST).complete
    check_served(scene, FIRST, *FIRST.files)


def test_what_stands_under_another_path_is_served_from_there(scene: Scene) -> None:
    publish(scene, FIRST)
    moved = content_of({"weights/model.bin": WEIGHTS["model.bin"], **CHECKPOINT, "README.md": b"second"}, STEP)
    publish(scene, moved)
    assert holding(scene, FIRST).files_here == 2
    check_served(scene, FIRST, "model.bin", "checkpoint.bin")
    scene.put("weights/model.bin", b"!")
    number = FIRST.manifest.number_of("model.bin")
    assert number is not None
    plan = scene.store.read_plan(FIRST.root)
    assert plan is not None
    with pytest.raises(ContentChanged):
        plan.open(number)
    publish(scene, moved)
    check_served(scene, FIRST, "model.bin", "checkpoint.bin")


def test_what_another_folder_has_is_served_from_there(scene: Scene) -> None:
    publish(scene, FIRST)
    beside = scene.folder.parent / "beside"
    here, scene.folder = scene.folder, beside
    kept = content_of({"kept.bin": CHECKPOINT["checkpoint.bin"]}, STEP)
    publish(scene, kept)
    scene.folder = here
    publish(scene, SECOND)
    check_served(scene, FIRST, "model.bin", "checkpoint.bin")


def test_a_file_written_anew_with_the_same_content_is_held_as_it_stands(scene: Scene) -> None:
    publish(scene, FIRST)
    scene.put("model.bin", WEIGHTS["model.bin"])
    publish(scene, SECOND)
    check_served(scene, FIRST, "model.bin")


def test_of_what_changed_and_nobody_hashed_it_is_told_that_it_is_in_doubt(scene: Scene) -> None:
    publish(scene, FIRST)
    scene.put("README.md", b"1")
    publish(scene, content_of(WEIGHTS, STEP), leave=("README.md", "checkpoint.bin"))
    found = holding(scene, FIRST)
    assert (found.files_here, found.files_damaged, found.replaced) == (2, 1, False)
    check_served(scene, FIRST, "model.bin", "checkpoint.bin")


def test_a_fetch_over_an_earlier_version_settles_it_too(scene: Scene) -> None:
    fetch(scene, FIRST)
    fetch(scene, SECOND)
    found = holding(scene, FIRST)
    assert (found.origin, found.files_here, found.files_damaged, found.replaced) == (Origin.FETCHED, 1, 0, True)
    check_served(scene, FIRST, "model.bin")
    fetch(scene, FIRST)
    assert holding(scene, FIRST).complete
    assert not holding(scene, FIRST).replaced
    assert holding(scene, SECOND).replaced


def test_a_selection_that_a_newer_version_replaced_is_still_told_as_one(scene: Scene) -> None:
    number = FIRST.manifest.number_of("README.md")
    assert number is not None
    chunks = RangeSet.of([FIRST.table.span(number)])
    arrival = arrive(scene, FIRST, selected=Selected(chunks, RangeSet.from_indices([number])))
    deliver(arrival, FIRST, chunks)
    arrival.finish()
    assert holding(scene, FIRST).bytes_selected == len(b"first")
    fetch(scene, SECOND)
    found = holding(scene, FIRST)
    assert (found.files_here, found.files_damaged, found.bytes_selected) == (0, 0, 0)


def test_what_was_fetched_is_never_held_at_the_place_of_another_file(scene: Scene) -> None:
    """A repair puts files at their own path: it would write where something else stands."""
    fetch(scene, FIRST)
    scene.remove("model.bin")
    fetch(scene, content_of({"moved.bin": WEIGHTS["model.bin"]}, STEP))
    assert holding(scene, FIRST).files_here == 2
    check_served(scene, FIRST, "checkpoint.bin", "README.md")


def test_an_earlier_version_of_which_nothing_is_left_ends_and_no_other(scene: Scene) -> None:
    publish(scene, FIRST)
    publish(scene, SECOND)
    assert scene.store.end_earlier(scene.folder, Keep()) == ()
    third = content_of({"new.bin": b"all is new"}, STEP)
    publish(scene, third)
    assert {each.manifest for each in scene.store.holdings()} == {FIRST.root, SECOND.root, third.root}
    assert scene.store.end_earlier(scene.folder.parent, Keep()) == ()
    assert set(scene.store.end_earlier(scene.folder, Keep())) == {FIRST.root, SECOND.root}
    assert [each.manifest for each in scene.store.holdings()] == [third.root]
    scene.reopen()
    assert [each.manifest for each in scene.store.holdings()] == [third.root]
    check_served(scene, third, "new.bin")
    assert scene.files() == third.files
    assert scene.store.check() == ()


@covers("F33")
@pytest.mark.parametrize("how", ["pinned", "busy", "published"])
def test_what_somebody_keeps_does_not_end(scene: Scene, how: str) -> None:
    publish(scene, FIRST)
    publish(scene, content_of({"new.bin": b"all is new"}, STEP))
    keep = Keep(**{how: frozenset({FIRST.root})})
    assert scene.store.end_earlier(scene.folder, keep) == ()
    assert (scene.store.collectable(keep).rows, scene.store.sweep(keep, lambda: False).rows) == (0, 0)
    assert scene.store.end_earlier(scene.folder, Keep()) == (FIRST.root,)


def test_a_sweep_ends_what_is_not_all_there_and_leaves_what_is(scene: Scene) -> None:
    publish(scene, FIRST)
    more = content_of({**FIRST.files, "more.txt": b"more"}, STEP)
    publish(scene, more)
    publish(scene, SECOND)
    last = content_of({**SECOND.files, "more.txt": b"more"}, STEP)
    publish(scene, last)
    assert scene.store.collectable(Keep()).rows >= 2
    assert scene.store.sweep(Keep(), lambda: False).rows >= 2
    assert [each.manifest for each in scene.store.holdings()] == [last.root, SECOND.root]
    check_served(scene, SECOND, *SECOND.files)
    assert scene.store.collectable(Keep()).rows == 0


def test_versions_of_a_year_leave_one_row_where_each_replaces_all(scene: Scene) -> None:
    for night in range(20):
        publish(scene, content_of({"checkpoint.bin": b"%d" % night * STEP}, STEP))
        scene.store.end_earlier(scene.folder, Keep())
    assert len(scene.store.holdings()) == 1
