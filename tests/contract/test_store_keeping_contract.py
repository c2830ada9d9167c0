"""What every store promises about what it keeps and collects, run on the real disk and in memory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2phub import limits
from p2phub.content import RangeSet, digest_of
from p2phub.errors import Occupied
from p2phub.manifest import alone_digest
from p2phub.store import Keep, Origin, Provenance, Selected, Spare, Store, in_order
from p2phub.store.blobs import YOUNG_S
from p2phub.store.filesystem import FilesystemStore
from tests.support.content import Content, content_of, random_files
from tests.support.covers import covers
from tests.support.stores import DiskScene, MemoryScene, Scene, arrive, deliver, deliver_rest, hashed, hold, put_all

STEP = 1000
ONE = content_of({**random_files(1, model=5_500), "config.json": b"{}"}, STEP)
TWO = content_of({**random_files(2, other=3_000), "model.bin": random_files(1, model=5_500)["model.bin"]}, STEP)
THREE = content_of(random_files(3, third=2_500), STEP)


@pytest.fixture(params=["disk", "memory"])
def scene(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(limits, "ALONE_BYTES_MIN", 5_000)
    made: Scene = DiskScene(tmp_path) if request.param == "disk" else MemoryScene()
    yield made
    made.store.close()


def own(scene: Scene, content: Content) -> Spare:
    """Fetch `content` into the home's own store."""
    user, scene.folder = scene.folder, scene.store.own_folder(content.root)
    arrival = arrive(scene, content)
    deliver_rest(arrival, content)
    arrival.finish()
    spare = Spare(content.root, scene.folder, content.manifest.bytes_total)
    scene.folder = user
    return spare


def chunks_of(content: Content, path: str) -> RangeSet:
    number = content.manifest.number_of(path)
    assert number is not None
    return RangeSet.of([content.table.span(number)])


def age_blobs(scene: Scene) -> None:
    """Let all blobs be as old as if nobody had put any for a day."""
    if isinstance(scene, DiskScene):
        for path in (scene.home / "blobs").iterdir():
            os.utime(path, times=(time.time() - 25 * YOUNG_S,) * 2)


def sweep(scene: Scene, keep: Keep | None = None) -> None:
    age_blobs(scene)
    scene.store.sweep(keep or Keep(), lambda: False)


def read(store: Store, content: Content) -> bool:
    """Whether all that is held of `content` can be read, and is right."""
    plan = store.read_plan(content.root)
    if plan is None or plan.held != content.whole:
        return False
    for ref in content.table.chunks(0, len(content.table)):
        file = plan.open(ref.file)
        right = os.pread(file.descriptor, ref.length, ref.offset) == content.chunk(ref.index)
        file.close()
        if not right:
            return False
    return True


def test_what_is_fetched_into_the_own_store_is_the_homes_own_and_elsewhere_the_users(scene: Scene) -> None:
    own(scene, ONE)
    scene.folder = scene.folder.parent / "user"
    arrival = arrive(scene, ONE)
    deliver_rest(arrival, ONE)
    arrival.finish()
    origins = {held.folder: held.origin for held in scene.store.holdings(ONE.root)}
    assert origins == {scene.store.own_folder(ONE.root): Origin.OWN, scene.folder: Origin.FETCHED}
    assert scene.store.own_bytes() == ONE.manifest.bytes_total
    assert scene.store.holdings(TWO.root) == ()


@covers("F33")
def test_only_what_is_in_the_own_store_and_neither_pinned_nor_busy_may_go(scene: Scene) -> None:
    hold(scene, THREE)
    for content in (ONE, TWO):
        own(scene, content)
    found = scene.store.collectable(Keep())
    assert {each.manifest for each in found.spare} == {ONE.root, TWO.root}
    assert [each.bytes for each in found.spare if each.manifest == ONE.root] == [ONE.manifest.bytes_total]
    assert [each.manifest for each in scene.store.collectable(Keep(pinned=frozenset({ONE.root}))).spare] == [TWO.root]
    assert [each.manifest for each in scene.store.collectable(Keep(busy=frozenset({TWO.root}))).spare] == [ONE.root]


