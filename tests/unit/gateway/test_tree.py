"""What stands in a version, page by page."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from p2phub.gateway.shelf import File
from p2phub.gateway.tree import Folder, find_entry, find_file, page_below

PATHS = ["a", "b-c/x", "b/c/d", "b/c/e", "b/f", "b0", "g/h/i/j", "ü/ö"]
FILES = [File(path, 1, "0" * 64) for path in sorted(PATHS)]


def listed(folder: str = "", *, recursive: bool, limit: int = 1000, files: list[File] = FILES) -> list[str] | None:
    """Return the paths of all pages, folders with a slash."""
    found: list[str] = []
    cursor: int | None = 0
    while cursor is not None:
        page = page_below(files, folder, recursive=recursive, cursor=cursor, limit=limit)
        if page is None:
            return None
        entries, cursor = page
        assert entries or cursor is None
        found += [f"{entry.path}/" if isinstance(entry, Folder) else entry.path for entry in entries]
    return found


def test_one_level_has_files_and_folders_each_once() -> None:
    assert listed(recursive=False) == ["a", "b-c/", "b/", "b0", "g/", "ü/"]
    assert listed("b", recursive=False) == ["b/c/", "b/f"]
    assert listed("b/c", recursive=False) == ["b/c/d", "b/c/e"]


def test_all_levels_have_each_folder_before_what_stands_in_it() -> None:
    below_b = ["b/c/", "b/c/d", "b/c/e", "b/f"]
    everything = ["a", "b-c/", "b-c/x", "b/", *below_b, "b0", "g/", "g/h/", "g/h/i/", "g/h/i/j", "ü/", "ü/ö"]
    assert listed(recursive=True) == everything
    assert listed("b", recursive=True) == below_b


def test_what_is_no_folder_has_no_page_and_the_top_always_has_one() -> None:
    for folder in ("nope", "a", "b/", "b/c/d", "..", "/", "b/c/..", "B"):
        assert listed(folder, recursive=True) is None
    assert listed(recursive=False, files=[]) == []


def test_a_cursor_from_anywhere_gives_no_more_than_there_is() -> None:
    for cursor in (0, 3, len(FILES), 10**9):
        assert page_below(FILES, "b", recursive=True, cursor=cursor, limit=10) is not None


def test_a_path_is_found_exactly_or_not_at_all() -> None:
    assert find_file(FILES, "b/c/d") == File("b/c/d", 1, "0" * 64)
    for path in ("", "b", "b/c/", "b//c/d", "./a", "a/", "../a", "A", "b/c/../c/d"):
        assert find_file(FILES, path) is None
    assert find_entry(FILES, "b/c") == Folder("b/c")
    for path in ("", "b/", "nope", "b/c/d/e"):
        assert find_entry(FILES, path) is None


_PARTS = st.lists(st.sampled_from(["a", "b", "a-", "a0", "ü", "A.", "z z"]), min_size=1, max_size=4).map("/".join)


@given(st.sets(_PARTS, max_size=12), st.integers(1, 5), st.booleans())
def test_pages_of_any_size_are_the_whole_in_one(paths: set[str], limit: int, recursive: bool) -> None:
    kept = sorted(path for path in paths if not any(other.startswith(path + "/") for other in paths))
    files = [File(path, 1, "0" * 64) for path in kept]
    whole = listed(recursive=recursive, files=files)
    assert whole is not None
    assert listed(recursive=recursive, limit=limit, files=files) == whole
    assert len(set(whole)) == len(whole)
    folders = {path[:at] + "/" for path in kept for at in range(len(path)) if path[at] == "/"}
    wanted = set(kept) | folders if recursive else {path.partition("/")[0] + "/" * ("/" in path) for path in kept}
    assert set(whole) == wanted
