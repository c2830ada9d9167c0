"""Layouts of GGUF files, against the gguf package: what it writes is read as it reads it."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
from gguf.constants import GGML_QUANT_SIZES
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from p2phub.formats import OPAQUE, decode_layout, encode_layout, gguf
from tests.support.covers import covers
from tests.support.reading import check_opaque_or_within, chunks_of, damaged, layout

NAME = "model.gguf"
WORDS = ["<s>", "</s>", "wörld", ""]


def write(path: Path, tensors: dict[str, np.ndarray], *, alignment: int | None = None) -> bytes:
    """Return what the package writes, quantised where the array's length is whole blocks and its name says so."""
    writer = GGUFWriter(path, "llama")
    if alignment is not None:
        writer.add_custom_alignment(alignment)
    writer.add_block_count(2)
    writer.add_token_list(WORDS)
    writer.add_token_scores([0.5] * len(WORDS))
    writer.add_bool("a.truth", True)
    for name, value in tensors.items():
        if value.dtype == np.uint8:
            writer.add_tensor(name, value, raw_dtype=GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


@pytest.mark.parametrize("alignment", [None, 8, 4096])
def test_what_the_package_writes_is_read_as_it_reads_it(tmp_path: Path, alignment: int | None) -> None:
    tensors = {
        "token_embd.weight": np.arange(6 * 32, dtype=np.float32).reshape(6, 32),
        "blk.0.attn_norm.weight": np.arange(3, dtype=np.float16),
        "blk.0.ffn.weight": np.arange(2 * 3 * 34, dtype=np.uint8).reshape(2, 3, 34),
        "blk.1.count": np.arange(5, dtype=np.int64),
    }
    data = write(tmp_path / NAME, tensors, alignment=alignment)
    found = layout(data, NAME)
    assert (found.format, found.problem) == ("gguf", None)
    read = GGUFReader(tmp_path / NAME)
    assert found.header_bytes == read.data_offset
    theirs = {
        each.name: (each.tensor_type.name, tuple(int(size) for size in reversed(each.shape)), each.data.tobytes())
        for each in read.tensors
    }
    assert {span.name: (span.dtype, span.shape, data[span.start : span.stop]) for span in found.spans} == theirs
    assert decode_layout(encode_layout(found), size=len(data)) == found


def test_the_sizes_of_types_are_those_of_the_package() -> None:
    theirs = {each.value: (each.name, *sizes) for each, sizes in GGML_QUANT_SIZES.items()}
    assert theirs.items() >= gguf.TYPES.items()
    assert {each.name for each in GGML_QUANT_SIZES if each.value not in gguf.TYPES} == {"Q8_1"}


def test_a_file_of_metadata_alone_has_no_span(tmp_path: Path) -> None:
    data = write(tmp_path / NAME, {})
    assert layout(data, NAME).spans == ()
    assert layout(data, NAME).format == "gguf"


def test_a_tensor_has_the_same_chunks_as_in_safetensors(tmp_path: Path) -> None:
    chance = np.random.Generator(np.random.PCG64(1))
    weights = {f"layer.{number}": chance.random((300, 320), np.float32) for number in range(3)}
    files = [write(tmp_path / NAME, weights), save(weights)]
    shared = chunks_of(files[0], "weights") & chunks_of(files[1], "weights")
    assert sum(map(len, shared)) == sum(value.nbytes for value in weights.values())


@settings(max_examples=150, deadline=None)
@given(st.data())
@covers("T30")
def test_a_damaged_header_is_read_within_the_file_or_opaque(data: st.DataObject) -> None:
    check_opaque_or_within(damaged(data, GOOD), NAME, lambda found: (found.header_bytes, len(GOOD)))


@covers("T30")
def test_a_hostile_header_costs_no_more_than_its_own_bytes() -> None:
    strings = b"GGUF" + b"\x03\0\0\0" + bytes(8) + b"\x01" + bytes(7)
    strings += bytes(8) + b"\x09\0\0\0" + b"\x08\0\0\0" + b"\xff" * 7 + b"\x7f" + bytes(1 << 20)
    tracemalloc.start()
    try:
        assert layout(strings, NAME).format == OPAQUE
        assert tracemalloc.get_traced_memory()[1] < 5 * len(strings)
    finally:
        tracemalloc.stop()


def _good() -> bytes:
    name = b"\x01" + bytes(7) + b"a"
    tensor = name + b"\x01\0\0\0" + b"\x04" + bytes(7) + bytes(4) + bytes(8)
    pair = b"\x01" + bytes(7) + b"n" + b"\x05\0\0\0" + bytes(4)
    head = b"GGUF\x03\0\0\0" + b"\x01" + bytes(7) + b"\x01" + bytes(7) + pair + tensor
    return head + bytes(-len(head) % 32) + bytes(32)


GOOD = _good()
