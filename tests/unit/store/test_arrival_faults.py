"""A fetch being written, on a real disk that fails: full, read-only, vanished, lying, out of descriptors."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2phub import limits
from p2phub.content import ChunkTable, RangeSet, chunk_list
from p2phub.errors import ContentChanged, DiskError, DiskFull, Occupied
from p2phub.manifest import FileEntry, Manifest
from p2phub.store.disk import Disk
from p2phub.store.filesystem import FilesystemStore
from p2phub.store.fingerprints import Fingerprint
from p2phub.store.journal import Journal
from p2phub.store.placing import Places
from tests.support.content import Content, content_of, random_files
from tests.support.covers import covers
from tests.support.opening import all_closed_again
from tests.support.stores import DiskScene, arrive, as_on_a_disk, deliver, deliver_rest, files_below, hold

CONTENT = content_of({**random_files(5, big=40_000, small=900), "sub/c.bin": b"c" * 3_000}, 1_000)


class FaultyDisk(Disk):
    """Fails the methods named in `faults` with their error."""

    def __init__(self) -> None:
        self.faults: dict[str, int] = {}
        self.calls: dict[str, int] = {}

    def _check(self, call: str) -> None:
        self.calls[call] = self.calls.get(call, 0) + 1
        if call in self.faults:
            raise OSError(self.faults[call], os.strerror(self.faults[call]))

    def fdatasync(self, fd: int) -> None:
        self._check("fdatasync")

    def fsync(self, fd: int) -> None:
        self._check("fsync")

    def syncfs(self, fd: int) -> bool:
        self._check("syncfs")
        return True

    def allocate(self, fd: int, length: int) -> None:
        self._check("allocate")
        super().allocate(fd, length)

    def pwrite(self, fd: int, data: bytes, offset: int) -> None:
        self._check("pwrite")
        super().pwrite(fd, data, offset)

    def rename_new(self, source: str, target: str, *, source_fd: int, target_fd: int) -> None:
        self._check("rename_new")
        super().rename_new(source, target, source_fd=source_fd, target_fd=target_fd)


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk()


@pytest.fixture
def scene(tmp_path: Path, disk: FaultyDisk) -> Iterator[DiskScene]:
    made = DiskScene(tmp_path, disk)
    yield made
    made.store.close()


# --- a failed sync ---------------------------------------------------------------------------------------------------


@pytest.mark.covers("F03")
def test_after_a_failed_sync_nothing_since_the_last_mark_counts_and_nothing_more_is_taken(
    scene: DiskScene, disk: FaultyDisk
) -> None:
    arrival = arrive(scene, CONTENT)
    deliver(arrival, CONTENT, range(5))
    arrival.sync()
    deliver(arrival, CONTENT, range(5, 10))
    disk.faults = {"fdatasync": errno.EIO}
    with pytest.raises(DiskError, match="input/output"):
        arrival.sync()
    disk.faults = {}
    assert arrival.have == RangeSet.of([(0, 5)])
    for call in (arrival.sync, lambda: arrival.verified(RangeSet.of([(10, 11)])), lambda: arrival.plan.open(0)):
        with pytest.raises(DiskError, match="input/output"):
            call()
    arrival.close()


@pytest.mark.covers("F03")
def test_what_a_failed_sync_may_have_lost_is_not_believed_by_the_next_attempt_though_memory_still_shows_it(
    scene: DiskScene, disk: FaultyDisk
) -> None:
    arrival = arrive(scene, CONTENT)
    deliver(arrival, CONTENT, range(5))
    arrival.sync()
    deliver(arrival, CONTENT, range(5, 10))
    disk.faults = {"fdatasync": errno.EIO}
    with pytest.raises(DiskError):
        arrival.sync()
    arrival.close()
    disk.faults = {}
    again = arrive(scene, CONTENT)
    assert again.have == RangeSet.of([(0, 5)])
    deliver_rest(again, CONTENT)
    again.finish()
    assert scene.files() == CONTENT.files


def test_a_full_disk_at_a_sync_is_said_and_resumed_from(scene: DiskScene, disk: FaultyDisk) -> None:
    arrival = arrive(scene, CONTENT)
    deliver(arrival, CONTENT, range(10))
    disk.faults = {"fdatasync": errno.ENOSPC}
    with pytest.raises(DiskFull):
        arrival.sync()
    arrival.close()
    disk.faults = {}
    again = arrive(scene, CONTENT)
    deliver_rest(again, CONTENT)
    again.finish()
    assert scene.files() == CONTENT.files


@covers("F04")
def test_what_is_durable_but_could_not_be_noted_for_want_of_room_is_left_for_the_next_attempt(
    scene: DiskScene, disk: FaultyDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrival = arrive(scene, CONTENT)
    deliver(arrival, CONTENT, range(10))

    def full(*what: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(Journal, "mark", full)
        with pytest.raises(DiskFull):
            arrival.sync()
    arrival.close()
    again = arrive(scene, CONTENT)
    assert again.have == RangeSet.of([(0, 10)])
    deliver_rest(again, CONTENT)
    again.finish()
    assert scene.files() == CONTENT.files


def test_a_place_that_cannot_be_taken_now_is_taken_at_the_next_sync(scene: DiskScene, disk: FaultyDisk) -> None:
    arrival = arrive(scene, CONTENT)
    deliver(arrival, CONTENT, CONTENT.whole)
    disk.faults = {"rename_new": errno.EACCES}
    with pytest.raises(DiskError, match="permission"):
        arrival.sync()
    assert scene.files() == {}
    assert arrival.have == CONTENT.whole
    disk.faults = {}
    arrival.finish()
    assert scene.files() == CONTENT.files


# --- room ------------------------------------------------------------------------------------------------------------


@pytest.mark.covers("F04", "T26")
def test_a_manifest_larger_than_the_disk_is_refused_before_anything_is_written(
    scene: DiskScene, tmp_path: Path
) -> None:
    chunk = b"\0" * (1 << 20)
    content = content_of({"a": chunk, "b": b"x"})
    free = shutil.disk_usage(tmp_path).free
    lie = Lie(content, free * 2)
    with pytest.raises(DiskFull):
        scene.store.arrive(lie.manifest, content.root, lie.table, scene.folder / "new" / "deep", force=False)
    assert not scene.folder.exists()


class Lie:
    """A manifest whose one file claims more bytes than any disk here has."""

    def __init__(self, content: Content, size: int) -> None:
        count = size // (1 << 20)
        true = content.manifest.files[0]
        self.table = ChunkTable([chunk_list([1 << 20] * count, bytes(32) * count)])
        self.manifest = Manifest((FileEntry("a", count << 20, count, true.root, true.sha256),))


@pytest.mark.covers("F04")
def test_preallocation_that_fails_leaves_nothing_behind(
    scene: DiskScene, disk: FaultyDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2phub.store.arriving.PREALLOCATE_ABOVE_BYTES", 1_000)
    disk.faults = {"allocate": errno.ENOSPC}
    with pytest.raises(DiskFull):
        arrive(scene, CONTENT)
    assert not scene.folder.exists()


class FullAt(Disk):
    """A disk that is full for whoever makes the `at`-th folder, or file, below where nothing stands yet."""

    def __init__(self) -> None:
        self.left: int | None = None

    def _take(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def mkdir(self, name: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        self._take()
        super().mkdir(name, mode, dir_fd=dir_fd)

    def open(self, name: str | os.PathLike[str], flags: int, mode: int = 0o666, *, dir_fd: int | None = None) -> int:
        if flags & os.O_CREAT:
            self._take()
        return super().open(name, flags, mode, dir_fd=dir_fd)

    def fsync(self, fd: int) -> None:
        self._take()
        super().fsync(fd)


@covers("F04")
@pytest.mark.parametrize("there", [False, True], ids=["into a new folder", "into one that is there"])
def test_a_disk_that_is_full_before_a_fetch_can_begin_is_left_as_it_was(tmp_path: Path, there: bool) -> None:
    disk = FullAt()
    scene = DiskScene(tmp_path, disk)
    hold(scene, content_of({"warm": b"up"}))  # Of the home, nothing is to be made any more.
    arrive(scene, CONTENT).close()
    scene.folder = tmp_path / "new" / "deep" / "out"
    if there:
        scene.folder.mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    for steps in range(100):
        disk.left = steps
        try:
            with all_closed_again():
                arrival = scene.store.arrive(CONTENT.manifest, CONTENT.root, CONTENT.table, scene.folder, force=False)
                arrival.close()
        except DiskFull:
            assert sorted(tmp_path.rglob("*")) == before, f"when step {steps} failed"
        else:
            break
    assert steps > 5
    scene.store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB of its own."""
    at = tmp_path / "small"
    at.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root")
    done = subprocess.run([mount, "-t", "tmpfs", "-o", "size=4m", "p2phub-test", at], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"cannot mount a tmpfs here: {done.stderr.decode().strip()}")
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", at], check=True)


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as stream, pytest.raises(OSError, match="No space"):
        stream.writelines(bytes(4096) for _ in range(10_000))


