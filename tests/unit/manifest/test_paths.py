"""Safe paths. Rules one by one stand in the vectors; here is what holds for all paths."""

from __future__ import annotations

import os.path
import posixpath
import unicodedata
from pathlib import PureWindowsPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2phub.errors import Malformed
from p2phub.manifest import check_path, check_paths
from tests.support.covers import covers

nasty = st.text(st.sampled_from("ab.. /\\:~\0\nCONcon1ßüÜ\u0308\u202e\u200d*$"), max_size=12)


def is_safe(path: str) -> bool:
    try:
        check_path(path)
    except Malformed:
        return False
    return True


@settings(max_examples=500)
@given(st.one_of(nasty, st.text(max_size=30)))
@covers("T21", "T24")
def test_a_safe_path_stays_inside_the_folder_on_every_system(path: str) -> None:
    if not is_safe(path):
        return
    assert posixpath.normpath(path) == path
    assert os.path.join("root", path).startswith("root/")
    windows = PureWindowsPath("C:/root") / path
    assert windows.parts[:2] == ("C:\\", "root")
    assert windows.parts[2:] == tuple(path.split("/"))
    assert not windows.is_reserved()
    assert not {unicodedata.category(letter) for letter in path} & {"Cc", "Cs", "Zl", "Zp"}
    assert all(len(part.encode()) <= 255 for part in path.split("/"))


@settings(max_examples=300)
@given(st.lists(nasty, max_size=6))
@covers("T23")
def test_one_by_one_and_together_are_judged_alike_and_in_any_order(paths: list[str]) -> None:
    def verdict(each: list[str]) -> bool:
        try:
            check_paths(each)
        except Malformed:
            return False
        return True

    together = verdict(paths)
    assert together == verdict(paths[::-1])
    if together:
        assert all(map(is_safe, paths))
        folded = [unicodedata.normalize("NFC", path.casefold()) for path in paths]
        assert len(set(folded)) == len(paths)
        assert not any(other.startswith(path + "/") for path in folded for other in folded)


def test_a_collision_names_both_paths() -> None:
    with pytest.raises(Malformed, match=r"README\.md.*readme\.md"):
        check_paths(["a", "README.md", "b", "readme.md"])


def test_time_is_linear_in_the_number_of_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed: how often a part of a path is looked at."""
    from p2phub.manifest import paths as room

    looked = 0
    check_part = room._check_part

    def counted(part: str, path: str) -> None:
        nonlocal looked
        looked += 1
        check_part(part, path)

    monkeypatch.setattr(room, "_check_part", counted)
    deep = "/".join("abcdefghijklmnopqrstuvwxyz")
    check_paths(f"{deep}/{number}" for number in range(2000))
    assert looked == 2000 + 26
