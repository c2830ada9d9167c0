"""The index of a model in shards: what it is called, and that whatever else stands there is refused at its own cost."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from p2phub import limits
from p2phub.formats import model_of_index, read_weight_map
from tests.support.covers import covers


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("model.safetensors.index.json", "model"),
        ("unet/a.b.safetensors.index.json", "unet/a.b"),
        ("unet/a.safetensors.index.fp16.json", "unet/a.fp16"),
        ("pytorch_model.bin.index.json", None),
        ("model.safetensors.json", None),
        (".safetensors.index.json", None),
        ("a/.safetensors.index.json", None),
    ],
)
def test_an_index_is_told_by_its_name_which_says_what_it_is_of(path: str, model: str | None) -> None:
    assert model_of_index(path) == model


def test_an_index_says_in_which_file_each_tensor_is() -> None:
    index = {"metadata": {"total_size": 3}, "weight_map": {"a": "1.safetensors", "ü": "2.safetensors"}}
    assert read_weight_map(json.dumps(index).encode()) == index["weight_map"]


@covers("T29")
@pytest.mark.parametrize(
    "data",
    [
        b"", b"{}", b"[]", b"\xff", b'{"weight_map": 3}', b'{"weight_map": {"a": 1}}', b'{"weight_map": {"a": "b"}',
        b'{"x": ' + b"[" * 100_000, b'{"weight_map": {"a": "\xff"}}',
    ],
)  # fmt: skip
def test_what_is_no_index_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no JSON of that form"):
        read_weight_map(data)


@covers("T29")
@pytest.mark.parametrize(
    "data",
    [b" " * (limits.WEIGHT_MAP_BYTES_MAX + 1), b'{"weight_map": {' + b'"":"",' * (limits.TENSORS_PER_FILE_MAX + 1)],
)
def test_an_index_that_is_too_long_is_refused_before_anything_is_made_of_it(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="too long"):
            read_weight_map(data)
        assert tracemalloc.get_traced_memory()[1] < 10_000
    finally:
        tracemalloc.stop()
