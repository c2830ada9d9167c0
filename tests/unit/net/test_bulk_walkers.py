"""What a child serves it opens in folders that the parent opened; what is not there just so is the parent's to open."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from p2phub.content import InFolder, Walker
from p2phub.errors import ContentChanged, HubError
from p2phub.net.bulk import walkers
from p2phub.net.bulk.post import Letter
from p2phub.net.bulk.walkers import HandedFile, NeighbourWalker, neighbours_out
from p2phub.store.folders import FolderWalk, fingerprint
from tests.support.opening import all_closed_again, names_opened

PATHS = ("a/one", "a/two", "b/three", "c/linked", "top")


class Parent:
    """Answers as the daemon does, for the files of PATHS as they were when it was made."""

    def __init__(self, folder: Path) -> None:
        self._walk = FolderWalk(folder)
        self._seen = [fingerprint(os.stat(folder / path)) for path in PATHS]
        self.asked: list[int] = []
        self.opened: list[int] = []
        self.doubted: set[int] = set()

    def expect(self, files: Sequence[int]) -> None:
        pass

    def open(self, file: int) -> HandedFile:
        found = self._walk.open(PATHS[file], self._seen[file])
        return HandedFile(found.descriptor, found.steady)

    def in_folder(self, file: int) -> InFolder | None:
        if file in self.doubted:
            raise ContentChanged("it is in doubt")
        return self._walk.in_folder(PATHS[file], self._seen[file])

    def close(self) -> None:
        self._walk.close()

    def neighbours(self, first: int) -> tuple[Letter, list[int]]:
        self.asked.append(first)
        walker: Walker = self
        return neighbours_out(walker, first, len(PATHS))

    def open_files(self, files: Sequence[int]) -> list[HandedFile | HubError]:
        self.opened += files
        return [self._opened(file) for file in files]

    def _opened(self, file: int) -> HandedFile | HubError:
        try:
            return self.open(file)
        except HubError as error:
            return error


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path in ("a/one", "a/two", "b/three", "top", "d/linked"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    (tmp_path / "c").symlink_to("d")
    return tmp_path


@pytest.fixture
def parent(folder: Path) -> Iterator[Parent]:
    with all_closed_again():
        parent = Parent(folder)
        yield parent
        parent.close()


def content(walker: NeighbourWalker, file: int) -> str:
    opened = walker.open(file)
    try:
        assert opened.unchanged()
        return os.pread(opened.descriptor, 99, 0).decode()
    finally:
        opened.close()


def test_one_question_is_enough_for_all_neighbours_and_a_link_on_the_way_is_the_parents_to_follow(
    parent: Parent,
) -> None:
    walker = NeighbourWalker(parent.neighbours, parent.open_files)
    assert [content(walker, file) for file in (0, 1, 2, 3, 4, 1)] == [
        *("a/one", "a/two", "b/three", "d/linked", "top", "a/two")
    ]
    assert parent.asked == [0]
    assert parent.opened == [3]
    walker.close()


def test_who_goes_back_asks_again(parent: Parent) -> None:
    walker = NeighbourWalker(parent.neighbours, parent.open_files)
    assert [content(walker, file) for file in (2, 0, 4)] == ["b/three", "a/one", "top"]
    assert parent.asked == [2, 0]
    walker.close()


def test_files_in_more_folders_than_one_letter_carries_are_asked_for_in_turn(
    parent: Parent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walkers, "FOLDERS_AT_ONCE", 1)
    walker = NeighbourWalker(parent.neighbours, parent.open_files)
    assert [content(walker, file) for file in (0, 1, 2, 4)] == ["a/one", "a/two", "b/three", "top"]
    assert parent.asked == [0, 2, 4]
    walker.close()


def replaced(file: Path) -> None:
    file.with_name("new").write_text("other")
    file.with_name("new").rename(file)


def linked(file: Path) -> None:
    file.unlink()
    file.symlink_to("/etc/hostname")


@pytest.mark.parametrize("change", [replaced, linked, Path.unlink, lambda file: file.write_text("longer than before")])
def test_what_is_not_as_it_was_hashed_is_never_read_from_its_folder(
    parent: Parent, folder: Path, change: Callable[[Path], object]
) -> None:
    walker = NeighbourWalker(parent.neighbours, parent.open_files)
    assert content(walker, 0) == "a/one"
    change(folder / "a/two")
    with pytest.raises(ContentChanged):
        walker.open(1)
    assert parent.opened == [1]
    assert content(walker, 2) == "b/three"
    walker.close()


def test_what_is_no_file_any_more_is_not_even_opened(
    parent: Parent, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walker = NeighbourWalker(parent.neighbours, parent.open_files)
    walker.open(0).close()
    (folder / "a/two").unlink()
    os.mkfifo(folder / "a/two")
    opened = names_opened(monkeypatch)
    with pytest.raises(ContentChanged):
        walker.open(1)
    assert not any(name.endswith("two") for name in opened)
    walker.close()


def test_a_file_that_is_replaced_between_look_and_open_is_seen_to_have_changed(
    parent: Parent, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walker = NeighbourWalker(parent.neighbours, parent.open_files)
    walker.open(0).close()
    status = os.stat(folder / "a/two")
    replaced(folder / "a/two")
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", lambda *path, **how: status)  # As it looked a moment ago.
        found = walker.open(1)
    assert not found.unchanged()
    found.close()
    walker.close()


def test_a_file_in_doubt_is_refused_by_the_parent_and_its_neighbours_are_not(parent: Parent) -> None:
    parent.doubted = {1}
    walker = NeighbourWalker(parent.neighbours, parent.open_files)
    assert [content(walker, file) for file in (0, 1, 2)] == ["a/one", "a/two", "b/three"]
    assert parent.opened == [1]
    walker.close()