@pytest.mark.covers("F04")
def test_a_disk_that_fills_up_on_the_way_keeps_what_came_and_resumes_when_there_is_room(
    tmp_path: Path, small_disk: Path
) -> None:
    content = content_of({f"{number:03}": bytes([number]) * 30_000 for number in range(100)})
    store = FilesystemStore(tmp_path / "home")
    folder = small_disk / "out"
    arrival = store.arrive(content.manifest, content.root, content.table, folder, force=False)
    deliver(arrival, content, range(40))
    other = small_disk / "other people's"
    fill(other)
    with pytest.raises((OSError, DiskFull)):  # A carrier's own write, or our opening for it.
        deliver(arrival, content, range(40, 100))
    arrival.sync()
    held = arrival.have
    arrival.close()
    assert len(held) >= 40
    with pytest.raises(DiskFull):
        store.arrive(content.manifest, content.root, content.table, folder, force=False)
    other.unlink()
    again = store.arrive(content.manifest, content.root, content.table, folder, force=False)
    assert not held - again.have
    deliver_rest(again, content)
    again.finish()
    assert files_below(folder) == content.files
    store.close()


@pytest.mark.covers("F04", "T26")
def test_large_files_take_their_room_before_the_first_byte(
    tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_on_a_disk(monkeypatch)  # In memory room is only looked for: test_tmpfs.
    content = content_of({"large": bytes(3 << 20)})
    store = FilesystemStore(tmp_path / "home")
    arrival = store.arrive(content.manifest, content.root, content.table, small_disk / "out", force=False)
    assert shutil.disk_usage(small_disk).used >= 3 << 20
    arrival.close()
    assert os.listdir(small_disk) == []
    (small_disk / "other").write_bytes(bytes(2 << 20))
    with pytest.raises(DiskFull):
        store.arrive(content.manifest, content.root, content.table, small_disk / "out", force=False)
    assert os.listdir(small_disk) == ["other"]
    store.close()


# --- folders that are not as they should be --------------------------------------------------------------------------


@pytest.mark.covers("F06")
def test_a_folder_that_vanishes_is_a_clear_error(scene: DiskScene) -> None:
    arrival = arrive(scene, CONTENT)
    deliver(arrival, CONTENT, range(3))
    shutil.rmtree(scene.folder)
    with pytest.raises(DiskError, match="gone"):
        arrival.sync()
    with pytest.raises(DiskError):
        arrival.plan.open(0)
    arrival.close()


@covers("F06")
@pytest.mark.parametrize("anew", [False, True], ids=["nothing", "another folder"])
def test_a_folder_that_is_moved_on_the_way_is_not_recorded_where_it_was_and_is_gone_on_with_when_it_is_back(
    scene: DiskScene, tmp_path: Path, anew: bool
) -> None:
    arrival = arrive(scene, CONTENT)
    deliver(arrival, CONTENT, range(3))
    arrival.sync()
    scene.folder.rename(tmp_path / "moved")
    if anew:
        scene.folder.mkdir()
    deliver_rest(arrival, CONTENT)
    with pytest.raises(DiskError, match=r"was moved.* the files are in the folder that was moved"):
        arrival.finish()
    arrival.close()
    assert scene.store.holdings() == ()
    if anew:
        scene.folder.rmdir()
    (tmp_path / "moved").rename(scene.folder)
    again = arrive(scene, CONTENT)
    assert deliver_rest(again, CONTENT) == []
    again.finish()
    assert scene.files() == CONTENT.files


@covers("F06")
def test_a_folder_within_that_is_moved_when_its_files_had_come_is_not_recorded(scene: DiskScene) -> None:
    content = content_of({"d/a": b"a" * 900, "d/b": b"b" * 900}, 1_000)
    arrival = arrive(scene, content)
    deliver_rest(arrival, content)
    arrival.sync()
    (scene.folder / "d").rename(scene.folder / "moved")
    with pytest.raises(ContentChanged, match="d/a was moved or removed, or a folder on the way to it"):
        arrival.finish()
    arrival.close()
    assert scene.store.holdings() == ()


@covers("F06")
@pytest.mark.parametrize("force", [False, True])
def test_a_mounted_folder_within_is_refused_before_anything_is_fetched_for_it(
    tmp_path: Path, small_disk: Path, force: bool
) -> None:
    paths = ["small/a", "small/deeper/b", "small/deeper/c"]
    content = content_of({"beside": b"x", **{path: path.encode() * 100 for path in paths}}, 1_000)
    (small_disk / "a").write_bytes(b"another")
    store = FilesystemStore(tmp_path / "home")
    with pytest.raises(Occupied, match=r"small/deeper/b \(another file system is mounted on its way\)") as refused:
        store.arrive(content.manifest, content.root, content.table, tmp_path, force=force)
    assert "small/deeper/c" in refused.value.message
    assert "--force" not in (refused.value.hint or "")
    assert os.listdir(small_disk) == ["a"]
    for path in paths:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content.files[path])
    arrival = store.arrive(content.manifest, content.root, content.table, tmp_path, force=force)
    assert len(deliver_rest(arrival, content)) == 1
    arrival.finish()
    assert store.holdings()[0].complete
    store.close()