def test_what_was_not_used_for_longest_goes_first_and_what_few_hold_last() -> None:
    folder = Path("/own")
    old_rare, old, new = (Spare(digest_of(name), folder, 1, at, others) for name, at, others in (
        (b"a", 1, 2), (b"b", 2, 3), (b"c", 3, 30),
    ))  # fmt: skip
    unknown = Spare(digest_of(b"d"), folder, 1, 0)
    assert in_order([new, old_rare, unknown, old]) == (old, new, unknown, old_rare)


def test_use_and_rarity_are_noted(scene: Scene) -> None:
    before = int(time.time())
    own(scene, ONE)
    scene.store.note_others(ONE.root, 7)
    (spare,) = scene.store.collectable(Keep()).spare
    assert spare.others == 7
    assert spare.used_at >= before
    assert not spare.is_rare


@covers("F33")
def test_what_is_collected_is_gone_and_all_else_can_be_read(scene: Scene) -> None:
    hold(scene, THREE)
    gone, stays = own(scene, ONE), own(scene, TWO)
    open_file = scene.store.open_held(ONE.root, gone.folder, 1)
    assert scene.store.collect(gone, Keep()) == ONE.manifest.bytes_total
    sweep(scene)
    assert os.pread(open_file.descriptor, 10_000, 0) == ONE.files[ONE.path_of(1)]  # Whoever reads reads on.
    open_file.close()
    scene.reopen()
    assert scene.store.read_plan(ONE.root) is None
    assert {held.manifest for held in scene.store.holdings()} == {TWO.root, THREE.root}
    assert read(scene.store, TWO)
    assert read(scene.store, THREE)
    assert scene.store.collect(gone, Keep()) is None
    assert [each.manifest for each in scene.store.collectable(Keep()).spare] == [stays.manifest]
    assert not scene.store.local(ONE.table, ONE.whole - chunks_of(ONE, "model.bin"))


@covers("F33")
def test_what_is_pinned_busy_written_to_or_not_our_own_is_not_collected(scene: Scene) -> None:
    hold(scene, THREE)
    mine = own(scene, ONE)
    assert scene.store.collect(mine, Keep(pinned=frozenset({ONE.root}))) is None
    assert scene.store.collect(mine, Keep(busy=frozenset({ONE.root}))) is None
    assert scene.store.collect(Spare(THREE.root, scene.folder, 1), Keep()) is None
    user, scene.folder = scene.folder, mine.folder
    arrival = arrive(scene, ONE)  # Mended, say.
    assert scene.store.collect(mine, Keep()) is None
    arrival.close()
    scene.folder = user
    assert read(scene.store, ONE)
    assert read(scene.store, THREE)
    assert scene.files() == THREE.files
    assert scene.store.collect(mine, Keep()) is not None


def test_what_is_in_use_is_not_collected_until_the_last_has_done_with_it(scene: Scene) -> None:
    mine = own(scene, ONE)
    with scene.store.in_use(ONE.root):
        with scene.store.in_use(ONE.root):
            assert scene.store.collect(mine, Keep()) is None
        assert scene.store.collect(mine, Keep()) is None
        user, scene.folder = scene.folder, mine.folder
        with pytest.raises(Occupied):
            arrive(scene, ONE)
        scene.folder = user
    assert read(scene.store, ONE)
    if isinstance(scene, DiskScene):
        assert not (mine.folder / ".p2phub").exists()
    assert scene.store.collect(mine, Keep()) is not None
    with scene.store.in_use(ONE.root):
        pass  # Nothing is there to be kept.


