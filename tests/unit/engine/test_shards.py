"""Which files are one model: what the index says counts as far as it holds, and layouts say where a tensor stands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from p2phub import limits
from p2phub.engine.choice import Choice
from p2phub.engine.choosing import Choosing
from p2phub.formats import layout_of
from p2phub.identity import PeerId
from p2phub.observe import Remark
from tests.support.content import Published, content_of
from tests.support.reading import reader

STEP = 64
INDEX = "model.safetensors.index.json"
SHARDS = {"one.safetensors": ("a", "b"), "two.safetensors": ("c",)}
TRUE = {"a": "one.safetensors", "b": "one.safetensors", "c": "two.safetensors"}


def shard(*names: str) -> bytes:
    return save({name: np.full(64, ord(name), np.uint8) for name in names})


def index_of(weight_map: object) -> bytes:
    return json.dumps({"metadata": {}, "weight_map": weight_map}).encode()


def make(
    folder: Path,
    files: Mapping[str, bytes],
    tensors: tuple[str, ...] = ("*",),
    *,
    exclude: tuple[str, ...] = (),
) -> tuple[dict[str, dict[str, int]], list[Remark]]:
    """Return by path what was made, each tensor with the letter that it holds, and the remarks."""
    content = content_of(dict(files), STEP)
    layouts = {path: layout_of(path, len(data), reader(data)) for path, data in files.items() if "index" not in path}
    chosen = Choosing(Choice(tensors=tensors, exclude=exclude)).choose(content.manifest, content.table, layouts)
    plan = Published(content, folder, held=chosen.selected.chunks).offer(content.root, PeerId(bytes(32))).plan
    made, remarks = chosen.make(plan, content.manifest)
    paths = [entry.path for entry in content.manifest.files]
    found: dict[str, dict[str, int]] = {}
    for each in made:
        parts = (p if isinstance(p, bytes) else files[paths[p.file]][p.start : p.stop] for p in each.parts)  # type: ignore[union-attr]
        found[each.path] = {name: int(array[0]) for name, array in load(b"".join(parts)).items()}
    return found, remarks


def letters(names: str) -> dict[str, int]:
    return {name: ord(name) for name in names}


FILES = {path: shard(*names) for path, names in SHARDS.items()}
BY_NAME = {"one.selected.safetensors": letters("ab"), "two.selected.safetensors": letters("c")}
ONE = {"model.selected.safetensors": letters("abc")}


def test_shards_that_an_index_names_are_one_model_whatever_they_are_called(tmp_path: Path) -> None:
    assert make(tmp_path / "1", FILES) == (BY_NAME, [])
    assert make(tmp_path / "2", FILES | {INDEX: index_of(TRUE)}) == (ONE, [])
    below = {f"x/{path}": data for path, data in (FILES | {INDEX: index_of(TRUE)}).items()}
    assert make(tmp_path / "3", below) == ({"x/model.selected.safetensors": letters("abc")}, [])


def test_an_index_of_another_folder_or_one_that_was_excluded_says_nothing(tmp_path: Path) -> None:
    above = {f"x/{path}": data for path, data in FILES.items()} | {INDEX: index_of(TRUE)}
    assert make(tmp_path / "1", above)[0].keys() == {f"x/{path}" for path in BY_NAME}
    files = FILES | {INDEX: index_of(TRUE)}
    assert make(tmp_path / "2", files, exclude=("*.json",)) == (BY_NAME, [])


@pytest.mark.parametrize("data", [b"", b"{", index_of({"a": 1}), index_of([])])
def test_a_damaged_index_leaves_names_and_is_told_of(tmp_path: Path, data: bytes) -> None:
    found, [remark] = make(tmp_path, FILES | {INDEX: data})
    assert found == BY_NAME
    assert remark.path == INDEX
    assert "told by their names" in remark.what


def test_an_index_that_is_too_large_is_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = index_of(TRUE)
    monkeypatch.setattr(limits, "WEIGHT_MAP_BYTES_MAX", len(data))
    assert make(tmp_path / "1", FILES | {INDEX: data})[0] == ONE
    monkeypatch.setattr(limits, "WEIGHT_MAP_BYTES_MAX", len(data) - 1)
    assert make(tmp_path / "2", FILES | {INDEX: data}) == (BY_NAME, [])


def test_a_tensor_is_taken_from_where_its_layout_has_it_whatever_the_index_says(tmp_path: Path) -> None:
    lie = {"a": "two.safetensors", "b": "nowhere.safetensors", "c": "../../etc/passwd", "d": "one.safetensors"}
    found, [remark] = make(tmp_path, FILES | {INDEX: index_of({**lie, "c": "two.safetensors"})})
    assert found == ONE
    assert remark == Remark(
        INDEX, "does not say of 'a' that it is in one.safetensors, where it was taken from, and likewise of 1 more"
    )
    assert make(tmp_path / "2", FILES | {INDEX: index_of({"c": "../../etc/passwd"})}) == (BY_NAME, [])


def test_an_index_that_would_put_two_tensors_of_one_name_together_is_not_believed(tmp_path: Path) -> None:
    files = {"one.safetensors": shard("a", "b"), "two.safetensors": shard("a")}
    index = index_of({"a": "one.safetensors", "b": "two.safetensors"})
    found, [remark] = make(tmp_path, files | {INDEX: index})
    assert found == {"one.selected.safetensors": letters("ab"), "two.selected.safetensors": letters("a")}
    assert "two tensors called 'a'" in remark.what


def test_a_shard_that_two_indexes_claim_is_told_by_its_name(tmp_path: Path) -> None:
    other = index_of({"c": "two.safetensors"})
    found, remarks = make(tmp_path, FILES | {INDEX: index_of(TRUE), "other.safetensors.index.json": other})
    assert (found, remarks) == (
        {"model.selected.safetensors": letters("ab"), "two.selected.safetensors": letters("c")},
        [],
    )