def test_what_cannot_be_renamed_into_a_mounted_folder_is_a_clear_error(scene: DiskScene, disk: FaultyDisk) -> None:
    arrival = arrive(scene, CONTENT)
    deliver_rest(arrival, CONTENT)
    disk.faults = {"rename_new": errno.EXDEV}
    with pytest.raises(DiskError, match="another file system is mounted"):
        arrival.sync()
    arrival.close()


@pytest.mark.covers("F06")
def test_a_read_only_place_is_a_clear_error(tmp_path: Path, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    store = FilesystemStore(tmp_path / "home")
    with pytest.raises(DiskError, match="read-only"):
        store.arrive(CONTENT.manifest, CONTENT.root, CONTENT.table, small_disk / "out", force=False)
    store.close()
    with pytest.raises(DiskError, match="read-only"):
        FilesystemStore(small_disk / "home")


def test_a_destination_that_is_a_file_is_a_clear_error(scene: DiskScene) -> None:
    scene.folder.write_bytes(b"mine")
    with pytest.raises(DiskError):
        arrive(scene, CONTENT)
    assert scene.folder.read_bytes() == b"mine"


@pytest.mark.covers("F10")
def test_too_many_open_files_is_a_clear_error_and_leaks_none(scene: DiskScene) -> None:
    arrival = arrive(scene, CONTENT)
    open_now = len(os.listdir("/proc/self/fd"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 16, hard))
    try:
        with pytest.raises(DiskError, match="too many open files"):
            taken.extend(arrival.plan.open(0) for _ in range(64))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in taken:
            os.close(fd)
    deliver_rest(arrival, CONTENT)
    arrival.finish()
    assert scene.files() == CONTENT.files


def test_an_arrival_closes_every_descriptor(scene: DiskScene) -> None:
    hold(scene, content_of({"warm": b"up"}))  # Opens the index, which stays open.
    scene.remove("warm")
    for how in ("close", "finish"):
        with all_closed_again():
            arrival = arrive(scene, CONTENT)
            deliver_rest(arrival, CONTENT)
            arrival.finish() if how == "finish" else arrival.close()


# --- links -----------------------------------------------------------------------------------------------------------


@covers("T22")
@pytest.mark.parametrize("link", ["sub", "sub/c.bin", ".p2phub"])
def test_nothing_is_written_through_a_link(scene: DiskScene, tmp_path: Path, link: str) -> None:
    target = tmp_path / "elsewhere"
    target.mkdir()
    (target / "c.bin").write_bytes(b"theirs")
    (scene.folder / link).parent.mkdir(parents=True)
    (scene.folder / link).symlink_to(target / "c.bin" if link.endswith("c.bin") else target)
    with pytest.raises(DiskError):
        arrive(scene, CONTENT)
    assert files_below(target) == {"c.bin": b"theirs"}
    assert (scene.folder / link).is_symlink()


@covers("T22")
def test_a_link_that_appears_on_the_way_is_not_written_through(scene: DiskScene, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.mkdir()
    arrival = arrive(scene, CONTENT)
    deliver(arrival, CONTENT, CONTENT.whole)
    (scene.folder / "sub").symlink_to(target)
    with pytest.raises(Occupied, match=r"sub/c\.bin"):
        arrival.finish()
    arrival.close()
    assert os.listdir(target) == []


@covers("T22")
def test_with_force_a_link_is_replaced_and_what_it_led_to_is_not_touched(scene: DiskScene, tmp_path: Path) -> None:
    (tmp_path / "theirs").write_bytes(b"theirs")
    scene.folder.mkdir()
    (scene.folder / "big.bin").symlink_to(tmp_path / "theirs")
    arrival = arrive(scene, CONTENT, force=True)
    deliver_rest(arrival, CONTENT)
    arrival.finish()
    assert scene.files() == CONTENT.files
    assert not (scene.folder / "big.bin").is_symlink()
    assert (tmp_path / "theirs").read_bytes() == b"theirs"


@covers("T22")
def test_a_destination_that_is_a_link_is_refused_but_a_link_above_it_is_the_users_way_to_name_it(
    scene: DiskScene, tmp_path: Path
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(DiskError, match="link"):
        scene.store.arrive(CONTENT.manifest, CONTENT.root, CONTENT.table, tmp_path / "link", force=False)
    below = tmp_path / "link" / "out"
    arrival = scene.store.arrive(CONTENT.manifest, CONTENT.root, CONTENT.table, below, force=False)
    deliver_rest(arrival, CONTENT)
    arrival.finish()
    assert files_below(tmp_path / "real" / "out") == CONTENT.files


@covers("T22")
def test_an_unfinished_file_with_a_second_name_is_not_written_to(scene: DiskScene) -> None:
    arrival = arrive(scene, CONTENT)
    deliver(arrival, CONTENT, [0])
    arrival.close()
    (partials,) = (path for path in (scene.folder / ".p2phub").iterdir() if path.is_dir())
    os.link(partials / "0", scene.folder / "mine")
    with pytest.raises(Occupied):
        arrive(scene, CONTENT)


# --- what someone did to what was left -------------------------------------------------------------------------------


def left_by(scene: DiskScene) -> Path:
    """Leave an attempt with ten durable chunks; return its folder."""
    arrival = arrive(scene, CONTENT)
    deliver(arrival, CONTENT, range(10))
    arrival.sync()
    arrival.close()
    (partials,) = (path for path in (scene.folder / ".p2phub").iterdir() if path.is_dir())
    return partials


@covers("F05")
@pytest.mark.parametrize("harm", ["truncate", "zero", "delete", "journal"])
def test_harm_to_an_unfinished_file_or_its_journal_is_found(scene: DiskScene, harm: str) -> None:
    partials = left_by(scene)
    if harm == "truncate":
        os.truncate(partials / "0", 3_500)
    elif harm == "zero":
        (partials / "0").write_bytes(bytes(40_000))
    elif harm == "delete":
        (partials / "0").unlink()
    else:
        (partials / "journal").write_bytes(b"garbage" * 100)
    again = arrive(scene, CONTENT)
    assert again.have == RangeSet.of([(0, 3)] if harm == "truncate" else [])
    deliver_rest(again, CONTENT)
    again.finish()
    assert scene.files() == CONTENT.files


@covers("F05", "T54")
@pytest.mark.parametrize("name", ["journal", "hints.0", "hints.1"])
def test_a_journal_that_never_ends_costs_bounded_memory_and_only_work(
    scene: DiskScene, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    partials = left_by(scene)
    monkeypatch.setattr(limits, "JOURNAL_BYTES_MAX", 1 << 20)
    os.truncate(partials / name, 1 << 40)  # A hole: more than any memory, and no bytes on the disk.
    again = arrive(scene, CONTENT)
    deliver_rest(again, CONTENT)
    again.finish()
    assert scene.files() == CONTENT.files


@covers("F05")
def test_a_pipe_in_place_of_a_journal_keeps_nobody_waiting(scene: DiskScene) -> None:
    partials = left_by(scene)
    (partials / "journal").unlink()
    os.mkfifo(partials / "journal", 0o600)
    with pytest.raises(DiskError, match="not a file"):
        arrive(scene, CONTENT)


@covers("F02")
@pytest.mark.parametrize("name", ["journal", "hints.0"])
def test_a_journal_cut_anywhere_never_claims_more(scene: DiskScene, tmp_path: Path, name: str) -> None:
    partials = left_by(scene)
    arrival = arrive(scene, CONTENT)
    deliver(arrival, CONTENT, range(10, 20))
    arrival.close()
    whole = (partials / name).read_bytes()
    shutil.copytree(scene.folder, tmp_path / "kept")
    for length in range(0, len(whole) + 1, 7):
        shutil.rmtree(scene.folder)
        shutil.copytree(tmp_path / "kept", scene.folder)
        (partials / name).write_bytes(whole[:length])
        again = arrive(scene, CONTENT)
        assert not again.have - RangeSet.of([(0, 20)])
        again.close()


@covers("F05")
@pytest.mark.parametrize("content", [b"?" * 900, CONTENT.files["small.bin"]], ids=["edited", "only touched"])
def test_a_placed_file_that_was_written_to_in_place_is_recorded_only_if_it_is_right(
    scene: DiskScene, content: bytes
) -> None:
    small = [entry.path for entry in CONTENT.manifest.files].index("small.bin")
    arrival = arrive(scene, CONTENT)
    deliver(arrival, CONTENT, range(*CONTENT.table.span(small)))
    arrival.sync()
    at = scene.folder / "small.bin"
    was = at.stat()
    at.write_bytes(content)
    os.utime(at, ns=(was.st_atime_ns, was.st_mtime_ns + 10**9))
    assert at.stat().st_ino == was.st_ino
    deliver_rest(arrival, CONTENT)
    if content == CONTENT.files["small.bin"]:
        arrival.finish()
        assert scene.store.holdings()[0].complete
        return
    with pytest.raises(ContentChanged, match=r"small\.bin"):
        arrival.finish()
    arrival.close()
    assert at.read_bytes() == content
    assert scene.store.holdings() == ()


def test_a_placed_file_that_was_changed_afterwards_is_in_the_way(scene: DiskScene) -> None:
    small = [entry.path for entry in CONTENT.manifest.files].index("small.bin")
    arrival = arrive(scene, CONTENT)
    deliver(arrival, CONTENT, range(*CONTENT.table.span(small)))
    arrival.sync()
    arrival.close()
    scene.put("small.bin", b"?" * 900)
    with pytest.raises(Occupied, match=r"small\.bin"):
        arrive(scene, CONTENT)


def test_a_placed_file_that_was_deleted_is_fetched_again(scene: DiskScene) -> None:
    small = [entry.path for entry in CONTENT.manifest.files].index("small.bin")
    arrival = arrive(scene, CONTENT)
    deliver(arrival, CONTENT, range(*CONTENT.table.span(small)))
    arrival.sync()
    arrival.close()
    scene.remove("small.bin")
    again = arrive(scene, CONTENT)
    assert again.have == RangeSet()
    deliver_rest(again, CONTENT)
    again.finish()
    assert scene.files() == CONTENT.files


@covers("T53")
def test_a_file_that_is_back_in_its_place_at_the_last_moment_is_not_replaced(
    scene: DiskScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrival = arrive(scene, CONTENT)
    scene.put("small.bin", b"in the way for a while")
    deliver_rest(arrival, CONTENT)
    arrival.sync()
    scene.remove("small.bin")
    note_placed = Places._note_placed

    def put_back(places: Places, file: int, found: Fingerprint) -> None:
        scene.put("small.bin", b"the user's own")
        note_placed(places, file, found)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(Places, "_note_placed", put_back)
        with pytest.raises(Occupied, match=r"small\.bin"):
            arrival.finish()
    assert scene.files()["small.bin"] == b"the user's own"
    scene.remove("small.bin")
    arrival.finish()
    assert scene.files() == CONTENT.files


@covers("T53")
def test_a_kept_file_that_changes_on_the_way_is_noticed_before_done(scene: DiskScene) -> None:
    scene.put("small.bin", CONTENT.files["small.bin"])
    arrival = arrive(scene, CONTENT)
    deliver_rest(arrival, CONTENT)
    scene.put("small.bin", b"?" * 900)
    with pytest.raises(ContentChanged, match=r"small\.bin"):
        arrival.finish()
    arrival.close()


def test_an_attempt_that_got_nothing_leaves_no_trace_of_the_folders_it_made(scene: DiskScene) -> None:
    target = scene.folder / "a" / "b"
    scene.store.arrive(CONTENT.manifest, CONTENT.root, CONTENT.table, target, force=False).close()
    assert not scene.folder.exists()


def test_what_is_refused_leaves_the_folder_as_it_was(scene: DiskScene) -> None:
    scene.put("small.bin", b"mine")
    with pytest.raises(Occupied):
        arrive(scene, CONTENT)
    assert os.listdir(scene.folder) == ["small.bin"]


def test_files_get_the_modes_that_the_user_asks_for(scene: DiskScene) -> None:
    old = os.umask(0o027)
    try:
        arrival = arrive(scene, CONTENT)
        deliver_rest(arrival, CONTENT)
        arrival.finish()
    finally:
        os.umask(old)
    assert stat.S_IMODE((scene.folder / "big.bin").stat().st_mode) == 0o640
    assert stat.S_IMODE((scene.folder / "sub").stat().st_mode) == 0o750


# --- cost ------------------------------------------------------------------------------------------------------------


def test_many_small_files_share_their_syncs(scene: DiskScene, disk: FaultyDisk) -> None:
    content = content_of({f"d{number % 50}/{number:04}": b"%d" % number for number in range(1_000)})
    arrival = arrive(scene, content)
    disk.calls.clear()
    deliver(arrival, content, content.whole)
    arrival.finish()
    assert sum(disk.calls.get(call, 0) for call in ("fdatasync", "fsync", "syncfs")) < 40
    assert scene.files() == content.files