def test_blobs_stay_as_long_as_anything_needs_them(scene: Scene) -> None:
    gone = own(scene, ONE)
    own(scene, TWO)
    part = alone_digest(next(entry for entry in ONE.manifest.files if entry.path == "model.bin"))
    scene.store.put_blobs([b"nobody's"])
    age_blobs(scene)
    assert scene.store.collectable(Keep(pinned=frozenset({ONE.root, TWO.root}))).blobs == 1
    sweep(scene)
    assert scene.store.blob(digest_of(b"nobody's")) is None
    assert all(scene.store.blob(blob) is not None for blob in (*ONE.blobs, *TWO.blobs, part))
    scene.store.collect(gone, Keep())
    sweep(scene, Keep(busy=frozenset({ONE.root})))
    sweep(scene, Keep(described=lambda held: {ONE.root} if TWO.root in held else set()))
    assert all(scene.store.blob(blob) is not None for blob in (*ONE.blobs, *TWO.blobs))
    sweep(scene)
    assert [blob for blob in ONE.blobs if scene.store.blob(blob) is not None] == [
        blob for blob in ONE.blobs if blob in TWO.blobs
    ]
    assert all(scene.store.blob(blob) is not None for blob in (*TWO.blobs, part))  # TWO has that file, too.


def test_blobs_of_what_was_hashed_and_is_not_held_yet_stay(scene: Scene) -> None:
    put_all(scene, ONE)
    files = {scene.folder / file.entry.path: file for file in hashed(scene, ONE)}
    scene.store.note_hashed(files)
    sweep(scene)
    assert all(found.chunks == files[place].chunks for place, found in scene.store.hashed_at(files).items())
    assert len(scene.store.hashed_at(files)) == len(files)


def test_what_is_given_up_of_a_fetch_leaves_the_users_files(scene: Scene) -> None:
    scene.put("mine.txt", b"mine")
    arrival = arrive(scene, ONE)
    arrival.write(0, ONE.chunk(0))
    assert scene.store.discard_unfinished(ONE.root, scene.folder) is None
    arrival.verified(RangeSet.of([(0, 1)]))
    arrival.sync()
    arrival.close()
    assert scene.store.unfinished_bytes(ONE.root, scene.folder) > 0 or "config.json" in scene.files()
    scene.store.discard_unfinished(ONE.root, scene.folder)
    assert scene.store.unfinished_bytes(ONE.root, scene.folder) == 0
    assert scene.files()["mine.txt"] == b"mine"


def test_what_fetches_into_the_own_store_left_is_told_and_no_others(scene: Scene) -> None:
    left = arrive(scene, TWO)  # Into a folder of the user's.
    deliver(left, TWO, RangeSet.of([(0, 2)]))
    left.close()
    user, scene.folder = scene.folder, scene.store.own_folder(ONE.root)
    arrival = arrive(scene, ONE)
    deliver(arrival, ONE, RangeSet.of([(0, 4)]))
    arrival.close()
    assert [manifest for manifest, count in scene.store.own_unfinished().items() if count > 0] == [ONE.root]
    arrival = arrive(scene, ONE)
    deliver_rest(arrival, ONE)
    arrival.finish()
    scene.folder = user
    assert scene.store.own_unfinished() == {}


def test_what_is_held_twice_is_told_by_file_and_by_content(scene: Scene) -> None:
    own(scene, ONE)
    own(scene, TWO)
    own(scene, THREE)
    usage = scene.store.usage()
    by = {each.holding.manifest: each for each in usage.holdings}
    shared = len(ONE.files["model.bin"])
    assert by[ONE.root].bytes == sum(map(len, ONE.files.values()))
    assert (by[ONE.root].bytes_same_content, by[TWO.root].bytes_same_content) == (shared, shared)
    assert by[THREE.root].bytes_once == by[THREE.root].bytes == 2_500
    assert usage.bytes == sum(each.bytes for each in usage.holdings)
    assert usage.bytes_content == usage.bytes - shared
    assert usage.bytes_files == usage.bytes
    assert (usage.blobs, usage.leftover_bytes) == (len({*ONE.blobs, *TWO.blobs, *THREE.blobs}) + 1, 0)


