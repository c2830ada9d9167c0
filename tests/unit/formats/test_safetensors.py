"""Layouts of safetensors files, against the safetensors package: what we accept, it accepts, and sees the same."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from p2phub import limits
from p2phub.content import cut_points
from p2phub.errors import Malformed
from p2phub.formats import OPAQUE, Layout, boundaries, decode_layout, encode_layout, layout_of, safetensors
from tests.support.covers import covers
from tests.support.reading import chunks_of, reader
from tests.support.reading import layout as read_layout

NAME = "model.safetensors"
dtypes = st.sampled_from([np.float32, np.float16, np.int8, np.uint64, np.bool_, np.complex64])
arrays = st.builds(lambda shape, dtype: np.zeros(shape, dtype), st.lists(st.integers(0, 4), max_size=4), dtypes)


def layout(data: bytes, path: str = NAME) -> Layout:
    return read_layout(data, path)


def file(header: object, data: bytes = b"", *, pad: int = 0) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * pad
    return len(text).to_bytes(8, "little") + text + data


@settings(max_examples=60)
@given(
    st.dictionaries(st.text(max_size=20), arrays, max_size=6), st.dictionaries(st.text(max_size=9), st.text(max_size=9))
)
def test_what_the_package_writes_is_read_as_it_reads_it(
    tensors: dict[str, np.ndarray], metadata: dict[str, str]
) -> None:
    tensors.pop("__metadata__", None)
    assume(tensors)  # With none and empty metadata, the package writes what is no JSON, and does not read it.
    data = save(tensors, metadata=metadata)
    found = layout(data)
    assert found.problem is None
    assert found.format == "safetensors"
    assert {span.name: (span.dtype, list(span.shape), data[span.start : span.stop]) for span in found.spans} == {
        name: (info["dtype"], info["shape"], bytes(info["data"])) for name, info in deserialize(data)
    }
    assert decode_layout(encode_layout(found), size=len(data)) == found


@settings(max_examples=150)
@given(st.data())
@covers("T29")
def test_what_we_accept_of_a_damaged_header_the_package_accepts_too(data: st.DataObject) -> None:
    good = bytearray(save({"a": np.zeros((2, 3), np.float32), "b": np.zeros(5, np.int8)}))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(good) - 1))
        good[at] = data.draw(st.one_of(st.integers(0, 255), st.sampled_from(b'0123456789[]{},:" ')))
    damaged = bytes(good)
    found = layout(damaged)
    if found.format == OPAQUE:
        assert found.problem is not None
        assert found.spans == ()
        return
    theirs = {name: (info["dtype"], info["shape"], len(info["data"])) for name, info in deserialize(damaged)}
    assert {span.name: (span.dtype, list(span.shape), span.stop - span.start) for span in found.spans} == theirs


@given(st.binary(max_size=80))
def test_any_bytes_have_a_layout(data: bytes) -> None:
    found = layout(data)
    assert found.format == OPAQUE or not found.spans
    assert layout(data, "weights.bin").problem is None


@pytest.mark.parametrize(
    "data",
    [
        file({"a": {"dtype": "U8", "shape": [2], "data_offsets": [1, 3]}}, bytes(3)),
        file({"a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}}, bytes(3)),
        file({"a": {"dtype": "U8", "shape": [3], "data_offsets": [0, 2]}}, bytes(2)),
        file({"a": {"dtype": "U8", "shape": [1 << 62, 8], "data_offsets": [0, 2]}}, bytes(2)),
        file(b"[]"),
    ],
)
@covers("T29")
def test_what_the_package_refuses_is_opaque_to_us(data: bytes) -> None:
    with pytest.raises(SafetensorError):
        deserialize(data)
    assert layout(data).format == OPAQUE
    assert "safetensors" in (layout(data).problem or "")


def test_the_format_is_told_by_content_so_that_a_renamed_file_keeps_its_chunks() -> None:
    data = save({"a": np.zeros(100_000, np.float32)})
    assert boundaries(layout(data, "weights.bin")) == boundaries(layout(data)) != ()
    assert layout(b"#!/bin/sh\n", "run.sh") == Layout(OPAQUE, 0, ())


def test_boundaries_are_where_header_and_tensors_begin() -> None:
    data = save({"a": np.zeros(3, np.float32), "b": np.zeros(0, np.int8), "c": np.zeros(2, np.int8)})
    found = layout(data)
    assert boundaries(found) == (found.header_bytes, found.header_bytes + 12, len(data))
    assert cut_points(boundaries(found), len(data)) == (0, found.header_bytes, len(data))
    assert boundaries(Layout(OPAQUE, 0, ())) == ()


def test_an_unchanged_tensor_keeps_its_chunks_in_a_fine_tune() -> None:
    chance = np.random.Generator(np.random.PCG64(1))
    tensors = {f"layer.{i}": chance.bytes(700_000 + i) for i in range(5)}
    arrays_of = {name: np.frombuffer(value, np.uint8) for name, value in tensors.items()}
    first = save(arrays_of, metadata={"step": "1"})
    second = save({**arrays_of, "layer.2": np.zeros(9, np.uint8)}, metadata={"step": "10000"})
    shared = sum(map(len, chunks_of(first, NAME) & chunks_of(second, NAME)))
    assert shared == sum(len(value) for name, value in tensors.items() if name != "layer.2")


@covers("T29")
def test_a_header_is_not_read_before_its_length_is_checked() -> None:
    asked: list[tuple[int, int]] = []

    def read(offset: int, length: int) -> bytes:
        asked.append((offset, length))
        return ((1 << 40) - 9).to_bytes(8, "little") + b"{"

    found = layout_of(NAME, 1 << 40, read)
    assert found.format == OPAQUE
    assert all(length <= 9 for _, length in asked)


@pytest.mark.parametrize("filler", ["[],", '{"a":1},', '"a",', "1,", '"a":{},', '"__metadata__":{"a":"b"},'])
@covers("T29")
def test_a_hostile_header_costs_no_more_than_its_own_text(filler: str) -> None:
    data = file(('{"a":{"dtype":' + filler * (200_000 // len(filler))).encode())
    read = reader(data)
    tracemalloc.start()
    try:
        assert layout_of(NAME, len(data), read).format == OPAQUE
        assert tracemalloc.get_traced_memory()[1] < 5 * len(data)
    finally:
        tracemalloc.stop()


def test_an_error_of_the_reader_passes_through() -> None:
    def read(offset: int, length: int) -> bytes:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        layout_of(NAME, 100, read)


def test_tensors_are_counted_however_they_are_spelt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TENSORS_PER_FILE_MAX", 3)
    header = {str(i): {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for i in range(4)}
    spelt = json.dumps(header).replace("data_offsets", "data\\u005foffsets").encode()
    with pytest.raises(Malformed, match="safetensors-count"):
        safetensors.parse_safetensors(len(file(spelt)), reader(file(spelt)))


def test_an_opaque_file_has_no_layout_to_keep() -> None:
    with pytest.raises(ValueError, match="opaque"):
        encode_layout(Layout(OPAQUE, 0, ()))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_layout_or_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode_layout(data, size=100)
