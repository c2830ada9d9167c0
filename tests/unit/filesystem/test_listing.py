"""Folders are what the paths of files make."""

from __future__ import annotations

from p2phub.filesystem.listing import Folders

FOLDERS = Folders(["a.txt", "data/x/1.parquet", "data/x/2.parquet", "data/y.txt", "z/deep/er/file"])


def test_a_folder_has_files_and_folders_by_name() -> None:
    assert FOLDERS.names("") == ["a.txt", "data", "z"]
    assert FOLDERS.names("data") == ["data/x", "data/y.txt"]
    assert "data/x" in FOLDERS
    assert "data/y.txt" not in FOLDERS
    assert "da" not in FOLDERS
    assert "" in Folders([])


def test_what_is_below_can_be_bounded_in_depth() -> None:
    everything = {
        "a.txt", "data", "data/x", "data/x/1.parquet", "data/x/2.parquet", "data/y.txt", "z", "z/deep", "z/deep/er",
        "z/deep/er/file",
    }  # fmt: skip
    assert set(FOLDERS.below("", None)) == everything
    assert set(FOLDERS.below("", 1)) == {"a.txt", "data", "z"}
    assert set(FOLDERS.below("data", 2)) == {"data/x", "data/y.txt", "data/x/1.parquet", "data/x/2.parquet"}