def test_what_was_made_of_selected_parts_counts_though_no_manifest_has_it(scene: Scene) -> None:
    weights = random_files(4, model=2_000)["model.bin"]
    content = content_of({"sub/model-00001-of-00002.safetensors": weights, "t.selected.parquet": b"t" * 300}, STEP)
    own(scene, content)
    scene.folder = scene.store.own_folder(content.root)
    scene.put("sub/model.selected.safetensors", b"s" * 700)
    scene.put("sub/notes.txt", b"n" * 50)
    usage = scene.store.usage()
    (used,) = usage.holdings
    assert (used.bytes, used.bytes_selected, used.bytes_same_content) == (3_000, 700, 0)
    assert (usage.bytes, usage.bytes_files, usage.bytes_content) == (3_000, 3_000, 3_000)


def test_files_that_two_holdings_have_in_one_folder_are_there_once(scene: Scene) -> None:
    put_all(scene, ONE)
    less = content_of({"model.bin": ONE.files["model.bin"]}, STEP)
    for content in (ONE, less):
        scene.store.put_blobs(list(content.blobs.values()))
        scene.store.hold(content.manifest, content.root, scene.folder, hashed(scene, content))
    usage = scene.store.usage()
    shared = len(ONE.files["model.bin"])
    assert [each.bytes_same_file for each in usage.holdings] == [shared, shared]
    assert usage.bytes_files == usage.bytes - shared == usage.bytes_content


def test_a_file_that_was_read_and_is_wrong_is_not_held_whatever_its_fingerprint_says(scene: Scene) -> None:
    hold(scene, ONE)
    number = ONE.manifest.number_of("model.bin")
    assert number is not None
    scene.store.mark_damaged(ONE.root, scene.folder, number)
    plan = scene.store.read_plan(ONE.root)
    assert plan is not None
    assert not plan.held & chunks_of(ONE, "model.bin")
    assert "model.bin" not in scene.store.remembered(scene.folder)


# --- whose files they are ---------------------------------------------------------------------------------------------


def fetch_some(scene: Scene, content: Content, *paths: str) -> None:
    numbers = RangeSet.from_indices(content.manifest.number_of(path) or 0 for path in paths)
    selected = Selected(RangeSet.of(content.table.span(number) for number in numbers), numbers)
    arrival = arrive(scene, content, selected=selected)
    deliver(arrival, content, selected.chunks - arrival.have)
    arrival.finish()


def paths_of(content: Content, numbers: RangeSet) -> set[str]:
    return {content.manifest.files[number].path for number in numbers}


def recorded(scene: Scene, content: Content) -> set[str]:
    return paths_of(content, scene.store.recorded(content.root, scene.folder))


def read_only(scene: Scene, content: Content, folder: Path | None = None) -> set[str]:
    return paths_of(content, scene.store.read_only(content.root, folder or scene.folder))


def test_of_a_selection_what_was_left_out_is_not_recorded_whatever_stands_there(scene: Scene) -> None:
    assert recorded(scene, ONE) == set()
    scene.put("model.bin", b"the user's own")
    fetch_some(scene, ONE, "config.json")
    assert recorded(scene, ONE) == {"config.json"}
    assert scene.files()["model.bin"] == b"the user's own"
    (holding,) = scene.store.holdings()
    assert holding.bytes_selected == len(scene.files()["config.json"])


def test_what_is_in_doubt_is_recorded_and_stays_so_when_more_is_fetched(scene: Scene) -> None:
    fetch_some(scene, ONE, "config.json")
    scene.store.mark_damaged(ONE.root, scene.folder, ONE.manifest.number_of("config.json") or 0)
    assert recorded(scene, ONE) == {"config.json"}
    fetch_some(scene, ONE, "model.bin")
    assert recorded(scene, ONE) == {"config.json", "model.bin"}
    (holding,) = scene.store.holdings()
    assert holding.held == chunks_of(ONE, "model.bin")


