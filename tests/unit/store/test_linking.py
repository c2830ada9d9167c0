"""Hard links in place of copies, where the user asked for them: of which files, and what both names' holdings know."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from p2phub.content import RangeSet
from p2phub.errors import DiskError, DiskFull, Unsafe
from p2phub.formats import danger_of
from p2phub.store import Arrival, Judge, Origin, Selected, Store
from p2phub.store.database import HELD
from p2phub.store.disk import Disk
from p2phub.store.folders import fingerprint
from p2phub.store.index import Index
from tests.support.content import Content, content_of
from tests.support.opening import all_closed_again
from tests.support.stores import DiskScene, deliver_rest, hashed, put_all

FILES = {"a/weights.bin": b"w" * 100, "b.bin": bytes(range(64)), "empty": b""}
CONTENT = content_of(FILES, 16)


class Here:
    """A home that holds CONTENT in a folder, and a place to fetch to."""

    def __init__(self, tmp_path: Path, disk: Disk | None = None) -> None:
        self.scene = DiskScene(tmp_path, disk)
        self.source, self.into = self.scene.folder, tmp_path / "into"
        self.into.mkdir()

    @property
    def store(self) -> Store:
        return self.scene.store

    def hold(self, content: Content = CONTENT, origin: Origin = Origin.FETCHED, *, trusted: bool = True) -> None:
        put_all(self.scene, content)
        self.record(content, origin, trusted=trusted)

    def record(self, content: Content = CONTENT, origin: Origin = Origin.FETCHED, *, trusted: bool = True) -> None:
        files = hashed(self.scene, content, trusted=trusted)
        self.store.put_blobs(list(content.blobs.values()))
        self.store.hold(content.manifest, content.root, self.source, files, origin=origin)

    def arrive(
        self,
        content: Content = CONTENT,
        *,
        link: bool = True,
        judge: Judge | None = None,
        selected: Selected | None = None,
        force: bool = False,
    ) -> Arrival:
        self.store.put_blobs(list(content.blobs.values()))
        return self.store.arrive(
            content.manifest,
            content.root,
            content.table,
            self.into,
            force=force,
            link=link,
            judge=judge,
            selected=selected,
        )

    def fetch(self, content: Content = CONTENT, *, link: bool = True) -> list[int]:
        """Fetch all; return which chunks had to be brought."""
        arrival = self.arrive(content, link=link)
        brought = deliver_rest(arrival, content)
        arrival.finish()
        assert {path: (self.into / path).read_bytes() for path in content.files} == content.files
        return brought

    def are_one(self, path: str) -> bool:
        return os.path.samefile(self.source / path, self.into / path)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    made = Here(tmp_path)
    yield made
    made.store.close()


@pytest.mark.parametrize("origin", [Origin.FETCHED, Origin.PUBLISHED])
@pytest.mark.parametrize("trusted", [True, False])
def test_what_is_held_gets_a_further_name_and_nothing_is_brought(here: Here, origin: Origin, trusted: bool) -> None:
    here.hold(origin=origin, trusted=trusted)
    assert here.fetch() == []
    assert [os.stat(here.into / path).st_nlink for path in FILES] == [2, 2, 1]
    assert here.are_one("a/weights.bin")
    assert here.are_one("b.bin")
    assert not (here.into / ".p2phub").exists()


def test_without_being_asked_for_nothing_is_linked(here: Here) -> None:
    here.hold()
    here.fetch(link=False)
    assert not here.are_one("b.bin")


def test_files_of_other_programs_are_never_linked_nor_what_they_have_under_another_name(here: Here) -> None:
    here.hold(origin=Origin.ADOPTED)
    assert here.fetch()
    assert not here.are_one("b.bin")


def test_a_file_that_another_program_has_too_is_never_linked(here: Here, tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    here.hold()
    os.link(here.source / "b.bin", blob)
    here.record()  # As it is now, as after it was given to another program,
    number = CONTENT.manifest.number_of("b.bin")
    assert number is not None
    files = [replace(file, place=blob) for file in hashed(here.scene, CONTENT)]
    here.store.hold(CONTENT.manifest, CONTENT.root, tmp_path / "cache", files, origin=Origin.ADOPTED)  # which says so.
    assert here.fetch()
    assert not here.are_one("b.bin")
    assert here.are_one("a/weights.bin")


def test_both_holdings_know_the_file_as_it_is_now_and_trust_it_to_nobody_yet(here: Here) -> None:
    here.hold()
    here.fetch()
    assert all(holding.complete for holding in here.store.holdings(CONTENT.root))
    index = Index(here.scene.home, lambda: ())
    rows = index.holdings(CONTENT.root)
    assert {row.folder for row in rows} == {here.source, here.into}
    for row in rows:
        for file in index.files(row.id):
            path = CONTENT.manifest.files[file.number].path
            assert file.fingerprint == fingerprint(os.stat(row.folder / path))
            assert file.standing == HELD or not FILES[path]
    index.database.close()


@pytest.mark.parametrize("trusted", [True, False])
def test_a_file_that_is_not_what_was_hashed_is_not_linked(here: Here, trusted: bool) -> None:
    here.hold(trusted=trusted)
    (here.source / "b.bin").write_bytes(b"x" * 64)
    assert here.fetch()
    assert not here.are_one("b.bin")
    assert here.are_one("a/weights.bin")


def test_what_was_never_hashed_since_is_hashed_before_it_is_linked(here: Here) -> None:
    """Its fingerprint says nothing: it was written within the tick that it was hashed in."""
    here.hold()
    status = os.stat(here.source / "b.bin")
    (here.source / "b.bin").write_bytes(b"x" * 64)
    os.utime(here.source / "b.bin", ns=(status.st_mtime_ns, status.st_mtime_ns))
    here.record(trusted=False)
    assert here.fetch()
    assert not here.are_one("b.bin")


@pytest.mark.parametrize("name", ["run.sh", "lib.so"])
def test_programs_are_never_linked(here: Here, name: str) -> None:
    content = content_of({name: b"code" * 8, "tool": b"tool" * 8}, 16)
    here.hold(content)
    (here.source / "tool").chmod(0o755)
    here.record(content)
    assert len(here.fetch(content)) == 4
    assert not here.are_one(name)
    assert not here.are_one("tool")


def test_a_file_that_may_run_code_is_refused_as_ever(here: Here) -> None:
    content = content_of({"w.pkl": b"\x80\x04\x8c\x02os\x8c\x06system\x93."}, 64)
    here.hold(content)
    arrival = here.arrive(content, judge=danger_of)
    deliver_rest(arrival, content)
    with pytest.raises(Unsafe):
        arrival.finish()
    arrival.close()
    assert not (here.into / "w.pkl").exists()


def test_what_stands_there_is_not_replaced_by_a_link(here: Here) -> None:
    here.hold()
    (here.into / "b.bin").write_bytes(FILES["b.bin"])
    assert here.fetch() == []
    assert not here.are_one("b.bin")


def test_only_what_was_selected_is_linked(here: Here) -> None:
    here.hold()
    number = CONTENT.manifest.number_of("b.bin")
    assert number is not None
    selected = Selected(RangeSet.of([CONTENT.table.span(number)]), RangeSet.from_indices([number]))
    here.arrive(selected=selected).finish()
    assert here.are_one("b.bin")
    assert not (here.into / "a").exists()


class Refusing(Disk):
    """A disk that makes no hard links, for whatever reason, or has no room."""

    code: int | None = None
    full = False

    def link(self, source_fd: int, name: str, *, dir_fd: int) -> None:
        if self.code is not None:
            raise OSError(self.code, os.strerror(self.code))
        super().link(source_fd, name, dir_fd=dir_fd)


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EMLINK, errno.EPERM])
def test_where_no_link_can_be_all_is_brought_as_ever(tmp_path: Path, code: int) -> None:
    disk = Refusing()
    here = Here(tmp_path, disk)
    here.hold()
    disk.code = code
    assert len(here.fetch()) == len(CONTENT.table)
    here.store.close()


def test_a_fetch_that_cannot_begin_leaves_no_link(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    content = content_of({**FILES, "z/new.bin": b"n" * 40}, 16)
    here.hold()
    (here.into / "z").mkdir()

    def full(*_: object) -> None:
        raise DiskFull("no room")

    monkeypatch.setattr("p2phub.store.destination.Destination.need_room", full)
    with pytest.raises(DiskFull):
        here.arrive(content)
    assert list(here.into.rglob("*")) == [here.into / "z"]
    assert os.stat(here.source / "b.bin").st_nlink == 1


def test_what_was_linked_for_a_fetch_that_cannot_begin_is_held_as_before(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that goes changes the ctime, as one that comes does."""
    content = content_of({**FILES, "z/new.bin": b"n" * 40}, 16)
    here.hold()

    def full(*_: object) -> None:
        raise DiskFull("no room")

    monkeypatch.setattr("p2phub.store.destination.Destination.need_room", full)
    with pytest.raises(DiskFull):
        here.arrive(content)
    plan = here.store.read_plan(CONTENT.root)
    assert plan is not None
    for file in range(len(CONTENT.manifest.files)):
        plan.open(file).close()


def test_an_index_that_is_busy_when_links_are_recorded_ends_the_fetch_and_leaves_nothing_of_it(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.hold()

    def busy(*_: object) -> None:
        raise DiskError("in use by another process")

    with monkeypatch.context() as patched, all_closed_again():
        patched.setattr("p2phub.store.index.Index.renew", busy)
        with pytest.raises(DiskError, match="in use by another process"):
            here.arrive()
    assert list(here.into.iterdir()) == []
    assert os.stat(here.source / "b.bin").st_nlink == 1
    here.fetch()


def test_an_attempt_that_was_killed_is_gone_on_with(here: Here) -> None:
    content = content_of({**FILES, "z/new.bin": b"n" * 40}, 16)
    here.hold()
    here.arrive(content).close()
    assert here.are_one("b.bin")
    assert len(here.fetch(content)) == 3
    assert here.are_one("b.bin")
