"""New files with the content of open ones: by a link, by shared blocks, by a copy; whole or not there."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from p2phub.errors import ContentChanged
from p2phub.store import clone
from p2phub.store.clone import How, Stopped, clone_whole, make_copy
from p2phub.store.disk import Disk
from p2phub.store.folders import fingerprint
from tests.support.covers import covers

DATA = os.urandom(1000) * 300


class SharingDisk(Disk):
    """A file system that shares blocks, told apart by `shared`: the bytes get there at once, with no copy."""

    def __init__(self) -> None:
        self.shared = 0

    def clone(self, source_fd: int, target_fd: int) -> bool:
        size = os.fstat(source_fd).st_size
        os.pwrite(target_fd, os.pread(source_fd, size, 0), 0)
        self.shared += 1
        return True

    def copy_range(self, source_fd: int, target_fd: int, offset: int, length: int) -> int | None:
        raise AssertionError("what can be shared is not copied")


class PlainDisk(Disk):
    """A file system that shares nothing. `during` is called with each piece that is copied within the system, and may
    say itself how many bytes were."""

    during: Callable[[int], int | None] | None = None

    def clone(self, source_fd: int, target_fd: int) -> bool:
        return False

    def copy_range(self, source_fd: int, target_fd: int, offset: int, length: int) -> int | None:
        if self.during is not None and (said := self.during(offset)) is not None:
            return said
        return os.pwrite(target_fd, os.pread(source_fd, length, offset), offset)


class Scene:
    def __init__(self, at: Path) -> None:
        self.path = at / "source"
        self.path.write_bytes(DATA)
        self.folder = at / "out"
        self.folder.mkdir()
        self.source_fd = os.open(self.path, os.O_RDONLY)
        self.folder_fd = os.open(self.folder, os.O_RDONLY)
        self.expected = fingerprint(os.fstat(self.source_fd))

    def place(self, disk: Disk, how: How, name: str = "copy", **more: object) -> How:
        return make_copy(disk, self.source_fd, self.expected, self.folder_fd, name, how=how, **more)  # type: ignore[arg-type]

    @property
    def made(self) -> Path:
        return self.folder / "copy"

    def names(self) -> list[str]:
        return sorted(os.listdir(self.folder))

    def close(self) -> None:
        os.close(self.source_fd)
        os.close(self.folder_fd)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("how", How)
def test_whatever_the_file_system_can_the_new_file_has_the_same_bytes_and_nothing_is_left_beside_it(
    scene: Scene, how: How
) -> None:
    assert scene.place(Disk(), how) in (how, How.COPY)
    assert scene.made.read_bytes() == DATA
    assert scene.names() == ["copy"]


@pytest.mark.parametrize(
    ("disk", "wish", "done"),
    [
        (SharingDisk(), How.CLONE, How.CLONE),
        (PlainDisk(), How.CLONE, How.COPY),
        (PlainDisk(), How.COPY, How.COPY),
        (PlainDisk(), How.LINK, How.LINK),
    ],
)
def test_it_is_said_how_the_file_was_made(scene: Scene, disk: Disk, wish: How, done: How) -> None:
    assert scene.place(disk, wish) is done
    assert os.path.samefile(scene.path, scene.made) == (done is How.LINK)
    assert scene.made.read_bytes() == DATA


def test_what_may_be_shared_is_not_shared_where_a_copy_is_asked_for(scene: Scene) -> None:
    class Refusing(PlainDisk):
        def clone(self, source_fd: int, target_fd: int) -> bool:
            raise AssertionError("a copy was asked for")

    assert scene.place(Refusing(), How.COPY) is How.COPY


@pytest.mark.parametrize("how", [How.CLONE, How.COPY])
def test_an_edit_of_one_file_never_changes_the_other(scene: Scene, how: How) -> None:
    scene.place(Disk(), how)
    with scene.made.open("r+b") as file:
        file.write(b"edited")
    assert scene.path.read_bytes() == DATA
    with scene.path.open("r+b") as file:
        file.write(b"EDITED")
    assert scene.made.read_bytes() == b"edited" + DATA[6:]


def test_a_link_is_made_only_of_a_file_of_this_user(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clone.os, "geteuid", lambda: os.stat(scene.path).st_uid + 1)
    assert scene.place(PlainDisk(), How.LINK) is How.COPY
    assert scene.path.stat().st_nlink == 1


@pytest.mark.parametrize("why", [errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOENT, errno.EOPNOTSUPP])
def test_where_no_link_can_be_the_file_is_cloned_or_copied(scene: Scene, why: int) -> None:
    class Unlinking(SharingDisk):
        def link(self, source_fd: int, name: str, *, dir_fd: int) -> None:
            raise OSError(why, os.strerror(why))

    assert scene.place(Unlinking(), How.LINK) is How.CLONE
    assert scene.made.read_bytes() == DATA


def test_a_file_without_a_name_cannot_be_linked_and_is_copied(scene: Scene) -> None:
    scene.path.unlink()
    scene.expected = fingerprint(os.fstat(scene.source_fd))  # The last name gone changes the ctime.
    assert scene.place(PlainDisk(), How.LINK) is How.COPY
    assert scene.made.read_bytes() == DATA


@pytest.mark.parametrize("said", [0, None])
def test_where_the_system_copies_nothing_it_is_read_and_written(scene: Scene, said: int | None) -> None:
    class Reading(PlainDisk):
        def copy_range(self, source_fd: int, target_fd: int, offset: int, length: int) -> int | None:
            return said

    assert scene.place(Reading(), How.CLONE) is How.COPY
    assert scene.made.read_bytes() == DATA


def test_a_copy_within_the_system_that_stops_halfway_is_ended_by_hand(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clone, "PIECE_BYTES", 70_000)
    disk = PlainDisk()
    disk.during = lambda offset: 0 if offset >= 140_000 else None
    scene.place(disk, How.COPY)
    assert scene.made.read_bytes() == DATA


def test_an_empty_file_is_copied_too(scene: Scene) -> None:
    os.truncate(scene.path, 0)
    scene.expected = fingerprint(os.fstat(scene.source_fd))
    scene.place(Disk(), How.CLONE)
    assert scene.made.read_bytes() == b""


def test_the_mode_is_that_of_a_file_that_others_may_read_and_a_link_keeps_its_own(scene: Scene) -> None:
    scene.path.chmod(0o600)
    scene.expected = fingerprint(os.fstat(scene.source_fd))
    before = os.umask(0o022)
    try:
        scene.place(Disk(), How.COPY)
        scene.place(Disk(), How.LINK, "linked")
    finally:
        os.umask(before)
    assert scene.made.stat().st_mode & 0o777 == 0o644
    assert scene.path.stat().st_mode & 0o777 == 0o600


# --- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", How)
def test_a_source_that_is_not_as_it_was_hashed_is_refused_before_anything_is_made(scene: Scene, how: How) -> None:
    class Untouched(Disk):
        def open(
            self, name: str | os.PathLike[str], flags: int, mode: int = 0o666, *, dir_fd: int | None = None
        ) -> int:
            raise AssertionError("nothing is to be made")

        def link(self, source_fd: int, name: str, *, dir_fd: int) -> None:
            raise AssertionError("nothing is to be made")

    os.utime(scene.path, ns=(1, 1))
    with pytest.raises(ContentChanged):
        scene.place(Untouched(), how)
    assert scene.names() == []


@covers("T53")
def test_a_source_that_changes_while_it_is_copied_leaves_nothing_behind(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clone, "PIECE_BYTES", 70_000)
    disk = PlainDisk()

    def edit(offset: int) -> None:
        if offset == 70_000:
            with scene.path.open("r+b") as file:
                file.write(b"edited")
            os.utime(scene.path, ns=(1, 1))  # Not within the same tick of a coarse clock.

    disk.during = edit  # type: ignore[assignment]
    with pytest.raises(ContentChanged):
        scene.place(disk, How.CLONE)
    assert scene.names() == []


def test_a_source_that_becomes_shorter_leaves_nothing_behind(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clone, "PIECE_BYTES", 70_000)
    disk = PlainDisk()
    disk.during = lambda offset: os.truncate(scene.path, 80_000) if offset == 70_000 else None
    with pytest.raises(ContentChanged, match="shorter"):
        scene.place(disk, How.COPY)
    assert scene.names() == []


def test_a_source_that_changes_while_it_is_linked_leaves_nothing_behind(scene: Scene) -> None:
    class Editing(PlainDisk):
        def link(self, source_fd: int, name: str, *, dir_fd: int) -> None:
            super().link(source_fd, name, dir_fd=dir_fd)
            with scene.path.open("ab") as file:
                file.write(b"more")

    with pytest.raises(ContentChanged):
        scene.place(Editing(), How.LINK)
    assert scene.names() == []
    assert scene.path.stat().st_nlink == 1


@pytest.mark.parametrize("how", How)
@pytest.mark.parametrize("what", ["a file", "a link", "a folder"])
def test_what_is_called_so_already_is_not_replaced(scene: Scene, how: How, what: str) -> None:
    if what == "a file":
        scene.made.write_bytes(b"mine")
    elif what == "a link":
        scene.made.symlink_to("nowhere")
    else:
        scene.made.mkdir()
    before = scene.made.lstat()
    with pytest.raises(FileExistsError):
        scene.place(Disk(), how)
    assert scene.names() == ["copy"]
    assert os.path.samestat(before, scene.made.lstat())


@pytest.mark.parametrize("call", ["allocate", "copy_range", "pwrite", "fdatasync", "clone"])
@covers("F04")
def test_whatever_fails_nothing_is_left_behind(scene: Scene, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    monkeypatch.setattr(clone, "PREALLOCATE_ABOVE_BYTES", 1_000)

    def fail(*args: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    disk = PlainDisk()
    if call == "pwrite":
        disk.during = lambda offset: 0
    monkeypatch.setattr(disk, call, fail)
    with pytest.raises(OSError, match="No space"):
        scene.place(disk, How.CLONE)
    assert scene.names() == []


def test_whoever_does_not_wait_any_more_stops_it_within_a_piece(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clone, "PIECE_BYTES", 70_000)
    disk = PlainDisk()
    seen: list[int] = []
    disk.during = seen.append  # type: ignore[assignment]
    with pytest.raises(Stopped):
        scene.place(disk, How.COPY, stopped=lambda: len(seen) == 2)
    assert seen == [0, 70_000]
    assert scene.names() == []


def test_the_bytes_are_synced_unless_the_caller_syncs_them(scene: Scene) -> None:
    did: list[int] = []

    class Noting(PlainDisk):
        def fdatasync(self, fd: int) -> None:
            did.append(os.fstat(fd).st_size)

    for how in How:
        scene.place(Noting(), how, how.value)
        scene.expected = fingerprint(os.fstat(scene.source_fd))
    assert did == [len(DATA)] * len(How)
    for how in How:
        scene.place(Noting(), how, f"{how.value} unsynced", sync=False)
        scene.expected = fingerprint(os.fstat(scene.source_fd))
    assert len(did) == len(How)


# --- into a file that is open already --------------------------------------------------------------------------------


def test_a_file_with_room_for_it_shares_the_whole_content_and_no_more_than_that(scene: Scene) -> None:
    for room in (0, len(DATA), len(DATA) + 5_000):
        with (scene.folder / str(room)).open("w+b") as target:
            target.truncate(room)
            assert clone_whole(SharingDisk(), scene.source_fd, target.fileno())
        assert (scene.folder / str(room)).read_bytes() == DATA


def test_a_file_that_cannot_share_is_as_it_was(scene: Scene) -> None:
    with scene.made.open("w+b") as target:
        target.truncate(len(DATA))
        assert not clone_whole(PlainDisk(), scene.source_fd, target.fileno())
    assert scene.made.read_bytes() == bytes(len(DATA))


def test_on_the_disk_of_this_machine_a_clone_is_whole_or_nothing(scene: Scene) -> None:
    with scene.made.open("w+b") as target:
        shared = clone_whole(Disk(), scene.source_fd, target.fileno())
    assert scene.made.read_bytes() == (DATA if shared else b"")
