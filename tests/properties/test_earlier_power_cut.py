"""A power cut at any effect of publishing again: no byte that was replaced is given as one of an earlier version,
nothing that is left of one is lost, and what has ended stays ended.

The folder is the user's, and as it is when the newer version is recorded. The index is SQLite's, which is durable when
it says so: with each disk that could be left goes the index of then, or none.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2phub.content import RangeSet
from p2phub.errors import ContentChanged
from p2phub.store import Keep, Store
from p2phub.store.database import INDEX
from p2phub.store.filesystem import FilesystemStore
from tests.properties.test_collect_power_cut import StepsWithIndex
from tests.support.content import Content, content_of, random_files
from tests.support.covers import covers
from tests.support.crashing import QuickDisk, RecordingDisk, image, said_before
from tests.support.stores import DiskScene, as_on_a_disk, hashed

WEIGHTS = random_files(1, model=2_600)
GONE = content_of({**random_files(2, old=1_900), "README.md": b"first"}, 700)
PART = content_of({**WEIGHTS, "README.md": b"second"}, 700)
NOW = content_of({**WEIGHTS, "README.md": b"third"}, 700)
WAYS = ("lost", "ordered", "chance", "killed")


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    as_on_a_disk(monkeypatch)
    shared_memory = Path("/dev/shm")  # For many short-lived files: in memory, where there is one.
    with tempfile.TemporaryDirectory(dir=shared_memory if os.access(shared_memory, os.W_OK) else tmp_path) as scratch:
        yield Path(scratch)


def record(scene: DiskScene, content: Content) -> None:
    for path, data in content.files.items():
        if scene.files().get(path) != data:
            scene.put(path, data)
    for path in scene.files().keys() - content.files.keys():
        scene.remove(path)
    scene.store.put_blobs(list(content.blobs.values()))
    scene.store.hold(content.manifest, content.root, scene.folder, hashed(scene, content))


def given(store: Store, content: Content) -> set[str]:
    """Read all that is offered of `content`; return the paths of which all was given. What is refused is not given."""
    plan = store.read_plan(content.root)
    paths = set()
    for number in range(len(content.manifest.files)) if plan is not None else ():
        assert plan is not None
        span = RangeSet.of([content.table.span(number)])
        if span - plan.held:
            continue
        try:
            file = plan.open(number)
        except ContentChanged:
            continue
        for chunk in span:
            ref = content.table.chunk(chunk)
            assert os.pread(file.descriptor, ref.length, ref.offset) == content.chunk(chunk)
        file.close()
        paths.add(content.path_of(number))
    return paths


@covers("F01", "F02")
def test_after_a_power_cut_while_publishing_again_what_is_left_is_given_and_what_was_replaced_is_not(at: Path) -> None:
    home = at / "home"
    home.mkdir()
    disk = RecordingDisk(home)
    steps = StepsWithIndex(home)
    disk.log = steps
    scene = DiskScene(at, disk)
    record(scene, GONE)
    record(scene, PART)
    begin_at = len(steps)
    record(scene, NOW)
    disk.say("recorded")
    assert scene.store.end_earlier(scene.folder, Keep()) == (GONE.root,)
    disk.say("ended")
    scene.store.close()
    steps.indexes.append(steps.read())
    shutil.rmtree(home)
    files = hashed(scene, NOW)

    count = 0
    for stop in range(begin_at, len(steps) + 1):
        for number, way in enumerate(WAYS):
            for index in {steps.indexes[stop], steps.indexes[stop + 1], b""}:
                image(steps, stop, way, stop * 31 + number, home)
                if index:
                    (home / INDEX).write_bytes(index)
                try:
                    left = FilesystemStore(home, QuickDisk())
                    _look(left, set(map(str, said_before(steps, stop))), has_index=bool(index))
                    left.put_blobs(list(NOW.blobs.values()))
                    left.hold(NOW.manifest, NOW.root, scene.folder, files)
                    left.end_earlier(scene.folder, Keep())
                    assert {each.manifest for each in left.holdings()} == {NOW.root, PART.root}
                    assert given(left, PART) == {"model.bin"}
                    left.close()
                except BaseException as exc:
                    exc.add_note(f"power cut after step {stop} of {len(steps)}, {way}, seed {stop * 31 + number}")
                    raise
                shutil.rmtree(home)
                count += 1
    assert count > 40


def _look(left: Store, said: set[str], *, has_index: bool) -> None:
    assert given(left, GONE) == set()
    assert given(left, PART) == ({"model.bin"} if has_index else set())
    if "recorded" in said and has_index:
        (part,) = left.holdings(PART.root)
        assert (part.files_here, part.files_damaged, part.replaced) == (1, 0, True)
        assert given(left, NOW) == set(NOW.files)
    said_of_it = left.check()  # Whatever is in doubt is hashed again.
    assert given(left, PART) == {"model.bin"}
    if "recorded" in said:
        assert not any("not what was hashed" in each for each in said_of_it), "what was replaced is not damaged"
        assert given(left, NOW) == set(NOW.files)
    if "ended" in said:
        assert left.holdings(GONE.root) == ()
