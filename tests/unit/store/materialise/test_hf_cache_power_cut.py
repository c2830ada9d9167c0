"""A power cut at any moment of writing into a Hugging Face cache: the client never gets half, and a second run ends it.

Workloads run on a disk that writes down every effect; after each of them the power "goes", the disks that could be left
are made, the client looks at each, and p2phub runs again on it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from p2phub import limits
from p2phub.store.clone import Stopped
from p2phub.store.disk import Disk
from p2phub.store.materialise import HfPlace, Source, hf_snapshot, placer, write_snapshot
from tests.support.crashing import WAYS, QuickDisk, RecordingDisk, Said, images, short_lived
from tests.support.hf_reading import Corrupted, NotCached, scan, snapshot, tree
from tests.support.materialising import FILES, DiskWithoutLinks, git_sha1, source, tree_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"
EARLIER = "e" * 40
OLD_FILES = {"config.json": b'{"a": 0}\n', "README.md": FILES["README.md"]}
COMMITS = {COMMIT: FILES, EARLIER: OLD_FILES}


class WithoutLinks(DiskWithoutLinks, RecordingDisk):
    pass


class QuickWithoutLinks(DiskWithoutLinks, QuickDisk):
    pass


class Sharing(RecordingDisk):
    """A file system that shares blocks: the bytes are there at once, and no more durable than if they were written."""

    def clone(self, source_fd: int, target_fd: int) -> bool:
        self.pwrite(target_fd, os.pread(source_fd, os.fstat(source_fd).st_size, 0), 0)
        return True


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    with short_lived(tmp_path) as scratch:
        (scratch / "root").mkdir()
        yield scratch / "root"


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[int]:
    fd = os.open(folder, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def put(disk: Disk, path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file with its folders; durably, or as clients do."""
    missing = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
    for folder in reversed(missing):
        with opened(folder.parent) as parent:
            disk.mkdir(folder.name, dir_fd=parent)
    with opened(path.parent) as parent:
        fd = disk.open(path.name, os.O_RDWR | os.O_CREAT, dir_fd=parent)
        disk.pwrite(fd, data, 0)
        if durable:
            disk.syncfs(fd)
        os.close(fd)


def link_to(disk: Disk, path: Path, target: str, *, durable: bool = True) -> None:
    with opened(path.parent) as parent:
        disk.symlink(target, path.name, dir_fd=parent)
        if durable:
            disk.syncfs(parent)


def put_sources(disk: Disk, root: Path) -> None:
    for number, data in enumerate(FILES.values()):
        put(disk, root / "files" / str(number), data)


def files_in(root: Path, *, movable: bool = False) -> list[Source]:
    return [
        source(root / "files", path, data, at=str(number), movable=movable)
        for number, (path, data) in enumerate(FILES.items())
    ]


def place_in(root: Path, commit: str = COMMIT) -> HfPlace:
    return HfPlace(root / "hub", "acme/m", commit)


def write(disk: Disk, root: Path, *, link: bool = False, movable: bool = False) -> None:
    write_snapshot(disk, place_in(root), files_in(root, movable=movable), link=link)


# What each workload does is cut off after every effect; if something was there before, from "begins" on.
Workload = Callable[[RecordingDisk, Path], None]


def copied(disk: RecordingDisk, root: Path) -> None:
    write(disk, root)


def linked(disk: RecordingDisk, root: Path) -> None:
    write(disk, root, link=True)


def moved(disk: RecordingDisk, root: Path) -> None:
    write(disk, root, movable=True)


def twice_and_stopped_between(disk: RecordingDisk, root: Path) -> None:
    asked = iter(range(1000))
    with contextlib.suppress(Stopped):
        write_snapshot(disk, place_in(root), files_in(root), link=False, stopped=lambda: next(asked) > 4)
    write(disk, root)
    write(disk, root)


def beside_an_earlier_commit(disk: RecordingDisk, root: Path) -> None:
    for number, (path, data) in enumerate(OLD_FILES.items()):
        put(disk, root / "old" / str(number), data)
        assert path in FILES
    old = [source(root / "old", path, data, at=str(number)) for number, (path, data) in enumerate(OLD_FILES.items())]
    write_snapshot(disk, place_in(root, EARLIER), old, link=False)
    disk.say("begins")
    write(disk, root)


def what_a_client_began(disk: RecordingDisk, root: Path) -> None:
    repo = root / "hub" / "models--acme--m"
    data = FILES["config.json"]
    name = hashlib.sha256(data).hexdigest()
    put(disk, repo / "blobs" / name, data)
    put(disk, repo / "snapshots" / COMMIT / "README.md", FILES["README.md"])  # From when there were no links.
    link_to(disk, repo / "snapshots" / COMMIT / "config.json", f"../../blobs/{name}")
    disk.say("begins")
    write(disk, root)


def look_as_a_client(cache: Path) -> None:
    """Whatever the client finds is whole, and every blob is what it is called."""
    repo = cache / "models--acme--m"
    try:
        scan(cache)
    except FileNotFoundError:
        return
    except Corrupted:  # As in a cache where the client has only just begun.
        assert not (repo / "snapshots").exists()
        assert not list((repo / "refs").glob("*"))
    for commit, files in COMMITS.items():
        if (listing := tree(repo, commit)) is not None:
            assert listing.keys() == files.keys()
            with contextlib.suppress(NotCached):
                assert snapshot(repo, commit) == files
    for ref in (repo / "refs").glob("*"):
        assert snapshot(repo, ref.name) == COMMITS[ref.read_text()]
        assert tree(repo, ref.read_text()) is not None
    for blob in (repo / "blobs").glob("*"):
        data = blob.read_bytes()
        assert blob.name in (hashlib.sha256(data).hexdigest(), git_sha1(data).hex())


