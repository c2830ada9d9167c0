"""A power cut at any effect of publishing drafts: what was said to be published is there, and nothing wrong is claimed.

The index is SQLite's, which is durable when it says so: with each disk that could be left goes the index of then, and
none, as after it was lost.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2phub.content import RangeSet
from p2phub.store import DraftFolder, HashedFile, Keep, Store
from p2phub.store.database import INDEX
from p2phub.store.disk import FOLDER_FLAGS, MAKE_FLAGS
from p2phub.store.filesystem import FilesystemStore
from tests.properties.test_collect_power_cut import StepsWithIndex
from tests.support.content import Content, content_of
from tests.support.covers import covers
from tests.support.crashing import QuickDisk, RecordingDisk, image, said_before

WAYS = ("lost", "ordered", "chance")
FILES = {"README.md": b"one" * 50, "deep/er/model.bin": b"weights!" * 200}
FIRST = content_of(FILES, 700)
SECOND = content_of({**FILES, "README.md": b"two" * 60, "more.bin": b"more" * 100}, 700)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    shared_memory = Path("/dev/shm")  # For many short-lived files: in memory, where there is one.
    with tempfile.TemporaryDirectory(dir=shared_memory if os.access(shared_memory, os.W_OK) else tmp_path) as scratch:
        made = Path(scratch) / "home"
        made.mkdir()
        yield made


def write(disk: RecordingDisk, store: Store, draft: DraftFolder, content: Content, number: int) -> HashedFile:
    entry, name = content.manifest.files[number], str(number)
    folder = os.open(draft.folder, FOLDER_FLAGS)
    try:
        fd = disk.open(name, MAKE_FLAGS, 0o600, dir_fd=folder)
        disk.pwrite(fd, content.files[entry.path], 0)
        os.close(fd)
    finally:
        os.close(folder)
    opened = store.open_place(draft.folder / name)
    fingerprint = store.fingerprint_of(opened)
    opened.close()
    chunks = content.table.list_of(number) if entry.chunks > 1 else None
    return HashedFile(entry, chunks, fingerprint, True, draft.folder / name)


def publish(disk: RecordingDisk, store: Store, content: Content, base: Content | None) -> None:
    """Publish `content`, of what `base` has and what is written."""
    whole = None if base is None else store.whole(base.root)
    kept = {} if whole is None else {(file.entry.path, file.entry.sha256): file for file in whole[1]}
    draft = store.open_draft()
    files = [
        kept.get((entry.path, entry.sha256)) or write(disk, store, draft, content, number)
        for number, entry in enumerate(content.manifest.files)
    ]
    store.put_blobs(list(content.blobs.values()))
    draft.hold(content.manifest, content.root, files)
    disk.say(content.root)
    draft.close()


def check_claims(store: Store) -> set[bytes]:
    """Read all that is claimed; return what is claimed whole."""
    whole = set()
    for content in (FIRST, SECOND):
        for holding in store.holdings(content.root):
            for chunk in holding.held:
                ref = content.table.chunk(chunk)
                file = store.open_held(content.root, holding.folder, ref.file)
                assert os.pread(file.descriptor, ref.length, ref.offset) == content.chunk(chunk)
                file.close()
            if holding.held == content.whole == RangeSet.whole(len(content.table)):
                whole.add(content.root.raw)
    return whole


@covers("F01", "F02", "F33")
@pytest.mark.parametrize("one_by_one_max", [8, 0], ids=["each-synced", "all-synced"])
def test_after_a_power_cut_what_was_published_is_there_and_nothing_else_is_claimed(
    home: Path, monkeypatch: pytest.MonkeyPatch, one_by_one_max: int
) -> None:
    monkeypatch.setattr("p2phub.store.drafting.ONE_BY_ONE_MAX", one_by_one_max)
    disk = RecordingDisk(home)
    steps = StepsWithIndex(home)
    disk.log = steps
    store = FilesystemStore(home, disk)
    begin_at = len(steps)
    publish(disk, store, FIRST, None)
    publish(disk, store, SECOND, FIRST)
    store.close()
    steps.indexes.append(steps.read())
    shutil.rmtree(home)

    count = 0
    for stop in range(begin_at, len(steps) + 1):
        for number, way in enumerate(WAYS):
            for index in {steps.indexes[stop + 1], b""}:
                image(steps, stop, way, stop * 31 + number, home)
                if index:
                    (home / INDEX).write_bytes(index)
                try:
                    _look(home, {content.raw for content in said_before(steps, stop)})  # type: ignore[attr-defined]
                except BaseException as exc:
                    exc.add_note(f"power cut after step {stop} of {len(steps)}, {way}, seed {stop * 31 + number}")
                    raise
                shutil.rmtree(home)
                count += 1
    assert count > 200


def _look(home: Path, published: set[bytes]) -> None:
    left = FilesystemStore(home, QuickDisk())
    left.sweep(Keep(), lambda: False)  # Before anything is mended: what is held stays all the same.
    check_claims(left)
    left.check()
    assert published <= check_claims(left)
    left.open_draft().close()
    left.sweep(Keep(), lambda: False)
    assert published <= check_claims(left)
    assert os.listdir(home / "published/drafts") == []
    assert left.collectable(Keep()).leftovers == ()
    left.close()
