"""Read the header of a safetensors file: where its tensors stand. Never their values.

    file = header length u64 little-endian | JSON object, begins with "{", may end with spaces | tensors, back to back

Every rule of the format is checked, and a few more, because the file may come from a stranger: lengths before anything
is allocated, each name once, dtype x shape = length without overflow, no hole and no overlap. The header is walked
entry by entry with patterns that cannot go back, so memory is that of the spans found, not of whatever JSON somebody
wrote. Source: the format's README and `tensor.rs` in huggingface/safetensors; proto/manifest.md §5.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import NoReturn, TypeGuard

from p2phub import limits
from p2phub.errors import Malformed
from p2phub.formats.layout import DIMENSIONS_MAX, SPAN_NAME_BYTES_MAX, Layout, Span

FORMAT = "safetensors"
LENGTH_BYTES = 8

# fmt: off
DTYPE_BITS = {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "BOOL": 8, "U8": 8, "I8": 8,
    "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}
# fmt: on

_ENTRY_CHARACTERS_MAX = 4096  # Some 60 are usual; dimensions and white space take the rest.
_NUMBER_DIGITS_MAX = 19
_COUNT_MAX = (1 << 63) - 1
_SPACE = r"[ \t\n\r]*+"
_STRING = r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+"'
_BEGIN = re.compile(rf"\{{{_SPACE}(\}})?")
_KEY = re.compile(rf"{_SPACE}({_STRING}){_SPACE}:{_SPACE}")
_PAIR = re.compile(rf"{_SPACE}{_STRING}{_SPACE}:{_SPACE}{_STRING}{_SPACE}([,}}])")
_NEXT = re.compile(rf"{_SPACE}([,}}])")


def looks_like_safetensors(size: int, first: bytes) -> bool:
    """Whether a file of `size` bytes that begins with `first` (9 bytes) might be one."""
    length = int.from_bytes(first[:LENGTH_BYTES], "little")
    return len(first) > LENGTH_BYTES and first[LENGTH_BYTES] == ord("{") and LENGTH_BYTES + length <= size


def parse_safetensors(size: int, read: Callable[[int, int], bytes]) -> Layout:
    """Return the layout of a file of `size` bytes; `read(offset, length)` gives exactly those bytes of it.

    Raises as `read_header` does.
    """
    return read_header(size, read)[0]


def read_header(size: int, read: Callable[[int, int], bytes]) -> tuple[Layout, str]:
    """Return the layout of a file of `size` bytes, and the JSON text of its metadata, texts by texts, as it stands in
    the header; "" if it has none.

    Raises Malformed: safetensors-length, safetensors-json, safetensors-tensor, safetensors-name, safetensors-dtype,
    safetensors-shape, safetensors-count, safetensors-cover; and what `read` raises.
    """
    if size < LENGTH_BYTES + 2:
        raise Malformed("safetensors-length", f"{size} bytes are too few for a header")
    length = int.from_bytes(read(0, LENGTH_BYTES), "little")
    if not 2 <= length <= min(size - LENGTH_BYTES, limits.HEADER_BYTES_MAX):
        raise Malformed("safetensors-length", f"a header of {length} bytes in a file of {size}")
    try:
        text = read(LENGTH_BYTES, length).decode()
    except UnicodeDecodeError as exc:
        raise Malformed("safetensors-json", "the header is not UTF-8") from exc
    start = LENGTH_BYTES + length
    spans, metadata = _read_tensors(text, start)
    spans.sort(key=lambda span: (span.start, span.stop, span.name))
    at = start
    for span in spans:
        if span.start != at:
            what = "overlaps what is before it" if span.start < at else "leaves a hole before it"
            raise Malformed("safetensors-cover", f"tensor {span.name[:80]!r} {what}")
        at = span.stop
    if at != size:
        raise Malformed("safetensors-cover", f"tensors end at {at}, the file at {size}")
    return Layout(FORMAT, start, tuple(spans)), metadata


def _read_tensors(text: str, start: int) -> tuple[list[Span], str]:
    # Cheap, before any is read; a tensor may itself be called data_offsets. What escapes hide is counted below.
    if text.count('"data_offsets"') > limits.TENSORS_PER_FILE_MAX + 1:
        raise Malformed("safetensors-count", f"more than {limits.TENSORS_PER_FILE_MAX} tensors")
    spans: list[Span] = []
    names: set[str] = set()
    metadata = ""
    begin = _BEGIN.match(text)
    if begin is None:
        raise Malformed("safetensors-json", "the header does not begin with an object")
    at, more = begin.end(), begin.group(1) is None
    while more:
        key = _KEY.match(text, at)
        if key is None:
            raise Malformed("safetensors-json", f"no name where one should be, at {at}")
        name: str = json.loads(key.group(1))
        if name in names:
            raise Malformed("safetensors-name", f"{name[:80]!r} stands twice")
        names.add(name)
        if name == "__metadata__":
            at = _skip_metadata(text, key.end())
            metadata = text[key.end() : at]
        else:
            if len(spans) >= limits.TENSORS_PER_FILE_MAX:
                raise Malformed("safetensors-count", f"more than {limits.TENSORS_PER_FILE_MAX} tensors")
            span, at = _read_tensor(text, key.end(), name, start)
            spans.append(span)
        after = _NEXT.match(text, at)
        if after is None:
            raise Malformed("safetensors-json", f"neither another entry nor an end, at {at}")
        at, more = after.end(), after.group(1) == ","
    if text[at:].strip(" \t\n\r"):
        raise Malformed("safetensors-json", f"something after the header's end, at {at}")
    return spans, metadata


def _skip_metadata(text: str, at: int) -> int:
    """Return where the metadata object ends that begins at `at`: texts by texts, which are of no interest here."""
    begin = _BEGIN.match(text, at)
    if begin is None:
        raise Malformed("safetensors-json", "the metadata is not an object")
    at, more = begin.end(), begin.group(1) is None
    while more:
        pair = _PAIR.match(text, at)
        if pair is None:
            raise Malformed("safetensors-json", f"metadata that is not text by text, at {at}")
        at, more = pair.end(), pair.group(1) == ","
    return at


def _read_tensor(text: str, at: int, name: str, start: int) -> tuple[Span, int]:
    """Return the tensor whose object begins at `at`, and where that ends. Offsets in the header count from `start`."""
    # No brace can stand within: the only text in it is the dtype.
    end = text.find("}", at, at + _ENTRY_CHARACTERS_MAX)
    if end < 0:
        raise Malformed("safetensors-tensor", f"tensor {name[:80]!r} is described at too great a length, or not at all")
    try:
        pairs = _DECODER.decode(text[at : end + 1])
    except (ValueError, RecursionError) as exc:
        raise Malformed("safetensors-tensor", f"tensor {name[:80]!r}: {str(exc)[:80]}") from exc
    if not isinstance(pairs, _Pairs) or sorted(key for key, _ in pairs) != ["data_offsets", "dtype", "shape"]:
        raise Malformed("safetensors-tensor", f"tensor {name[:80]!r} needs dtype, shape and data_offsets, once each")
    info = dict(pairs)
    dtype, shape, offsets = info["dtype"], info["shape"], info["data_offsets"]
    bits = DTYPE_BITS.get(dtype) if isinstance(dtype, str) else None
    if bits is None:
        raise Malformed("safetensors-dtype", f"tensor {name[:80]!r} is of an unknown dtype")
    if not (_are_counts(shape) and _are_counts(offsets) and len(shape) <= DIMENSIONS_MAX and len(offsets) == 2):
        raise Malformed("safetensors-shape", f"tensor {name[:80]!r}: shape or offsets are not counts")
    for dimension in shape:
        bits *= dimension
        if bits > _COUNT_MAX:
            raise Malformed("safetensors-shape", f"tensor {name[:80]!r} has more elements than can be counted")
    if bits % 8 or bits // 8 != offsets[1] - offsets[0]:
        raise Malformed("safetensors-shape", f"tensor {name[:80]!r}: dtype and shape do not make its length")
    try:
        name_bytes = len(name.encode())
    except UnicodeEncodeError as exc:
        raise Malformed("safetensors-name", "a name that is half a character") from exc
    if name_bytes > SPAN_NAME_BYTES_MAX:
        raise Malformed("safetensors-name", f"a name of {name_bytes} bytes")
    return Span(name, start + offsets[0], start + offsets[1], str(dtype), tuple(shape)), end + 1


def _are_counts(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(item) is int and 0 <= item <= _COUNT_MAX for item in value)


class _Pairs(list[tuple[str, object]]):
    """A JSON object as it stands, so that a name given twice is seen."""


def _integer(text: str) -> int:
    if len(text) > _NUMBER_DIGITS_MAX:
        raise ValueError("a number with too many digits")
    return int(text)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is not a whole number")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_Pairs, parse_int=_integer, parse_float=_no_number, parse_constant=_no_number
)
