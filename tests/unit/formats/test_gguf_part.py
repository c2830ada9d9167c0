"""A GGUF file of some tensors of others: the gguf package reads it, with just those and the model's own metadata."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from p2phub import limits
from p2phub.errors import Malformed, UsageError
from p2phub.formats import (
    GgufPairs,
    Layout,
    Span,
    alignment_of,
    filled,
    gguf_part_bytes_max,
    gguf_part_start,
    layout_of,
    merged_pairs,
    read_gguf_header,
)
from tests.support.covers import covers
from tests.support.reading import reader

WORDS = ["<s>", "</s>", "wörld", ""]
TENSORS = {
    "token_embd.weight": np.arange(6 * 32, dtype=np.float32).reshape(6, 32),
    "blk.0.norm.weight": np.arange(3, dtype=np.float16),
    "blk.0.ffn.weight": np.arange(2 * 3 * 34, dtype=np.uint8).reshape(2, 3, 34),  # Q8_0.
    "blk.1.count": np.arange(5, dtype=np.int64),
}


def write(
    path: Path, tensors: dict[str, np.ndarray], *, alignment: int | None = None, split: int | None = None
) -> bytes:
    writer = GGUFWriter(path, "llama")
    if alignment is not None:
        writer.add_custom_alignment(alignment)
    if split is not None:
        writer.add_uint16("split.no", split)
        writer.add_uint16("split.count", 2)
        writer.add_int32("split.tensors.count", len(TENSORS))
    writer.add_token_list(WORDS)
    writer.add_bool("a.truth", True)
    for name, value in tensors.items():
        kind = GGMLQuantizationType.Q8_0 if value.dtype == np.uint8 else None
        writer.add_tensor(name, value, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def header_of(data: bytes) -> tuple[Layout, GgufPairs]:
    layout = layout_of("x.gguf", len(data), reader(data))
    return read_gguf_header(len(data), reader(data), most=layout.header_bytes)


def part(data: bytes, names: set[str]) -> bytes:
    layout, pairs = header_of(data)
    spans = [span for span in layout.spans if span.name in names]
    pairs = merged_pairs([pairs])
    made = gguf_part_start(spans, pairs)
    for span in spans:
        made += data[span.start : span.stop].ljust(filled(span.stop - span.start, alignment_of(pairs)), b"\0")
    assert len(made) <= gguf_part_bytes_max(spans, [layout])
    return made


def fields_of(path: Path) -> dict[str, tuple[list[int], object]]:
    """Return the metadata as the package reads it, without its counts."""
    fields = {name: field for name, field in GGUFReader(path).fields.items() if not name.startswith("GGUF.")}
    return {name: ([int(kind) for kind in field.types], field.contents()) for name, field in fields.items()}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.sets(st.sampled_from(sorted(TENSORS)), min_size=1), alignment=st.sampled_from([None, 8, 4096]))
def test_the_package_reads_just_the_tensors_that_were_selected_and_the_same_metadata(
    tmp_path: Path, names: set[str], alignment: int | None
) -> None:
    data = write(tmp_path / "m.gguf", TENSORS, alignment=alignment)
    made = part(data, names)
    (tmp_path / "part.gguf").write_bytes(made)
    read = GGUFReader(tmp_path / "part.gguf")
    assert {each.name for each in read.tensors} == names
    for each in read.tensors:
        assert each.data.tobytes() == TENSORS[each.name].tobytes()
        assert each.data_offset % (alignment or 32) == 0
    assert read.alignment == (alignment or 32)
    assert len(made) % (alignment or 32) == 0
    assert fields_of(tmp_path / "part.gguf") == fields_of(tmp_path / "m.gguf")
    assert {span.name for span in layout_of("x.gguf", len(made), reader(made)).spans} == names


def test_of_splits_the_first_word_holds_and_nothing_says_that_there_are_more(tmp_path: Path) -> None:
    first, second = ({b"a": b"1", b"split.no": b"0", b"b": b"1"}, {b"split.no": b"1", b"c": b"2", b"b": b"2"})
    assert merged_pairs([first, second]) == {b"a": b"1", b"b": b"1", b"c": b"2"}
    data = write(tmp_path / "m.gguf", TENSORS, split=0)
    (tmp_path / "part.gguf").write_bytes(part(data, {"blk.1.count"}))
    assert not [name for name in fields_of(tmp_path / "part.gguf") if name.startswith("split.")]
    assert fields_of(tmp_path / "m.gguf").keys() >= {"split.no", "split.count", "split.tensors.count"}


@covers("T30")
def test_a_header_is_read_only_as_far_as_it_is_said_to_go(tmp_path: Path) -> None:
    data = write(tmp_path / "m.gguf", TENSORS)
    layout, _ = header_of(data)

    def read(offset: int, length: int) -> bytes:
        assert offset + length <= layout.header_bytes
        return data[offset : offset + length]

    assert read_gguf_header(len(data), read, most=layout.header_bytes)[0] == layout
    with pytest.raises(Malformed, match="gguf-long"):
        read_gguf_header(len(data), read, most=64)


@covers("T30")
def test_more_metadata_than_a_model_has_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write(tmp_path / "m.gguf", TENSORS)
    _, pairs = header_of(data)
    monkeypatch.setattr(limits, "GGUF_PAIRS_KEPT_MAX", len(pairs))
    assert header_of(data)[1] == pairs
    with pytest.raises(UsageError, match="more than one file"):
        merged_pairs([pairs, {b"more": b""}])
    monkeypatch.setattr(limits, "GGUF_PAIRS_KEPT_MAX", len(pairs) - 1)
    with pytest.raises(Malformed, match="gguf-count"):
        header_of(data)


def span(name: str, dtype: str = "F32", shape: tuple[int, ...] = (1,)) -> Span:
    return Span(name, 64, 68, dtype, shape)


def test_two_tensors_of_one_name_or_more_than_a_header_holds_are_not_put_into_one_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(UsageError, match="two files have a tensor called 't'"):
        gguf_part_start([span("t"), span("t")], {})
    monkeypatch.setattr(limits, "HEADER_BYTES_MAX", 128)
    assert gguf_part_start([span("t")], {})
    with pytest.raises(UsageError, match="10 tensors are more"):
        gguf_part_start([span(f"t{number}") for number in range(10)], {})


@pytest.mark.parametrize("wrong", [span("t", "F8"), span("t", shape=(1,) * 5)])
def test_what_gguf_cannot_say_is_not_written(wrong: Span) -> None:
    with pytest.raises(ValueError):
        gguf_part_start([wrong], {})