ONE, SEVERAL = limits.SYNC_BYTES, 2_500  # All blobs share a sync; there are several, and locks for large ones.
RUNS = [
    pytest.param(RecordingDisk, copied, ONE, id="copied"),
    pytest.param(RecordingDisk, copied, SEVERAL, id="copied, several syncs"),
    pytest.param(Sharing, copied, ONE, id="cloned"),
    pytest.param(RecordingDisk, linked, ONE, id="linked"),
    pytest.param(RecordingDisk, moved, SEVERAL, id="moved, several syncs"),
    pytest.param(WithoutLinks, copied, ONE, id="without links, copied"),
    pytest.param(WithoutLinks, moved, SEVERAL, id="without links, moved, several syncs"),
    pytest.param(RecordingDisk, twice_and_stopped_between, SEVERAL, id="stopped, then twice"),
    pytest.param(RecordingDisk, beside_an_earlier_commit, ONE, id="beside an earlier commit"),
    pytest.param(RecordingDisk, what_a_client_began, ONE, id="what a client began"),
]


@pytest.mark.covers("F01", "F02")
@pytest.mark.parametrize(("disk_type", "workload", "sync_bytes"), RUNS)
def test_after_a_power_cut_the_client_gets_all_or_nothing_and_a_second_run_completes(
    root: Path, monkeypatch: pytest.MonkeyPatch, disk_type: type[RecordingDisk], workload: Workload, sync_bytes: int
) -> None:
    monkeypatch.setattr(limits, "SYNC_BYTES", sync_bytes)
    for room in (placer, hf_snapshot):  # What is synced with everything else would hide what is not synced.
        monkeypatch.setattr(room, "ONE_BY_ONE_MAX", 1_000)
    disk = disk_type(root)
    put_sources(disk, root)
    disk.say("begins")
    workload(disk, root)
    disk.say("done")
    begin_at = max(at for at, step in enumerate(disk.log) if step == Said("begins"))
    # But where each file stands there itself, or where somebody else made it.
    appears_whole = disk_type is not WithoutLinks and workload is not what_a_client_began
    again = QuickWithoutLinks() if disk_type is WithoutLinks else QuickDisk()

    def look(at: Path, said: list[object]) -> None:
        look_as_a_client(at / "hub")
        repo = at / "hub" / "models--acme--m"
        if "done" in said:
            assert snapshot(repo) == FILES
        if appears_whole and (repo / "snapshots" / COMMIT).exists():
            assert snapshot(repo, COMMIT) == FILES
        write(again, at, link=workload is linked, movable=workload is moved)
        look_as_a_client(at / "hub")
        assert snapshot(repo) == FILES
        assert tree(repo, COMMIT) is not None
        assert sorted(os.listdir(repo)) == ["blobs", "refs", "snapshots", "trees"]

    assert images(disk, root.parent, look, begin_at=begin_at) > 150
    assert images(disk, root.parent, look, begin_at=begin_at, ways=("killed",)) > 40


@pytest.mark.covers("F02")
@pytest.mark.parametrize("one_by_one", [1_000, 3])
def test_what_the_client_left_there_and_never_synced_is_durable_once_it_is_done(
    root: Path, monkeypatch: pytest.MonkeyPatch, one_by_one: int
) -> None:
    for room in (placer, hf_snapshot):
        monkeypatch.setattr(room, "ONE_BY_ONE_MAX", one_by_one)
    disk = RecordingDisk(root)
    put_sources(disk, root)
    write(QuickDisk(), root)
    left = {path: data for path, data in tree_of(root / "hub").items() if path != "CACHEDIR.TAG"}
    shutil.rmtree(root / "hub")
    put(disk, root / "hub" / "CACHEDIR.TAG", b"")  # The cache itself is older than what is in it.
    for path, data in left.items():
        if isinstance(data, bytes):
            put(disk, root / "hub" / path, data, durable=False)
        else:
            folder = (root / "hub" / path).parent
            put(disk, folder / "x", b"", durable=False)
            with opened(folder) as fd:
                disk.unlink("x", dir_fd=fd)
            link_to(disk, root / "hub" / path, data, durable=False)
    write(disk, root)
    disk.say("done")

    def look(at: Path, said: list[object]) -> None:
        assert snapshot(at / "hub" / "models--acme--m") == FILES
        assert tree(at / "hub" / "models--acme--m", COMMIT) is not None

    assert images(disk, root.parent, look, begin_at=len(disk.log), ways=WAYS * 5) == 20


@pytest.mark.covers("F02")
def test_what_shares_one_sync_of_everything_survives_as_well(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for room in (placer, hf_snapshot):
        monkeypatch.setattr(room, "ONE_BY_ONE_MAX", 0)
    disk = RecordingDisk(root)
    put_sources(disk, root)
    begin_at = len(disk.log)
    write(disk, root, movable=True)
    disk.say("done")

    def look(at: Path, said: list[object]) -> None:
        look_as_a_client(at / "hub")
        if said:
            assert snapshot(at / "hub" / "models--acme--m") == FILES
        write(QuickDisk(), at, movable=True)
        assert snapshot(at / "hub" / "models--acme--m") == FILES

    assert images(disk, root.parent, look, begin_at=begin_at) > 200
