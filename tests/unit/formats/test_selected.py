"""A header for some tensors of others: the package reads it, and finds just those, aligned."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from p2phub import limits
from p2phub.errors import UsageError
from p2phub.formats import Span, header_bytes_max, in_order, layout_of, read_safetensors_header, selected_header
from p2phub.formats.selected import METADATA_CHARACTERS_MAX
from tests.support.reading import reader

DTYPES = st.sampled_from([np.float32, np.float16, np.int8, np.uint64, np.bool_, np.complex64])
ARRAYS = st.builds(lambda shape, dtype: np.ones(shape, dtype), st.lists(st.integers(0, 4), max_size=3), DTYPES)
METADATA = st.dictionaries(st.text(max_size=6), st.text(max_size=6))
NAMES = st.text(max_size=8).filter(lambda name: name != "__metadata__")


def selected(data: bytes, names: set[str]) -> bytes:
    """Make a file of those tensors of one, as a fetch does."""
    layout, metadata = read_safetensors_header(len(data), reader(data))
    spans = [span for span in layout.spans if span.name in names]
    spans = [spans[at] for at in in_order(spans)]
    header = selected_header(spans, [metadata])
    assert len(header) <= header_bytes_max(spans)
    return header + b"".join(data[span.start : span.stop] for span in spans)


@settings(max_examples=80)
@given(st.dictionaries(NAMES, ARRAYS, min_size=1, max_size=6), METADATA, st.data())
def test_the_package_reads_just_the_tensors_that_were_selected(
    tensors: dict[str, np.ndarray], metadata: dict[str, str], data: st.DataObject
) -> None:
    names = data.draw(st.sets(st.sampled_from(sorted(tensors)), min_size=1))
    made = selected(save(tensors, metadata=metadata or None), names)
    found = load(made)
    assert found.keys() == names
    for name in names:
        np.testing.assert_array_equal(found[name], tensors[name])
        assert found[name].dtype == tensors[name].dtype
    assert int.from_bytes(made[:8], "little") % 8 == 0
    for span in layout_of("x.safetensors", len(made), reader(made)).spans:
        assert span.start % found[span.name].dtype.itemsize == 0
    assert json.loads(read_safetensors_header(len(made), reader(made))[1] or "{}") == metadata


def span(name: str, length: int = 4, dtype: str = "F32") -> Span:
    return Span(name, 100, 100 + length, dtype, (length // 4,))


def test_of_metadata_that_differs_the_first_word_holds_and_what_is_large_is_left_out() -> None:
    large = json.dumps({"a": "x" * METADATA_CHARACTERS_MAX})
    header = selected_header([span("t")], ['{"a":"1","b":"1"}', '{"a":"2","c":"2"}', large, '{"d":"3"}'])
    assert json.loads(header[8:])["__metadata__"] == {"a": "1", "b": "1", "c": "2"}


def test_two_tensors_of_one_name_cannot_stand_in_one_file() -> None:
    with pytest.raises(UsageError, match="two files"):
        selected_header([span("t"), span("t")])


def test_more_tensors_than_a_header_may_describe_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HEADER_BYTES_MAX", 200)
    assert selected_header([span("t")])
    with pytest.raises(UsageError, match="more than one file"):
        selected_header([span(f"t{number}") for number in range(10)])


def test_what_has_no_dtype_of_the_format_has_no_order() -> None:
    assert in_order([span("a", 1, "I8"), span("b"), span("c", 1, "U8"), span("d", 8, "F64")]) == [3, 1, 0, 2]
    with pytest.raises(ValueError, match="Q4_K"):
        in_order([span("t", 4, "Q4_K")])
