"""A kill, or a power cut, at any effect of a collection of what came from an upstream hub: each snapshot is there whole
or not at all, what another one has stays, and nothing is left for ever."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from p2phub import limits
from p2phub.content import RangeSet
from p2phub.store import HashedFile, Keep, Origin, Provenance, SpareSnapshot, Store, hub_collecting
from p2phub.store.database import INDEX
from p2phub.store.disk import FOLDER_FLAGS, MAKE_FLAGS, Disk
from p2phub.store.filesystem import FilesystemStore
from p2phub.store.hub_copy import HubCopy, listing_of
from tests.support.content import Content, content_of
from tests.support.covers import covers
from tests.support.crashing import QuickDisk, RecordingDisk, StepsWithIndex, image, said_before, short_lived
from tests.support.hub_copies import commit_of, hub_files, stands_whole

GOES = {"config.json": b"{}", "model.safetensors": b"g" * 2_600, "sub/same.bin": b"s" * 1_500}
STAYS = {"config.json": b'{"new": 1}', "model.safetensors": b"n" * 1_900, "sub/same.bin": b"s" * 1_500}
NAMES = {1: "acme/mini", 2: "acme/mini"}
WAYS = ("lost", "ordered", "chance", "killed")


def copy_in(home: Path, files: dict[str, bytes]) -> HubCopy:
    number = 1 if files is GOES else 2
    return HubCopy(home / "upstream" / "public", "models", NAMES[number], commit_of(number))


def lay_down(disk: Disk, home: Path, files: dict[str, bytes]) -> None:
    """Make a snapshot by this disk, as `HubCopy` does, all of it durable."""
    copy = copy_in(home, files)

    def make(folder: Path) -> int:
        if folder == home:
            return os.open(home, FOLDER_FLAGS)
        above = make(folder.parent)
        if not folder.exists():
            disk.mkdir(folder.name, 0o700, dir_fd=above)
        fd = os.open(folder.name, FOLDER_FLAGS, dir_fd=above)
        os.close(above)
        return fd

    def write(at: Path, data: bytes) -> None:
        folder = make(at.parent)
        if not at.exists():
            fd = disk.open(at.name, MAKE_FLAGS, 0o600, dir_fd=folder)
            disk.pwrite(fd, data, 0)
            os.close(fd)
        os.close(folder)

    listed = hub_files(files)
    write(copy.folder / "trees" / f"{copy.snapshot.name}.json", listing_of(listed))
    for path, file in listed.items():
        write(copy.folder / "blobs" / file.blob, files[path])
        write(copy.folder / ".seen" / file.blob, b"seen")
        at = copy.snapshot / path
        folder = make(at.parent)
        disk.symlink(os.path.relpath(copy.folder / "blobs" / file.blob, at.parent), at.name, dir_fd=folder)
        os.close(folder)
    top = make(home)
    disk.syncfs(top)
    os.close(top)


def adopt(store: Store, home: Path, files: dict[str, bytes]) -> Content:
    copy, content = copy_in(home, files), content_of(files, 700)
    hashed = []
    for number, entry in enumerate(content.manifest.files):
        place = (copy.snapshot / entry.path).resolve()
        opened = store.open_place(place)
        chunks = content.table.list_of(number) if entry.chunks > 1 else None
        hashed.append(HashedFile(entry, chunks, store.fingerprint_of(opened), True, place))
        opened.close()
    source = Provenance("hf", "acme/mini", copy.snapshot.name)
    store.put_blobs(list(content.blobs.values()))
    store.hold(content.manifest, content.root, copy.snapshot, hashed, origin=Origin.ADOPTED, source=source)
    return content


def check_claims(store: Store, home: Path, content: Content, files: dict[str, bytes]) -> bool:
    """Read all that is claimed; return whether that is all of it."""
    plan = store.read_plan(content.root)
    held = RangeSet() if plan is None else plan.held
    for chunk in held:
        ref = content.table.chunk(chunk)
        file = store.open_held(content.root, copy_in(home, files).snapshot, ref.file)
        assert os.pread(file.descriptor, ref.length, ref.offset) == content.chunk(chunk)
        file.close()
    return held == content.whole


@covers("F01", "F02", "F33")
@pytest.mark.parametrize("name", ["acme/mini", "acme/other"], ids=["one-of-two", "the-last"])
def test_after_a_power_cut_in_a_collection_each_snapshot_of_a_hub_is_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """`name`: of the repository that the snapshot is of that stays."""
    monkeypatch.setitem(NAMES, 2, name)
    monkeypatch.setattr(limits, "ALONE_BYTES_MIN", 2_000)
    monkeypatch.setattr(hub_collecting, "USED_LATELY_S", -10.0)  # To look at what is claimed is to use it.
    with short_lived(tmp_path) as scratch:
        home = scratch / "home"
        home.mkdir()
        disk = RecordingDisk(home)
        disk.log = steps = StepsWithIndex(home)
        store = FilesystemStore(home, disk)
        for files in (GOES, STAYS):
            lay_down(disk, home, files)
        goes, stays = adopt(store, home, GOES), adopt(store, home, STAYS)
        keep = Keep(pinned=frozenset({stays.root}))
        begin_at = len(steps)
        (spare,) = store.collectable(keep).snapshots
        assert store.collect(spare, keep) == sum(map(len, GOES.values())) - 1_500 * (name == NAMES[1])
        disk.say("collected")
        store.close()
        steps.indexes.append(steps.read())
        shutil.rmtree(home)
        count = 0
        for stop in range(begin_at, len(steps) + 1):
            for number, way in enumerate(WAYS):
                for index in {steps.indexes[stop], steps.indexes[stop + 1], b""}:
                    image(steps, stop, way, stop * 31 + number, home)
                    if index:
                        (home / INDEX).write_bytes(index)
                    try:
                        is_done = "collected" in said_before(steps, stop)
                        _look(home, spare, goes, stays, keep, is_done=is_done, is_checked=number % 2 == 0)
                    except BaseException as exc:
                        exc.add_note(f"power cut after step {stop} of {len(steps)}, {way}, index {len(index)} bytes")
                        raise
                    shutil.rmtree(home)
                    count += 1
        assert count > 50


def _look(
    home: Path, spare: SpareSnapshot, goes: Content, stays: Content, keep: Keep, *, is_done: bool, is_checked: bool
) -> None:
    left = FilesystemStore(home, QuickDisk())
    try:
        assert stands_whole(copy_in(home, STAYS), STAYS)
        is_there = stands_whole(copy_in(home, GOES), GOES)
        assert not (is_there and is_done)
        assert is_there or not check_claims(left, home, goes, GOES)
        check_claims(left, home, stays, STAYS)
        if is_checked:
            left.check()  # Whatever is in doubt is hashed again.
            assert is_there or not check_claims(left, home, goes, GOES)
            assert check_claims(left, home, stays, STAYS)
        spares = left.collectable(keep).snapshots
        assert [each.commit for each in spares] == [spare.commit] * is_there
        for each in spares:
            assert left.collect(each, keep) is not None
        left.sweep(keep, lambda: False)
        found = left.collectable(keep)
        assert (found.snapshots, found.leftovers, found.rows) == ((), (), 0)
        assert not left.holdings(goes.root)
        copy = copy_in(home, STAYS)
        assert {each.name for each in (copy.folder / "blobs").iterdir()} == {
            file.blob for file in hub_files(STAYS).values()
        }
        assert {each.name for each in copy.folder.iterdir()} == {"blobs", "snapshots", "trees", ".seen"}
        assert list(copy.folder.parent.iterdir()) == [copy.folder]
    finally:
        left.close()
    (home / INDEX).unlink()
    again = FilesystemStore(home, QuickDisk())
    try:
        assert {each.manifest for each in again.holdings()} == {stays.root}  # As the log has it.
        again.check()
        assert check_claims(again, home, stays, STAYS)
    finally:
        again.close()
