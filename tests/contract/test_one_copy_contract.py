"""What every store promises about files that stand elsewhere, files alone, and chunks that are here already."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from p2phub import limits
from p2phub.content import RangeSet
from p2phub.errors import ContentChanged, Unsafe
from p2phub.manifest import alone_digest, manifest_alone
from p2phub.store import Fingerprint, HashedFile, LocalRun, LookedAgain, Origin, PartHashed, Provenance
from p2phub.store.disk import Disk
from tests.support.content import Content, content_of, random_files
from tests.support.covers import covers
from tests.support.stores import DiskScene, MemoryScene, Scene, arrive, deliver_rest, hashed, hold, put_all

STEP = 1000
FILES = {**random_files(1, model=5_500, more=STEP), "config.json": b"{}", "empty.txt": b""}
CONTENT = content_of(FILES, STEP)
MODEL = next(number for number, entry in enumerate(CONTENT.manifest.files) if entry.path == "model.bin")
OTHER = content_of({"shards/one.bin": b"head" * 250 + FILES["model.bin"][2_000:4_000], "new": b"?" * 10}, STEP)


@pytest.fixture(params=["disk", "memory"])
def scene(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(limits, "ALONE_BYTES_MIN", 5_000)
    made: Scene = DiskScene(tmp_path) if request.param == "disk" else MemoryScene()
    yield made
    made.store.close()


def adopt(scene: Scene, content: Content) -> None:
    """Hold `content` under paths that its files do not have where they stand."""
    put_all(scene, content)
    scene.store.put_blobs(list(content.blobs.values()))
    files = [replace(file, place=scene.folder / file.entry.path) for file in hashed(scene, content)]
    snapshot = scene.folder.parent / "snapshot"
    source = Provenance("hf", "org/name", "0" * 40)
    scene.store.hold(content.manifest, content.root, snapshot, files, origin=Origin.ADOPTED, source=source)


def test_files_of_one_manifest_may_stand_anywhere(scene: Scene) -> None:
    adopt(scene, CONTENT)
    scene.reopen()
    (held,) = scene.store.holdings()
    assert held.complete
    assert (held.origin, held.source) == (Origin.ADOPTED, Provenance("hf", "org/name", "0" * 40))
    plan = scene.store.read_plan(CONTENT.root)
    assert plan is not None
    file = plan.open(MODEL)
    assert os.pread(file.descriptor, 10_000, 0) == FILES["model.bin"]
    file.close()
    file = scene.store.open_held(CONTENT.root, held.folder, MODEL)
    assert os.pread(file.descriptor, 10_000, 0) == FILES["model.bin"]
    file.close()


def test_a_file_that_changed_elsewhere_is_not_served(scene: Scene) -> None:
    adopt(scene, CONTENT)
    scene.put("model.bin", FILES["model.bin"][::-1])
    plan = scene.store.read_plan(CONTENT.root)
    assert plan is not None
    with pytest.raises(ContentChanged):
        plan.open(MODEL)
    scene.store.mark_changed(CONTENT.root, MODEL)
    plan = scene.store.read_plan(CONTENT.root)
    assert plan is not None
    assert not plan.held & RangeSet.of([CONTENT.table.span(MODEL)])
    scene.put("model.bin", FILES["model.bin"])
    scene.store.check()
    assert scene.store.holdings()[0].complete


def test_a_file_in_doubt_is_held_again_once_it_is_found_right(scene: Scene) -> None:
    hold(scene, CONTENT)
    scene.put("model.bin", b"x" * 5_500)
    scene.store.mark_changed(CONTENT.root, MODEL)
    assert scene.store.look_again(CONTENT.root, MODEL) == LookedAgain(0, (str(scene.folder / "model.bin"),))
    assert not scene.store.holdings()[0].complete
    scene.put("model.bin", FILES["model.bin"])
    assert scene.store.look_again(CONTENT.root, MODEL) == LookedAgain(1)
    assert scene.store.holdings()[0].complete


def test_a_file_that_was_read_and_is_right_is_held_again_as_it_is_now(scene: Scene) -> None:
    hold(scene, CONTENT)
    file = scene.store.open_held(CONTENT.root, scene.folder, MODEL)
    found = scene.store.fingerprint_of(file)
    file.close()
    assert not scene.store.mark_right(CONTENT.root, scene.folder, MODEL, found, trusted=True)
    scene.store.mark_damaged(CONTENT.root, scene.folder, MODEL)
    assert scene.store.mark_right(CONTENT.root, scene.folder, MODEL, found, trusted=True)
    assert scene.store.holdings()[0].complete
    scene.put("model.bin", FILES["model.bin"])
    file = scene.store.open_held(CONTENT.root, scene.folder, MODEL)
    assert scene.store.mark_right(CONTENT.root, scene.folder, MODEL, scene.store.fingerprint_of(file), trusted=True)
    file.close()
    plan = scene.store.read_plan(CONTENT.root)
    assert plan is not None
    plan.open(MODEL).close()


@pytest.mark.parametrize("read", ["published", "adopted"])
def test_a_file_that_was_read_and_is_wrong_is_doubted_wherever_it_is_held(scene: Scene, read: str) -> None:
    part = content_of({"renamed.bin": FILES["model.bin"], "config.json": b"{}"}, STEP)
    if read == "published":
        hold(scene, CONTENT)
        of = scene.folder
    else:
        adopt(scene, CONTENT)
        of = scene.folder.parent / "snapshot"
    scene.store.put_blobs(list(part.blobs.values()))
    files = []
    for number, (entry, name) in enumerate(zip(part.manifest.files, ("config.json", "model.bin"), strict=True)):
        opened = scene.store.open_in_place(scene.folder, name)
        chunks = part.table.list_of(number) if entry.chunks > 1 else None
        files.append(HashedFile(entry, chunks, scene.store.fingerprint_of(opened), True, scene.folder / name))
        opened.close()
    scene.store.hold(part.manifest, part.root, scene.folder.parent / "other", files, origin=Origin.ADOPTED)
    scene.store.mark_damaged(CONTENT.root, of, MODEL)
    (held,) = scene.store.holdings(part.root)
    number = part.manifest.number_of("config.json")
    assert number is not None
    assert held.held == RangeSet.of([part.table.span(number)])


def test_a_large_file_can_be_had_alone_as_long_as_it_is_held(scene: Scene) -> None:
    hold(scene, CONTENT)
    entry = CONTENT.manifest.files[MODEL]
    part = alone_digest(entry)
    assert scene.store.parts(CONTENT.root) == (part,)
    assert scene.store.manifests_with(part) == (CONTENT.root,)
    assert scene.store.blob(part) is not None
    plan = scene.store.read_plan(part)
    assert plan is not None
    assert plan.held == RangeSet.whole(6)
    assert [plan.table.chunk(n).digest for n in range(6)] == [
        ref.digest for ref in CONTENT.table.chunks(CONTENT.table.span(MODEL)[0], 6)
    ]
    file = plan.open(0)
    assert os.pread(file.descriptor, 10_000, 0) == FILES["model.bin"]
    file.close()
    scene.put("model.bin", b"changed")
    scene.store.mark_changed(part, 0)
    assert scene.store.read_plan(part) is None
    scene.store.release(CONTENT.root)
    assert scene.store.manifests_with(part) == ()
    assert [held.manifest for held in scene.store.holdings()] == []


def test_a_file_alone_is_held_under_its_own_path(scene: Scene) -> None:
    put_all(scene, CONTENT)
    entry = CONTENT.manifest.files[MODEL]
    file = hashed(scene, CONTENT)[MODEL]
    place = scene.folder / "model.bin"
    manifest = manifest_alone(entry)
    files = [replace(file, entry=manifest.files[0], place=place)]
    scene.store.hold(manifest, alone_digest(entry), place, files, origin=Origin.ADOPTED)
    plan = scene.store.read_plan(alone_digest(entry))
    assert plan is not None
    opened = plan.open(0)
    assert os.pread(opened.descriptor, 10_000, 0) == FILES["model.bin"]
    opened.close()
    assert scene.store.parts(alone_digest(entry)) == ()


def test_chunks_are_found_wherever_they_lie(scene: Scene) -> None:
    hold(scene, CONTENT)
    runs = scene.store.local(OTHER.table, OTHER.whole)
    found = {chunk: (run.offset, run.file) for run in runs for chunk in range(run.first, run.first + run.count)}
    shard = next(number for number, entry in enumerate(OTHER.manifest.files) if entry.path == "shards/one.bin")
    first = OTHER.table.span(shard)[0]
    assert sorted(found) == [first + 1, first + 2]
    assert found[first + 1][1].path.name == "model.bin"
    assert scene.store.local(OTHER.table, RangeSet.of([(first, first + 1)])) == []
    scene.store.release(CONTENT.root)
    assert scene.store.local(OTHER.table, OTHER.whole) == []


def copy_all(scene: Scene, content: Content, runs: list[LocalRun]) -> tuple[RangeSet, dict[str, bytes]]:
    scene.folder = scene.folder.parent / "copy"
    arrival = arrive(scene, content)
    copied = RangeSet()
    for run in runs:
        copied |= arrival.copy(run)
    arrival.verified(copied)
    deliver_rest(arrival, content)
    arrival.finish()
    return copied, scene.files()


def test_what_is_here_is_copied_and_the_rest_fetched(scene: Scene) -> None:
    hold(scene, CONTENT)
    copied, files = copy_all(scene, OTHER, scene.store.local(OTHER.table, OTHER.whole))
    assert len(copied) == 2
    assert files == OTHER.files


def test_a_source_that_changed_gives_nothing_wrong(scene: Scene) -> None:
    hold(scene, CONTENT)
    runs = scene.store.local(OTHER.table, OTHER.whole)
    scene.put("model.bin", b"x" * 5_500)
    copied, files = copy_all(scene, OTHER, runs)
    assert not copied
    assert files == OTHER.files


def test_a_whole_file_is_copied_under_another_name(scene: Scene) -> None:
    hold(scene, CONTENT)
    renamed = content_of({"weights/other-name.bin": FILES["model.bin"]}, STEP)
    copied, files = copy_all(scene, renamed, scene.store.local(renamed.table, renamed.whole))
    assert copied == renamed.whole
    assert files == renamed.files


@covers("T31")
@pytest.mark.parametrize("clones", [False, True])
def test_what_is_copied_or_cloned_from_this_disk_is_judged_as_what_comes(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, clones: bool
) -> None:
    def clone(disk: Disk, source: int, target: int) -> bool:
        return clones and os.pwrite(target, os.pread(source, 10_000, 0), 0) > 0  # As a disk that can would have it.

    monkeypatch.setattr(Disk, "clone", clone)
    hold(scene, CONTENT)
    renamed = content_of({"weights/other-name.bin": FILES["model.bin"]}, STEP)
    scene.folder = scene.folder.parent / "copy"
    arrival = arrive(scene, renamed, judge=lambda size, read: f"{size} bytes" if read(0, size) else None)
    for run in scene.store.local(renamed.table, renamed.whole):
        arrival.verified(renamed.whole if arrival.clone(run) else arrival.copy(run))
    assert arrival.have == renamed.whole
    with pytest.raises(Unsafe, match=r"weights/other-name.bin \(5500 bytes\)"):
        arrival.finish()
    arrival.close()
    assert scene.files() == {}


def test_what_was_hashed_is_remembered_before_anything_is_held(scene: Scene) -> None:
    put_all(scene, CONTENT)
    file = hashed(scene, CONTENT)[MODEL]
    young = replace(hashed(scene, CONTENT)[0], trusted=False)
    places = [scene.folder / "model.bin", scene.folder / "young", scene.folder / "nothing"]
    scene.store.note_hashed({places[0]: file, places[1]: young})
    scene.reopen()
    found = scene.store.hashed_at(places)
    assert list(found) == [places[0]]
    known = found[places[0]]
    assert known == HashedFile(replace(file.entry, path=""), file.chunks, file.fingerprint, True, places[0])


def part_of(chunks: int, *, seed: int = 1) -> PartHashed:
    """Return how far a file is hashed by a pass that is made up."""
    digests = Random(seed).randbytes(32 * 100)[: 32 * chunks]
    return PartHashed(Fingerprint(1, 2, 3, 4, seed), bytes(32), 1_000 * chunks, digests, b"state at %d" % chunks)


def test_how_far_a_file_is_hashed_is_remembered_until_it_is_known_as_a_whole_or_held(scene: Scene) -> None:
    put_all(scene, CONTENT)
    place, other = scene.folder / "model.bin", scene.folder / "other"
    assert scene.store.part_hashed(place) is None
    for chunks in (1, 4, 4, 90):
        scene.store.note_parts({place: part_of(chunks), other: part_of(2, seed=chunks)})
        scene.reopen()
        assert scene.store.part_hashed(place) == part_of(chunks)
        assert scene.store.part_hashed(other) == part_of(2, seed=chunks)
    assert scene.store.hashed_at([place, other]) == {}
    young = replace(hashed(scene, CONTENT)[MODEL], trusted=False)
    scene.store.note_hashed({place: young})
    assert scene.store.part_hashed(place) == part_of(90)
    scene.store.note_hashed({place: hashed(scene, CONTENT)[MODEL]})
    assert scene.store.part_hashed(place) is None
    scene.store.note_parts({place: part_of(3)})
    hold(scene, CONTENT)
    assert scene.store.part_hashed(place) is None
    assert scene.store.part_hashed(other) == part_of(2, seed=90)


@pytest.mark.parametrize("chunks", [2, 5, 60])
def test_a_pass_that_began_anew_is_remembered_in_place_of_the_one_before(scene: Scene, chunks: int) -> None:
    place = scene.folder / "model.bin"
    for done in (1, 4, 20):
        scene.store.note_parts({place: part_of(done)})
    scene.store.note_parts({place: part_of(chunks, seed=2)})
    assert scene.store.part_hashed(place) == part_of(chunks, seed=2)
    scene.store.note_parts({place: part_of(1, seed=2)})  # As after less of it was believed.
    assert scene.store.part_hashed(place) == part_of(1, seed=2)
