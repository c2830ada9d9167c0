"""What every store promises, run on the real disk and in memory."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from p2phub.content import Codec, RangeSet, Readable, digest_of
from p2phub.errors import ContentChanged, DiskError, Malformed, Occupied, Unsafe
from p2phub.manifest import FileEntry, Manifest
from p2phub.store import Arrival, Gap, Keep, Made, Origin, Part, Selected, Spare, Store, ToMake
from p2phub.store.keeping import Keeper
from tests.support.content import Content, content_of, random_files
from tests.support.covers import covers
from tests.support.stores import (
    DiskScene,
    MemoryScene,
    Scene,
    arrive,
    deliver,
    deliver_rest,
    hashed,
    hold,
    put_all,
)

STEP = 1000
FILES = {
    **random_files(1, model=5_500, more=STEP),
    "config.json": b"{}",
    "empty.txt": b"",
    "data/train/000.bin": random_files(2, part=2_500)["part.bin"],
    "data/Ü – 概.md": b"not ASCII",
}


@pytest.fixture(params=["disk", "memory"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    made: Scene = DiskScene(tmp_path) if request.param == "disk" else MemoryScene()
    yield made
    made.store.close()


@pytest.fixture
def content() -> Content:
    return content_of(FILES, STEP)


def take_all(path: str, is_folder: bool) -> str | None:
    return None


def read(file: Readable) -> bytes:
    try:
        return os.pread(file.descriptor, 1 << 20, 0)
    finally:
        file.close()


# --- blobs -----------------------------------------------------------------------------------------------------------


def test_a_blob_is_found_by_its_digest_and_no_other(scene: Scene, content: Content) -> None:
    blobs = list(content.blobs.items())
    scene.store.put_blobs([blob for _, blob in blobs])
    scene.store.put_blobs([blobs[0][1]])  # Again: no harm.
    assert [scene.store.blob(digest) for digest, _ in blobs] == [blob for _, blob in blobs]
    assert scene.store.blob(content_of({"x": b"other"}).root) is None


def test_blobs_outlive_the_process(scene: Scene, content: Content) -> None:
    scene.store.put_blobs(list(content.blobs.values()))
    scene.reopen()
    assert scene.store.blob(content.root) is not None


# --- folders in place ------------------------------------------------------------------------------------------------


def test_a_scan_finds_every_file_in_path_order_and_says_what_it_left_out(scene: Scene) -> None:
    for path in ("b/2", "b-1", "a", ".git/config", "b/skip.partial"):
        scene.put(path, b"x")

    def ignore(path: str, is_folder: bool) -> str | None:
        if path == ".git" and is_folder:
            return "version control"
        return "unfinished" if path.endswith(".partial") else None

    scan = scene.store.scan(scene.folder, ignore)
    assert [found.path for found in scan.files] == ["a", "b-1", "b/2"]
    assert sorted(scan.left_out) == [(".git", "version control"), ("b/skip.partial", "unfinished")]
    assert scan.outside == ()


def test_a_scan_gives_the_fingerprint_that_an_open_file_has(scene: Scene) -> None:
    scene.put("a", b"x")
    (found,) = scene.store.scan(scene.folder, take_all).files
    opened = scene.store.open_in_place(scene.folder, "a")
    assert scene.store.fingerprint_of(opened) == found.fingerprint
    assert found.fingerprint.size == 1
    opened.close()


def test_a_folder_that_is_not_there_cannot_be_scanned(scene: Scene) -> None:
    with pytest.raises(DiskError):
        scene.store.scan(scene.folder / "nothing", take_all)


def test_a_file_that_is_not_there_cannot_be_opened_in_place(scene: Scene) -> None:
    scene.put("a", b"x")
    for path in ("b", "a/b"):
        with pytest.raises(ContentChanged):
            scene.store.open_in_place(scene.folder, path)


def test_an_open_file_tells_that_it_was_replaced_or_written_to(scene: Scene) -> None:
    scene.put("a", b"old")
    opened = scene.store.open_in_place(scene.folder, "a")
    assert opened.unchanged()
    scene.put("a", b"new")
    assert not opened.unchanged()
    opened.close()


def test_a_held_folder_is_served_from_where_it_stands(scene: Scene, content: Content) -> None:
    hold(scene, content)
    plan = scene.store.read_plan(content.root)
    assert plan is not None
    assert plan.held == content.whole
    assert [read(plan.open(file)) for file in range(len(content.files))] == [
        content.files[entry.path] for entry in content.manifest.files
    ]
    (holding,) = scene.store.holdings()
    assert (holding.manifest, holding.folder, holding.complete) == (content.root, scene.folder, True)
    assert (holding.bytes_total, holding.files) == (content.manifest.bytes_total, len(content.files))


def test_holding_keeps_the_metadata_that_serving_needs(scene: Scene, content: Content) -> None:
    put_all(scene, content)
    scene.store.hold(content.manifest, content.root, scene.folder, hashed(scene, content))
    assert [scene.store.blob(digest) for digest in content.blobs] == list(content.blobs.values())
    assert scene.store.read_plan(content.root) is not None


def test_an_arrival_keeps_the_metadata_that_serving_needs(scene: Scene, content: Content) -> None:
    arrival = scene.store.arrive(content.manifest, content.root, content.table, scene.folder, force=False)
    deliver_rest(arrival, content)
    arrival.finish()
    assert [scene.store.blob(digest) for digest in content.blobs] == list(content.blobs.values())


def test_holding_changes_no_file(scene: Scene, content: Content) -> None:
    hold(scene, content)
    assert scene.files() == content.files


def test_where_something_is_held_is_told_apart_from_how_it_stands(scene: Scene, content: Content) -> None:
    assert scene.store.held_at() == ()
    hold(scene, content)
    (held,) = scene.store.held_at()
    assert (held.manifest, held.folder, held.origin) == (content.root, scene.folder, Origin.PUBLISHED)
    scene.store.mark_changed(content.root, 0)
    assert scene.store.held_at(content.root) == (held,)
    assert scene.store.held_at(digest_of(b"another")) == ()
    scene.store.release(content.root)
    assert scene.store.held_at() == ()


def test_a_holding_outlives_the_process(scene: Scene, content: Content) -> None:
    hold(scene, content)
    scene.reopen()
    plan = scene.store.read_plan(content.root)
    assert plan is not None
    assert plan.held == content.whole


def test_what_is_not_held_has_no_plan(scene: Scene, content: Content) -> None:
    assert scene.store.read_plan(content.root) is None
    hold(scene, content)
    scene.store.release(content.root)
    assert scene.store.read_plan(content.root) is None
    assert scene.store.holdings() == ()
    assert scene.files() == content.files


def test_a_folder_is_forgotten_alone(scene: Scene, content: Content) -> None:
    hold(scene, content)
    (mine,) = scene.store.holdings()
    files = list(scene.store.remembered(mine.folder).values())
    beside = mine.folder.parent / "beside"
    scene.store.hold(content.manifest, content.root, beside, files)
    assert {held.folder for held in scene.store.holdings()} == {mine.folder, beside}
    scene.store.release(content.root, beside)
    scene.store.release(content.root, mine.folder.parent / "never-held")
    assert scene.store.holdings() == (mine,)
    scene.reopen()
    assert scene.store.holdings() == (mine,)


@pytest.mark.covers("F05", "T53")
def test_a_changed_file_is_refused_and_the_others_are_served(scene: Scene, content: Content) -> None:
    hold(scene, content)
    changed = [entry.path for entry in content.manifest.files].index("model.bin")
    scene.put("model.bin", b"!" + content.files["model.bin"][1:])
    plan = scene.store.read_plan(content.root)
    assert plan is not None
    with pytest.raises(ContentChanged):
        plan.open(changed)
    scene.store.mark_changed(content.root, changed)
    plan = scene.store.read_plan(content.root)
    assert plan is not None
    assert plan.held == content.whole - RangeSet.of([content.table.span(changed)])
    assert not scene.store.holdings()[0].complete
    plan.open(0).close()


def test_a_file_that_was_deleted_is_refused(scene: Scene, content: Content) -> None:
    hold(scene, content)
    scene.remove("config.json")
    plan = scene.store.read_plan(content.root)
    assert plan is not None
    with pytest.raises(ContentChanged):
        plan.open([entry.path for entry in content.manifest.files].index("config.json"))


def test_a_file_in_doubt_is_held_again_once_it_hashes_right(scene: Scene, content: Content) -> None:
    hold(scene, content)
    scene.store.mark_changed(content.root, 0)
    scene.put(content.manifest.files[0].path, content.files[content.manifest.files[0].path])
    assert scene.store.check() == ()
    assert scene.store.holdings()[0].complete


def test_a_file_in_doubt_that_hashes_wrong_stays_in_doubt(scene: Scene, content: Content) -> None:
    hold(scene, content)
    scene.put("config.json", b"[]")
    scene.store.mark_changed(content.root, [entry.path for entry in content.manifest.files].index("config.json"))
    assert any("not what was hashed" in said for said in scene.store.check())
    assert not scene.store.holdings()[0].complete


def test_publishing_again_remembers_files_by_trusted_fingerprint(scene: Scene, content: Content) -> None:
    hold(scene, content)
    remembered = scene.store.remembered(scene.folder)
    assert remembered == {file.entry.path: file for file in hashed(scene, content)}
    assert scene.store.remembered(scene.folder / "elsewhere") == {}


def test_a_fingerprint_too_young_to_trust_is_not_remembered(scene: Scene, content: Content) -> None:
    hold(scene, content, trusted=False)
    assert scene.store.remembered(scene.folder) == {}


def test_the_newest_word_on_a_path_is_remembered(scene: Scene, content: Content) -> None:
    hold(scene, content)
    newer = content_of({**FILES, "config.json": b'{"newer": 1}'}, STEP)
    hold(scene, newer)
    entry = scene.store.remembered(scene.folder)["config.json"].entry
    assert entry in newer.manifest.files


# --- arrivals --------------------------------------------------------------------------------------------------------


def test_an_arrival_becomes_ordinary_files(scene: Scene, content: Content) -> None:
    arrival = arrive(scene, content)
    assert arrival.have == RangeSet()
    deliver(arrival, content, reversed(range(len(content.table))))
    assert arrival.have == content.whole
    assert arrival.finish() == scene.folder
    assert scene.files() == content.files
    plan = scene.store.read_plan(content.root)
    assert plan is not None
    assert plan.held == content.whole
    assert read(plan.open(0)) == content.files[content.manifest.files[0].path]


def test_the_first_flight_is_written_by_the_arrival_itself(scene: Scene, content: Content) -> None:
    arrival = arrive(scene, content)
    for chunk in content.whole:
        arrival.write(chunk, content.chunk(chunk))
    arrival.verified(content.whole)
    arrival.finish()
    assert scene.files() == content.files


def test_a_whole_file_is_in_its_place_after_a_sync_and_an_unfinished_one_is_not(scene: Scene, content: Content) -> None:
    arrival = arrive(scene, content)
    whole = [entry.path for entry in content.manifest.files].index("more.bin")
    deliver(arrival, content, range(*content.table.span(whole)))
    deliver(arrival, content, [content.table.span(whole)[0] - 1])
    arrival.sync()
    assert scene.files() == {"more.bin": content.files["more.bin"]}
    everything = range(len(content.manifest.files))
    assert arrival.in_place(everything) == [whole]
    assert arrival.in_place([whole - 1]) == []
    arrival.close()


def test_files_that_stood_there_and_all_of_a_finished_fetch_are_in_place(scene: Scene, content: Content) -> None:
    scene.put("config.json", content.files["config.json"])
    arrival = arrive(scene, content)
    everything = range(len(content.manifest.files))
    assert [content.path_of(file) for file in arrival.in_place(everything)] == ["config.json"]
    deliver_rest(arrival, content)
    arrival.finish()
    assert arrival.in_place(everything) == list(everything)


@covers("F01")
@pytest.mark.parametrize("synced", [True, False])
def test_the_next_attempt_has_what_this_one_verified(scene: Scene, content: Content, synced: bool) -> None:
    arrival = arrive(scene, content)
    deliver(arrival, content, [0, 1, 3, 5])
    if synced:
        arrival.sync()
    arrival.close()
    scene.reopen()
    again = arrive(scene, content)
    assert again.have == RangeSet.from_indices([0, 1, 3, 5])
    assert 0 not in deliver_rest(again, content)
    again.finish()
    assert scene.files() == content.files


def test_a_chunk_told_twice_counts_once(scene: Scene, content: Content) -> None:
    arrival = arrive(scene, content)
    for _ in range(2):
        deliver(arrival, content, content.whole)
        arrival.sync()
    deliver(arrival, content, [0])  # A late duplicate, when its file is in its place.
    arrival.finish()
    assert scene.files() == content.files


def test_equal_files_that_are_there_are_recognised_and_kept(scene: Scene, content: Content) -> None:
    scene.put("model.bin", content.files["model.bin"])
    scene.put("unrelated/notes.txt", b"mine")
    arrival = arrive(scene, content)
    number = [entry.path for entry in content.manifest.files].index("model.bin")
    assert arrival.have == RangeSet.of([content.table.span(number)])
    deliver_rest(arrival, content)
    arrival.finish()
    assert scene.files() == {**content.files, "unrelated/notes.txt": b"mine"}


def test_an_equal_file_is_not_written_to_by_a_late_duplicate(scene: Scene, content: Content) -> None:
    scene.put("model.bin", content.files["model.bin"])
    arrival = arrive(scene, content)
    number = [entry.path for entry in content.manifest.files].index("model.bin")
    fd = arrival.plan.open(number)
    os.pwrite(fd, b"?" * 10, 0)
    os.close(fd)
    assert scene.files() == {"model.bin": content.files["model.bin"]}
    arrival.close()


@pytest.mark.parametrize("other", [b"other", b"?" * 5_500], ids=["another length", "same length"])
def test_a_different_file_is_never_overwritten(scene: Scene, content: Content, other: bytes) -> None:
    scene.put("model.bin", other)
    with pytest.raises(Occupied, match=r"model\.bin"):
        arrive(scene, content)
    assert scene.files() == {"model.bin": other}


def test_with_force_a_different_file_is_replaced_at_the_end(scene: Scene, content: Content) -> None:
    scene.put("model.bin", b"other")
    arrival = arrive(scene, content, force=True)
    deliver_rest(arrival, content)
    arrival.sync()
    assert scene.files()["model.bin"] == b"other"
    arrival.finish()
    assert scene.files() == content.files


@pytest.mark.parametrize("path", ["model.bin/inner", "data"])
def test_a_folder_where_a_file_goes_is_in_the_way_even_with_force(scene: Scene, content: Content, path: str) -> None:
    scene.put(path, b"mine")
    with pytest.raises(Occupied):
        arrive(scene, content, force=True)
    assert scene.files() == {path: b"mine"}


def test_a_file_that_appears_while_the_rest_is_fetched_is_not_overwritten(scene: Scene, content: Content) -> None:
    arrival = arrive(scene, content)
    deliver_rest(arrival, content)
    scene.put("model.bin", b"appeared")
    with pytest.raises(Occupied):
        arrival.finish()
    arrival.close()
    assert scene.files()["model.bin"] == b"appeared"
    scene.remove("model.bin")
    again = arrive(scene, content)
    assert deliver_rest(again, content) == []
    again.finish()
    assert scene.files() == content.files


def place_alone(arrival: Arrival, content: Content, path: str) -> int:
    """Bring one file to its place, whole and durable, and nothing else; return its number."""
    number = [entry.path for entry in content.manifest.files].index(path)
    deliver(arrival, content, range(*content.table.span(number)))
    arrival.sync()
    return number


@covers("F05", "T53")
def test_a_file_that_is_edited_at_its_place_while_the_rest_is_fetched_is_neither_served_nor_recorded(
    scene: Scene, content: Content
) -> None:
    arrival = arrive(scene, content)
    whole = place_alone(arrival, content, "more.bin")
    assert read(arrival.read_plan().open(whole)) == content.files["more.bin"]
    scene.put("more.bin", b"?" * STEP)
    with pytest.raises(ContentChanged):
        arrival.read_plan().open(whole)
    deliver_rest(arrival, content)
    with pytest.raises(ContentChanged, match=r"more\.bin was changed while the rest was fetched"):
        arrival.finish()
    arrival.close()
    assert scene.store.holdings() == ()
    assert scene.files()["more.bin"] == b"?" * STEP


@covers("F05")
def test_a_file_that_was_placed_by_an_earlier_attempt_and_edited_in_this_one_is_not_recorded(
    scene: Scene, content: Content
) -> None:
    first = arrive(scene, content)
    place_alone(first, content, "more.bin")
    first.close()
    again = arrive(scene, content)
    deliver_rest(again, content)
    scene.put("more.bin", b"?" * STEP)
    with pytest.raises(ContentChanged, match=r"more\.bin"):
        again.finish()
    again.close()
    assert scene.store.holdings() == ()


def test_a_file_that_is_replaced_at_its_place_by_an_equal_one_is_as_good(scene: Scene, content: Content) -> None:
    arrival = arrive(scene, content)
    whole = [entry.path for entry in content.manifest.files].index("more.bin")
    deliver(arrival, content, range(*content.table.span(whole)))
    arrival.sync()
    scene.put("more.bin", content.files["more.bin"])
    deliver_rest(arrival, content)
    arrival.finish()
    plan = scene.store.read_plan(content.root)
    assert plan is not None
    assert plan.held == content.whole
    assert read(plan.open(whole)) == content.files["more.bin"]


@pytest.mark.covers("F07")
def test_a_second_writer_of_one_place_is_told_so_at_once(scene: Scene, content: Content) -> None:
    first = arrive(scene, content)
    with pytest.raises(Occupied, match="another fetch"):
        arrive(scene, content)
    with pytest.raises(Occupied, match="another fetch"):
        arrive(scene, content_of({"other": b"x"}))
    first.close()
    arrive(scene, content).close()


def no_letter_a(size: int, read: Callable[[int, int], bytes]) -> str | None:
    """A judge that is easily shown what it refuses."""
    return "an A at the end" if read(size - 1, 1) == b"A" else None


JUDGED = {"a/bad": b"x" * 2_500 + b"A", "good": b"y" * 2_500, "nothing": b"", "small": b"A", "z": b"ok"}


@covers("T31")
def test_what_its_judge_refuses_is_kept_and_not_put_in_its_place(scene: Scene) -> None:
    content = content_of(JUDGED, STEP)
    arrival = arrive(scene, content, judge=no_letter_a)
    deliver_rest(arrival, content)
    for tried in (arrival.sync, arrival.sync, arrival.finish):
        with pytest.raises(Unsafe, match=r"a/bad \(an A at the end\); small \(an A at the end\)$"):
            tried()
    assert arrival.have == content.whole
    files = [entry.path for entry in content.manifest.files]
    assert not {"a/bad", "small"} & {files[file] for file in arrival.in_place(range(len(files)))}
    arrival.close()
    assert {path for path, data in scene.files().items() if data} == {"good", "z"}
    assert scene.store.holdings() == ()


@covers("T31")
@pytest.mark.parametrize("told", [True, False])
def test_what_was_refused_is_put_in_its_place_by_an_arrival_that_allows_it(scene: Scene, told: bool) -> None:
    content = content_of(JUDGED, STEP)
    first = arrive(scene, content, judge=no_letter_a)
    deliver_rest(first, content)
    if told:
        with pytest.raises(Unsafe):
            first.finish()
    first.close()
    scene.reopen()
    again = arrive(scene, content, judge=no_letter_a)
    assert again.have == content.whole
    with pytest.raises(Unsafe):
        again.finish()
    again.close()
    allowed = arrive(scene, content)
    assert deliver_rest(allowed, content) == []
    allowed.finish()
    assert scene.files() == content.files


def test_an_unfinished_file_is_not_judged_and_a_whole_one_once(scene: Scene) -> None:
    content = content_of(JUDGED, STEP)
    judged: list[bytes] = []

    def judge(size: int, read: Callable[[int, int], bytes]) -> str | None:
        judged.append(read(0, size))
        return None

    arrival = arrive(scene, content, judge=judge)
    deliver(arrival, content, range(2))
    arrival.sync()
    assert judged == []
    deliver_rest(arrival, content)
    arrival.sync()
    arrival.finish()
    assert sorted(judged) == sorted(filter(None, content.files.values()))


@covers("T31")
def test_equal_files_that_are_there_are_the_users_own_and_not_judged(scene: Scene) -> None:
    content = content_of(JUDGED, STEP)
    scene.put("a/bad", JUDGED["a/bad"])
    arrival = arrive(scene, content, judge=no_letter_a)
    deliver(arrival, content, [chunk for chunk in content.whole - arrival.have if content.chunk(chunk) != b"A"])
    arrival.sync()
    arrival.close()
    scene.put("small", b"A")
    arrival = arrive(scene, content, judge=no_letter_a)
    arrival.finish()
    assert scene.files() == content.files


@covers("T31")
def test_with_force_what_is_refused_replaces_nothing(scene: Scene) -> None:
    content = content_of({"good": b"ok", "small": b"A"}, STEP)
    scene.put("small", b"other")
    arrival = arrive(scene, content, force=True, judge=no_letter_a)
    deliver_rest(arrival, content)
    with pytest.raises(Unsafe):
        arrival.finish()
    arrival.close()
    assert scene.files()["small"] == b"other"


def test_of_many_files_that_are_refused_three_are_named(scene: Scene) -> None:
    content = content_of({f"{number:02}": b"%dA" % number for number in range(20)}, STEP)
    arrival = arrive(scene, content, judge=no_letter_a)
    deliver_rest(arrival, content)
    with pytest.raises(Unsafe) as refused:
        arrival.finish()
    arrival.close()
    assert refused.value.message.count("an A at the end") == 3
    assert refused.value.message.endswith("and 17 more")
    assert refused.value.code == 4
    assert "--allow-unsafe" in (refused.value.hint or "")


def test_what_arrives_can_be_served_before_it_is_whole(scene: Scene, content: Content) -> None:
    arrival = arrive(scene, content)
    deliver(arrival, content, [0, 1])
    plan = arrival.read_plan()
    assert plan.held == RangeSet.of([(0, 2)])
    for chunk in plan.held:
        ref = content.table.chunk(chunk)
        file = plan.open(ref.file)
        assert os.pread(file.descriptor, ref.length, ref.offset) == content.chunk(chunk)
        assert file.unchanged()
        file.close()
    arrival.close()


def test_a_closed_arrival_takes_nothing_more(scene: Scene, content: Content) -> None:
    arrival = arrive(scene, content)
    arrival.close()
    arrival.close()
    for call in (arrival.sync, lambda: arrival.verified(content.whole), lambda: arrival.plan.open(0)):
        with pytest.raises(DiskError):
            call()


def test_an_arrival_of_nothing_leaves_nothing(scene: Scene, content: Content) -> None:
    arrive(scene, content).close()
    assert scene.files() == {}


def test_a_folder_that_holds_all_of_it_needs_nothing(scene: Scene, content: Content) -> None:
    put_all(scene, content)
    arrival = arrive(scene, content)
    assert arrival.have == content.whole
    arrival.finish()
    assert scene.files() == content.files
    assert scene.store.holdings()[0].complete


def test_a_manifest_of_empty_files_alone_arrives(scene: Scene) -> None:
    content = content_of({"a/empty": b"", "b": b""})
    arrival = arrive(scene, content)
    assert arrival.have == content.whole == RangeSet()
    arrival.finish()
    assert scene.files() == content.files


@covers("T21")
@pytest.mark.parametrize("path", ["../outside", "/outside", "a/../../outside", ".p2phub/journal", "a//b", "a\0b"])
def test_a_path_that_leaves_its_folder_is_refused_here_too(scene: Scene, path: str) -> None:
    content = content_of({"a": b"x"})
    entry = content.manifest.files[0]
    wrong = FileEntry(path, entry.size, entry.chunks, entry.root, entry.sha256)
    with pytest.raises(Malformed):
        scene.store.arrive(Manifest((wrong,)), content.root, content.table, scene.folder, force=True)
    assert scene.files() == {}


# --- a part of a manifest --------------------------------------------------------------------------------------------

PATHS = sorted(FILES, key=str.encode)
MODEL, MORE, CONFIG, EMPTY = (PATHS.index(path) for path in ("model.bin", "more.bin", "config.json", "empty.txt"))
MADE_AT = "model.selected.bin"


def some(content: Content, *, files: Sequence[int] = (CONFIG, EMPTY)) -> tuple[Selected, Made]:
    """Select whole `files`, and of model.bin its second chunk and its fourth, of which a file is made."""
    first, _ = content.table.span(MODEL)
    inside = [(first + 1, first + 2), (first + 3, first + 4)]
    made = Made(MADE_AT, (b"head", Part(MODEL, STEP + 10, 2 * STEP), Part(MODEL, 3 * STEP, 3 * STEP + 500)))
    length = 4 + STEP - 10 + 500
    spans = [content.table.span(file) for file in files]
    selected = Selected(
        RangeSet.of([*inside, *spans]), RangeSet.from_indices(files), (ToMake(MADE_AT, length - 4, length),)
    )
    return selected, made


def made_of(content: Content) -> bytes:
    data = content.files["model.bin"]
    return b"head" + data[STEP + 10 : 2 * STEP] + data[3 * STEP : 3 * STEP + 500]


def deliver_selected(arrival: Arrival, content: Content, selected: Selected) -> None:
    deliver(arrival, content, selected.chunks - arrival.have)


def held_of(scene: Scene, content: Content) -> RangeSet:
    plan = scene.store.read_plan(content.root)
    assert plan is not None
    return plan.held


def test_a_selection_needs_its_own_chunks_alone_and_leaves_its_files_and_what_is_made(
    scene: Scene, content: Content
) -> None:
    selected, made = some(content)
    arrival = arrive(scene, content, selected=selected)
    assert arrival.have == RangeSet()
    deliver_selected(arrival, content, selected)
    arrival.sync()
    assert arrival.finish([made]) == scene.folder
    assert scene.files() == {
        "config.json": content.files["config.json"],
        "empty.txt": b"",
        MADE_AT: made_of(content),
    }
    assert held_of(scene, content) == RangeSet.of([content.table.span(CONFIG)])
    (holding,) = scene.store.holdings()
    assert not holding.complete
    scene.reopen()
    assert held_of(scene, content) == RangeSet.of([content.table.span(CONFIG)])
    assert arrive(scene, content).have == RangeSet.of([content.table.span(CONFIG)])


def test_what_a_selection_left_out_is_not_told_of_as_missing_and_what_changed_of_it_is(
    scene: Scene, content: Content
) -> None:
    selected, made = some(content)
    arrival = arrive(scene, content, selected=selected)
    deliver_selected(arrival, content, selected)
    arrival.finish([made])
    assert scene.store.check() == ()
    [holding] = scene.store.holdings()
    assert (holding.files_here, holding.files_damaged) == (len(selected.files), 0)
    placed = sum(content.manifest.files[number].size for number in selected.files)
    assert holding.bytes_selected == placed + len(scene.files()[MADE_AT])
    scene.reopen()
    assert scene.store.holdings() == (holding,)
    scene.store.mark_damaged(content.root, scene.folder, CONFIG)
    scene.put("config.json", b"another")
    [holding] = scene.store.holdings()
    assert (holding.files_here, holding.files_damaged) == (len(selected.files) - 1, 1)
    [said] = scene.store.check()
    assert "1 files are not what was hashed" in said
    assert content.root.text(Codec.MSGPACK) in said


def test_gaps_in_what_is_made_are_zeros_also_at_its_end(scene: Scene, content: Content) -> None:
    selected, made = some(content)
    head, *rest = made.parts
    made = Made(MADE_AT, (head, Gap(5000), *rest, Gap(9)))
    selected = replace(selected, made=(ToMake(MADE_AT, 0, 1 << 20),))
    arrival = arrive(scene, content, selected=selected)
    deliver_selected(arrival, content, selected)
    arrival.finish([made])
    whole = made_of(content)
    assert scene.files()[MADE_AT] == whole[:4] + bytes(5000) + whole[4:] + bytes(9)


@covers("T21")
@pytest.mark.parametrize("path", ["Config.JSON", "config.json/x", "Empty.txt"])
def test_what_is_made_must_not_be_one_with_a_file_that_goes_to_its_place_on_any_file_system(
    scene: Scene, content: Content, path: str
) -> None:
    selected, _ = some(content)
    wrong = replace(selected, made=(ToMake(path, 0, 10),))
    with pytest.raises(Malformed):
        arrive(scene, content, selected=wrong, force=True)
    assert scene.files() == {}


def test_a_selection_is_not_finished_before_all_of_it_is_there(scene: Scene, content: Content) -> None:
    selected, made = some(content)
    arrival = arrive(scene, content, selected=selected)
    deliver(arrival, content, list(selected.chunks)[1:])
    with pytest.raises(AssertionError):
        arrival.finish([made])
    arrival.close()


def test_a_file_of_which_only_a_part_was_selected_does_not_go_to_its_place_though_it_is_whole(
    scene: Scene, content: Content
) -> None:
    selected, made = some(content)
    arrival = arrive(scene, content, selected=selected)
    deliver_rest(arrival, content)
    arrival.sync()
    assert arrival.in_place([MODEL, MORE]) == []
    arrival.finish([made])
    assert sorted(scene.files()) == ["config.json", "empty.txt", MADE_AT]


def test_the_next_attempt_at_a_selection_has_what_this_one_verified(scene: Scene, content: Content) -> None:
    selected, made = some(content)
    arrival = arrive(scene, content, selected=selected)
    deliver(arrival, content, list(selected.chunks)[:2])
    arrival.close()
    scene.reopen()
    again = arrive(scene, content, selected=selected)
    assert again.have == RangeSet.from_indices(list(selected.chunks)[:2])
    deliver_selected(again, content, selected)
    again.finish([made])
    assert scene.files()[MADE_AT] == made_of(content)


def test_a_selection_does_not_lose_what_an_attempt_at_all_left(scene: Scene, content: Content) -> None:
    arrival = arrive(scene, content)
    early = [chunk for chunk in content.whole if chunk not in content.table.span(CONFIG)][:4]
    deliver(arrival, content, [*early, *range(*content.table.span(MODEL))[:2]])
    have = arrival.have
    arrival.close()
    selected, made = some(content)
    part = arrive(scene, content, selected=selected)
    deliver_selected(part, content, selected)
    part.finish([made])
    assert have - arrive(scene, content).have == RangeSet()


def test_a_selection_within_what_is_held_already_takes_nothing_away_from_it(scene: Scene, content: Content) -> None:
    hold(scene, content)
    selected, made = some(content)
    arrival = arrive(scene, content, selected=selected)
    assert not selected.chunks - arrival.have
    arrival.finish([made])
    assert scene.files() == {**content.files, MADE_AT: made_of(content)}
    assert held_of(scene, content) == content.whole
    assert scene.store.holdings()[0].complete


@covers("T31")
def test_of_a_selection_what_goes_to_its_place_is_judged_and_nothing_else(scene: Scene) -> None:
    content = content_of({**FILES, "config.json": b"A", "model.bin": FILES["model.bin"][:-1] + b"A"}, STEP)
    selected, made = some(content)
    arrival = arrive(scene, content, selected=selected, judge=no_letter_a)
    deliver_rest(arrival, content)  # model.bin is whole, and of it only a part goes anywhere.
    for tried in (arrival.sync, lambda: arrival.finish([made])):
        with pytest.raises(Unsafe, match=r"code: config.json \(an A at the end\)$"):
            tried()
    arrival.close()
    assert scene.files() == {}
    assert scene.store.holdings() == ()
    without, made = some(content, files=[EMPTY])
    again = arrive(scene, content, selected=without, judge=no_letter_a)
    again.finish([made])
    assert scene.files() == {"empty.txt": b"", MADE_AT: made_of(content)}


def test_two_selections_add_up(scene: Scene, content: Content) -> None:
    for file in (MORE, CONFIG):
        chosen = Selected(RangeSet.of([content.table.span(file)]), RangeSet.from_indices([file]))
        arrival = arrive(scene, content, selected=chosen)
        deliver_selected(arrival, content, chosen)
        arrival.finish()
    assert held_of(scene, content) == RangeSet.of(content.table.span(file) for file in (MORE, CONFIG))


def test_what_stands_where_nothing_goes_is_in_nobodys_way(scene: Scene, content: Content) -> None:
    scene.put("model.bin", b"the user's own")
    scene.put("more.bin/inner", b"a folder")
    selected, made = some(content)
    arrival = arrive(scene, content, selected=selected)
    deliver_selected(arrival, content, selected)
    arrival.finish([made])
    assert scene.files()["model.bin"] == b"the user's own"
    assert scene.files()[MADE_AT] == made_of(content)


@pytest.mark.parametrize("path", [MADE_AT, MADE_AT + "/inner"])
def test_what_stands_where_something_is_to_be_made_is_not_replaced(scene: Scene, content: Content, path: str) -> None:
    scene.put(path, b"mine")
    selected, made = some(content)
    with pytest.raises(Occupied, match=MADE_AT):
        arrive(scene, content, selected=selected)
    if path != MADE_AT:
        with pytest.raises(Occupied, match=MADE_AT):
            arrive(scene, content, selected=selected, force=True)
        return
    arrival = arrive(scene, content, selected=selected, force=True)
    deliver_selected(arrival, content, selected)
    arrival.finish([made])
    assert scene.files()[MADE_AT] == made_of(content)


@pytest.mark.parametrize("equal", [True, False])
def test_of_what_appears_where_something_is_made_an_equal_file_is_kept_and_another_refused(
    scene: Scene, content: Content, equal: bool
) -> None:
    selected, made = some(content)
    arrival = arrive(scene, content, selected=selected)
    deliver_selected(arrival, content, selected)
    there = made_of(content) if equal else made_of(content)[::-1]
    scene.put(MADE_AT, there)
    if equal:
        arrival.finish([made])
    else:
        with pytest.raises(Occupied, match=MADE_AT):
            arrival.finish([made])
        arrival.close()
        scene.remove(MADE_AT)
        again = arrive(scene, content, selected=selected)
        assert not selected.chunks - again.have
        again.finish([made])
        there = made_of(content)
    assert scene.files()[MADE_AT] == there


@covers("T21")
@pytest.mark.parametrize("path", ["../outside", "/outside", "a/../../outside", ".p2phub/journal"])
def test_what_is_made_does_not_leave_the_folder(scene: Scene, content: Content, path: str) -> None:
    selected, _ = some(content)
    with pytest.raises(Malformed):
        arrive(scene, content, selected=replace(selected, made=(ToMake(path, 1, 1),)))
    assert scene.files() == {}


# --- a disk that fails -----------------------------------------------------------------------------------------------


def calls_of(scene: Scene, content: Content, opened: contextlib.ExitStack) -> dict[str, Callable[[], object]]:
    """Return a call of each method of a store whose folder holds `content`."""
    store, root, folder = scene.store, content.root, scene.folder
    found, other, keep = hashed(scene, content), folder.with_name("another"), Keep()
    place, plain = folder / content.manifest.files[0].path, next(iter(found))
    file = store.open_in_place(folder, content.manifest.files[0].path)
    opened.callback(file.close)
    spare = Spare(root, store.own_folder(root), 1)
    return {
        "get_ready": store.get_ready,
        "put_blobs": lambda: store.put_blobs([b"new", *content.blobs.values()]),
        "blob": lambda: store.blob(root),
        "scan": lambda: store.scan(folder, take_all),
        "open_in_place": lambda: store.open_in_place(folder, content.manifest.files[0].path),
        "open_place": lambda: store.open_place(place),
        "fingerprint_of": lambda: store.fingerprint_of(file),
        "shows_writes": lambda: store.shows_writes(file),
        "remembered": lambda: store.remembered(folder),
        "hold": lambda: store.hold(content.manifest, root, folder, found),
        "open_draft": store.open_draft,
        "whole": lambda: store.whole(root),
        "holdings": store.holdings,
        "held_at": store.held_at,
        "recorded": lambda: store.recorded(root, folder),
        "read_only": lambda: store.read_only(root, folder),
        "read_plan": lambda: store.read_plan(root),
        "open_held": lambda: store.open_held(root, folder, 0),
        "parts": lambda: store.parts(root),
        "manifests_with": lambda: store.manifests_with(root),
        "local": lambda: store.local(content.table, content.whole),
        "note_hashed": lambda: store.note_hashed({place: plain}),
        "hashed_at": lambda: store.hashed_at([place]),
        "note_parts": lambda: store.note_parts({}),
        "part_hashed": lambda: store.part_hashed(place),
        "look_again": lambda: store.look_again(root, 0),
        "in_doubt": lambda: store.in_doubt(root, folder),
        "away": store.away,
        "mark_changed": lambda: store.mark_changed(root, 0),
        "mark_damaged": lambda: store.mark_damaged(root, folder, 0),
        "mark_right": lambda: store.mark_right(root, folder, 0, plain.fingerprint, trusted=True),
        "arrive": lambda: store.arrive(content.manifest, root, content.table, other, force=False),
        "check": store.check,
        "own_folder": lambda: store.own_folder(root),
        "own_bytes": store.own_bytes,
        "own_unfinished": store.own_unfinished,
        "note_others": lambda: store.note_others(root, 1),
        "in_use": lambda: opened.enter_context(store.in_use(root)),
        "collectable": lambda: store.collectable(keep),
        "collect": lambda: store.collect(spare, keep),
        "sweep": lambda: store.sweep(keep, lambda: False),
        "unfinished_bytes": lambda: store.unfinished_bytes(root, other),
        "discard_unfinished": lambda: store.discard_unfinished(root, other),
        "end_earlier": lambda: store.end_earlier(folder, keep),
        "discard_opened": lambda: store.discard_opened(folder.with_name("opened")),
        "usage": store.usage,
        "upstream_bytes": store.upstream_bytes,
        "release": lambda: store.release(root),
    }


@covers("F03")
@pytest.mark.parametrize("error", [errno.EIO, errno.EMFILE])
def test_whatever_the_disk_fails_at_is_told_as_a_fault_of_the_disk(scene: Scene, content: Content, error: int) -> None:
    """Each in a process that has read nothing yet, and then once it has."""
    hold(scene, content)
    scene.store.note_hashed({scene.folder / "elsewhere": hashed(scene, content)[0]})
    with contextlib.ExitStack() as opened:
        calls = calls_of(scene, content, opened)
    asked = 0
    for name in calls:
        scene.reopen()
        scene.store.get_ready()
        for _ in range(2):
            with contextlib.ExitStack() as opened:
                call = calls_of(scene, content, opened)[name]
                with scene.failing(error) as failed, contextlib.suppress(DiskError):
                    if callable(close := getattr(call(), "close", None)):
                        opened.callback(close)
            asked += len(failed)
            scene.store.read_plan(content.root)
    assert asked > len(calls) or not isinstance(scene, DiskScene)
    public = {name for kind in (Store, Keeper) for name in vars(kind) if not name.startswith("_")}
    assert calls.keys() == public - {"close"}