@pytest.mark.parametrize("fetched", [True, False], ids=["fetched", "published"])
def test_of_what_is_held_whole_all_is_recorded_also_when_the_index_is_gone(scene: Scene, fetched: bool) -> None:
    if fetched:
        deliver_all(scene, ONE)
        fetch_some(scene, ONE, "config.json")  # A part of what is whole takes nothing away from it.
    else:
        hold(scene, ONE)
    assert recorded(scene, ONE) == set(ONE.files)
    lose_index(scene)
    assert recorded(scene, ONE) == set(ONE.files)


def test_when_the_index_is_gone_nobody_knows_what_of_a_selection_was_left_out(scene: Scene) -> None:
    """Then what is right is found again, and of the rest nothing is said to be ours."""
    fetch_some(scene, ONE, "config.json")
    scene.put("model.bin", b"the user's own")
    lose_index(scene)
    scene.store.check()
    assert recorded(scene, ONE) == {"config.json"}


@pytest.mark.parametrize("origin", [Origin.PUBLISHED, Origin.ADOPTED])
@pytest.mark.parametrize("whole", [True, False])
def test_what_is_published_or_adopted_stays_so_when_it_is_fetched_to_where_it_stands(
    scene: Scene, origin: Origin, whole: bool
) -> None:
    put_all(scene, ONE)
    scene.store.put_blobs(list(ONE.blobs.values()))
    source = Provenance("hf", "acme/one", "0" * 40) if origin is Origin.ADOPTED else None
    files = hashed(scene, ONE)
    scene.store.hold(ONE.manifest, ONE.root, scene.folder, files, origin=origin, source=source)
    if whole:
        deliver_all(scene, ONE)
    else:
        fetch_some(scene, ONE, "config.json")
    (holding,) = scene.store.holdings()
    assert (holding.origin, holding.source, holding.complete) == (origin, source, True)
    assert read_only(scene, ONE) == set(ONE.files)


def test_files_that_stood_there_as_part_of_something_else_stay_read_only(scene: Scene) -> None:
    content = content_of({**TWO.files, "new.txt": b"new"}, STEP)
    hold(scene, TWO)
    deliver_all(scene, content)
    assert {each.manifest: each.origin for each in scene.store.holdings()} == {
        TWO.root: Origin.PUBLISHED,
        content.root: Origin.FETCHED,
    }
    assert read_only(scene, content) == set(TWO.files)
    scene.store.release(TWO.root)
    assert read_only(scene, content) == set()


def test_a_file_is_read_only_by_where_it_stands_whatever_folder_was_published(scene: Scene) -> None:
    inner = content_of({"a.bin": b"a" * 10, "b.bin": b"b" * 10}, STEP)
    outer = content_of({"sub/a.bin": b"a" * 10, "c.bin": b"c" * 10}, STEP)
    hold(scene, outer)
    top, scene.folder = scene.folder, scene.folder / "sub"
    deliver_all(scene, inner)
    assert read_only(scene, inner) == {"a.bin"}
    scene.store.release(outer.root)
    scene.store.release(inner.root)
    hold(scene, inner)
    scene.folder = top
    deliver_all(scene, outer)
    assert read_only(scene, outer) == {"sub/a.bin"}


def deliver_all(scene: Scene, content: Content) -> None:
    arrival = arrive(scene, content)
    deliver_rest(arrival, content)
    arrival.finish()


def lose_index(scene: Scene) -> None:
    """In memory there is none to lose."""
    if isinstance(scene, DiskScene):
        scene.store.close()
        for path in scene.home.glob("index.sqlite*"):
            path.unlink()
        scene.store = FilesystemStore(scene.home)
