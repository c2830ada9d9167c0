"""The makers of test data make what they say: real formats, exact sizes, one content per seed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from tests.support.models import disk_of, make_dataset_folder, make_safetensors_folder, tree_digest


@pytest.mark.parametrize(("bytes_total", "files"), [(16 << 10, 1), (1 << 20, 1), (1_000_003, 3), (70 << 20, 2)])
def test_a_made_model_has_exactly_the_asked_bytes_and_safetensors_opens_it(
    tmp_path: Path, bytes_total: int, files: int
) -> None:
    folder = make_safetensors_folder(tmp_path / "model", bytes_total, files)
    made = sorted(folder.glob("*.safetensors"))
    assert len(made) == files
    assert sum(path.stat().st_size for path in made) == bytes_total
    names: list[str] = []
    for path in made:
        with safe_open(path, framework="numpy") as tensors:
            names += tensors.keys()
            # Finite, so that equal tensors compare as equal.
            assert all(np.isfinite(tensors.get_tensor(name)).all() for name in tensors.keys())  # noqa: SIM118
    assert len(names) == len(set(names))
    if files > 1:
        index = json.loads((folder / "model.safetensors.index.json").read_text())
        assert sorted(index["weight_map"]) == sorted(names)


def test_one_seed_makes_one_content_and_another_seed_another(tmp_path: Path) -> None:
    first = make_safetensors_folder(tmp_path / "first", 300_000, 2, seed=1)
    again = make_safetensors_folder(tmp_path / "again", 300_000, 2, seed=1)
    other = make_safetensors_folder(tmp_path / "other", 300_000, 2, seed=2)
    assert tree_digest(first) == tree_digest(again) != tree_digest(other)


def test_a_file_too_small_for_its_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too few"):
        make_safetensors_folder(tmp_path / "model", 40)


def test_a_made_dataset_has_nested_folders_parquet_an_empty_file_and_a_name_beyond_ascii(tmp_path: Path) -> None:
    folder = make_dataset_folder(tmp_path / "dataset")
    found = tree_digest(folder)
    assert len(found) == 210
    assert sum(name.endswith(".parquet") for name in found) == 20
    assert max(name.count("/") for name in found) >= 3
    assert [name for name in found if (folder / name).stat().st_size == 0] == ["data/empty.jsonl"]
    assert [name for name in found if not name.isascii()] == ["Übersicht – 概要.md"]


def test_tree_digest_sees_each_difference_and_leaves_the_index_out(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "inner").mkdir(parents=True)
    (source / "inner" / "file").write_bytes(b"content")
    copy = tmp_path / "copy"

    def difference() -> bool:
        return tree_digest(source) != tree_digest(copy)

    shutil.copytree(source, copy)
    (copy / ".p2phub").mkdir()
    (copy / ".p2phub" / "journal").write_bytes(b"x")
    assert not difference()
    (copy / "inner" / "file").write_bytes(b"Content")
    assert difference()
    (copy / "inner" / "file").unlink()
    (copy / "inner" / "file").symlink_to(source / "inner" / "file")
    assert difference()
    (copy / "inner" / "file").unlink()
    assert difference()
    assert tree_digest(copy) == {"inner": "folder"}


def test_what_folders_take_on_disk_counts_an_inode_once_and_links_as_links(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    (first / "weights").write_bytes(bytes(1 << 20))
    (second / "same").hardlink_to(first / "weights")
    (second / "link").symlink_to(first / "weights")
    for folders in ((first, second), (first,), (second,)):
        assert 1 << 20 <= disk_of(*folders) < 3 << 19  # A link may take a block, or none.
