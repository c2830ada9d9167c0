"""Bytes to arrays: as safetensors itself reads them, and what numpy has no name for by its bits."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import quant_shape_to_byte_shape
from safetensors.numpy import save

from p2phub.api.arrays import array_of, mapped, need, read_part
from p2phub.errors import ContentChanged, UsageError
from p2phub.formats import layout_of
from tests.support.reading import reader

DTYPES = [
    np.bool_, np.uint8, np.int8, np.int16, np.uint16, np.float16, np.int32, np.uint32, np.float32, np.int64, np.uint64,
    np.float64, np.complex64,
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (3,), (2, 0, 4), (2, 3)])
def test_an_array_is_what_was_saved(dtype: type[np.generic], shape: tuple[int, ...]) -> None:
    saved = np.arange(int(np.prod(shape)), dtype=np.uint8).reshape(shape).astype(dtype)
    data = save({"t": saved})
    [span] = layout_of("x.safetensors", len(data), reader(data)).spans
    found = array_of("numpy", bytearray(data[span.start : span.stop]), span.dtype, span.shape)
    assert found.dtype == saved.dtype
    assert found.flags.writeable
    np.testing.assert_array_equal(found, saved)


@pytest.mark.parametrize(
    ("dtype", "data", "shape", "expected"),
    [
        ("BF16", b"\x80\x3f\x00\x40", (2,), np.array([0x3F80, 0x4000], np.uint16)),
        ("F8_E4M3", b"\1\2", (1, 2), np.array([[1, 2]], np.uint8)),
        ("F4", b"\x12", (2,), np.array([0x12], np.uint8)),
    ],
)
def test_of_what_numpy_has_no_name_for_there_are_the_bits(
    dtype: str, data: bytes, shape: tuple[int, ...], expected: np.ndarray
) -> None:
    found = array_of("numpy", bytearray(data), dtype, shape)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["Q4_0", "Q8_0", "Q4_K", "MXFP4"])
@pytest.mark.parametrize("rows", [(), (2, 3)])
def test_a_quantised_tensor_has_the_shape_that_the_gguf_package_gives_it(dtype: str, rows: tuple[int, ...]) -> None:
    values, length = GGML_QUANT_SIZES[GGMLQuantizationType[dtype]]
    data = bytearray(2 * length * int(np.prod(rows)))
    found = array_of("numpy", data, dtype, (*rows, 2 * values))
    assert found.dtype == np.uint8
    assert found.shape == quant_shape_to_byte_shape((*rows, 2 * values), GGMLQuantizationType[dtype])


class _Flat:
    def __init__(self, data: object, dtype: str) -> None:
        self.data, self.dtype, self.shape = data, dtype, None

    def reshape(self, shape: tuple[int, ...]) -> _Flat:
        self.shape = shape  # type: ignore[assignment]
        return self


def test_torch_gets_its_own_names_and_shares_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a stand-in with the two calls that are made of it."""
    stand_in = SimpleNamespace(
        uint8="uint8",
        bfloat16="bfloat16",
        frombuffer=lambda data, dtype: _Flat(data, dtype),
        empty=lambda shape, dtype: ("empty", shape, dtype),
    )
    monkeypatch.setitem(sys.modules, "torch", stand_in)
    need("torch")
    data = bytearray(8)
    tensor = array_of("torch", data, "BF16", [2, 2])
    assert (tensor.data, tensor.dtype, tensor.shape) == (data, "bfloat16", (2, 2))
    assert tensor.data is data
    assert array_of("torch", bytearray(), "BF16", [0, 2]) == ("empty", (0, 2), "bfloat16")
    assert array_of("torch", bytearray(2), "F4", [4]).shape is None
    assert array_of("torch", bytearray(4), "F8_E8M0", [2, 2]).shape == (2, 2)
    assert array_of("torch", bytearray(36), "Q4_0", [1, 64]).shape == (1, 36)


def test_a_framework_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UsageError, match="torch is not installed"):
        need("torch")


def test_a_file_that_is_shorter_than_it_was_is_not_read_beyond_its_end(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12345")
    with (tmp_path / "f").open("rb") as file:
        assert read_part(file.fileno(), 1, 4, "f") == b"234"
        with pytest.raises(ContentChanged):
            read_part(file.fileno(), 3, 6, "f")
        view = mapped(file.fileno(), "f")
        view[0] = 0
    assert (tmp_path / "f").read_bytes() == b"12345"
