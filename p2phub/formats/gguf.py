"""Read the header of a GGUF file: where its tensors stand, and what kind of model it says it is. Never their values.

    file = "GGUF" | version u32 | tensors u64 | pairs u64 | pair… | tensor… | zeros to the alignment | tensor data
    pair = key string | type u32 | value            string = length u64 | UTF-8
    tensor = name string | dimensions u32 | dimension u64… (fastest first) | type u32 | offset u64 (within the data)

All little-endian; versions 2 and 3. The header holds the vocabulary, megabytes of it, so it is read in growing pieces.
Counts and lengths come from a stranger: nothing is allocated by them, each is taken only as far as the header that was
read bears it out. Metadata is walked over but for the alignment, the architecture and the file type.
Source: docs/gguf.md in ggml-org/ggml and `gguf.cpp`, `ggml.c` in ggml-org/llama.cpp; proto/manifest.md §5.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from math import prod

import msgspec

from p2phub import limits
from p2phub.content import has_controls
from p2phub.errors import Malformed
from p2phub.formats.layout import SPAN_NAME_BYTES_MAX, Layout, Span

FORMAT = "gguf"
MAGIC = b"GGUF"

# By type number: name, values a block, bytes a block. Without what ggml removed (Q4_2, Q4_0_4_4) and what it has in
# memory only, in sizes that changed (Q8_1).
# fmt: off
TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}
# How most of a file's tensors are stored, by what llama.cpp calls the number (llama_ftype).
FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS",
    21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4_MOE", 39: "NVFP4",
    40: "Q1_0",
}
# fmt: on
_VALUE_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # Numbers and truth values.
_UINT32, _STRING, _ARRAY = 4, 8, 9
ALIGNMENT_KEY = b"general.alignment"
_ARCHITECTURE_KEY = b"general.architecture"
_ARCHITECTURE_BYTES_MAX = 64  # Real ones have some ten letters.
_FILE_TYPE_KEY = b"general.file_type"
ALIGNMENT = 32  # Where a file does not say another.
ALIGNMENT_MAX = 1 << 20
GGUF_DIMENSIONS_MAX = 4  # As in ggml.
_COUNT_MAX = (1 << 63) - 1
_PIECE_BYTES = limits.MIB
VERSION = 3
FIXED = struct.Struct("<4sIQQ")
U32 = struct.Struct("<I")
U64 = struct.Struct("<Q")


class GgufFacts(msgspec.Struct, frozen=True):
    """What a file says it is: `architecture` ("llama"), `file_type` ("Q4_K_M"; None: it does not say, or no type that
    is known); `parameters` counts the values of all tensors."""

    architecture: str | None
    file_type: str | None
    parameters: int


Pairs = Mapping[bytes, bytes]
"""The metadata of a file: by key its type and value, as they stand in the header."""


def looks_like_gguf(first: bytes) -> bool:
    """Whether a file that begins with `first` might be one."""
    return first.startswith(MAGIC)


def parse_gguf(size: int, read: Callable[[int, int], bytes]) -> Layout:
    """Return the layout of a file of `size` bytes; `read(offset, length)` gives exactly those bytes of it.

    Shapes are in row-major order, as numpy has them. Raises Malformed: gguf-header, gguf-long, gguf-count, gguf-value,
    gguf-name, gguf-type, gguf-shape, gguf-cover; and what `read` raises.
    """
    return _parse(size, read)[0]


def read_header(size: int, read: Callable[[int, int], bytes], *, most: int) -> tuple[Layout, Pairs]:
    """Return the layout of a file of `size` bytes, whose header is in the first `most`, and its metadata: nothing
    behind them is read. What is raised as for `parse_gguf`, and gguf-count for more pairs than are kept."""
    layout, metadata = _parse(size, read, most=most, keeps=True)
    return layout, metadata.pairs


def gguf_facts(size: int, read: Callable[[int, int], bytes]) -> GgufFacts:
    """Return what the file says it is; `size`, `read` and what is raised as for `parse_gguf`."""
    layout, metadata = _parse(size, read)
    file_type = FILE_TYPES.get(metadata.file_type) if metadata.file_type is not None else None
    return GgufFacts(metadata.architecture, file_type, sum(prod(span.shape) for span in layout.spans))


def _parse(
    size: int, read: Callable[[int, int], bytes], *, most: int | None = None, keeps: bool = False
) -> tuple[Layout, _Metadata]:
    header = _Header(size, read, size if most is None else most)
    magic, version, tensors, pairs = FIXED.unpack(header.take(FIXED.size))
    if magic != MAGIC or version not in (2, 3):
        raise Malformed("gguf-header", f"not GGUF version 2 or 3, little-endian: {magic[:4]!r} {version}")
    if tensors > limits.TENSORS_PER_FILE_MAX:
        raise Malformed("gguf-count", f"{tensors} tensors")
    metadata = _read_metadata(header, pairs, keeps=keeps)
    infos = [_read_tensor(header, metadata.alignment) for _ in range(tensors)]
    if len({name for name, *_ in infos}) != tensors:
        raise Malformed("gguf-name", "two tensors of one name")
    # Where no tensor follows, nothing need be aligned.
    start = min(-(-header.at // metadata.alignment) * metadata.alignment, size)
    return Layout(FORMAT, start, _spans(infos, start, size)), metadata


_Info = tuple[str, int, int, str, tuple[int, ...]]  # Name, offset, bytes, dtype, shape.


def _spans(infos: list[_Info], start: int, size: int) -> tuple[Span, ...]:
    """Return the tensors where they stand in the file, whose data begins at `start`."""
    spans = [
        Span(name, start + offset, start + offset + length, dtype, shape)
        for name, offset, length, dtype, shape in infos
    ]
    spans.sort(key=lambda span: (span.start, span.stop, span.name))
    at = start
    for span in spans:
        if span.start < at:
            raise Malformed("gguf-cover", f"tensor {span.name[:80]!r} overlaps what is before it")
        at = span.stop
    if spans and at > size:
        raise Malformed("gguf-cover", f"tensors end at {at}, the file at {size}")
    return tuple(spans)


class _Header:
    """The header, read from the front as far as it is needed. `at`: how much of it was taken."""

    def __init__(self, size: int, read: Callable[[int, int], bytes], most: int) -> None:
        self._most = min(size, most, limits.HEADER_BYTES_MAX)
        self._cut_short = size > self._most
        self._read = read
        self._data = b""
        self.at = 0

    def take(self, length: int) -> bytes:
        """Return the next `length` bytes. Raises Malformed if the header is not that long."""
        self._need(length)
        taken = self._data[self.at : self.at + length]
        self.at += length
        return taken

    def since(self, at: int) -> bytes:
        """Return what was taken from `at` on."""
        return self._data[at : self.at]

    def skip(self, length: int) -> None:
        self._need(length)
        self.at += length

    def u32(self) -> int:
        self._need(4)
        (value,) = U32.unpack_from(self._data, self.at)
        self.at += 4
        return int(value)

    def u64(self) -> int:
        self._need(8)
        (value,) = U64.unpack_from(self._data, self.at)
        self.at += 8
        return int(value)

    def _need(self, length: int) -> None:
        end = self.at + length
        while end > len(self._data):
            if end > self._most:
                if self._cut_short:
                    raise Malformed("gguf-long", f"a header of {end} bytes and more")
                raise Malformed("gguf-header", f"a header of {end} bytes and more in a file of {self._most}")
            more = min(max(_PIECE_BYTES, len(self._data)), self._most - len(self._data))
            self._data += self._read(len(self._data), more)


class _Metadata(msgspec.Struct):
    alignment: int = ALIGNMENT
    architecture: str | None = None
    file_type: int | None = None
    pairs: dict[bytes, bytes] = {}


def _read_metadata(header: _Header, pairs: int, *, keeps: bool) -> _Metadata:
    """Walk over `pairs` pairs; return what is wanted of them, and with `keeps` all as they stand."""
    if keeps and pairs > limits.GGUF_PAIRS_KEPT_MAX:
        raise Malformed("gguf-count", f"{pairs} pairs")
    found = _Metadata()
    keys: set[bytes] = set()
    for _ in range(pairs):  # However many it says, each takes 13 bytes of a bounded header.
        key = header.take(header.u64())
        if key in keys:
            raise Malformed("gguf-name", f"the key {key[:80]!r} stands twice")
        keys.add(key)
        value_at = header.at
        kind = header.u32()
        if key == ALIGNMENT_KEY:
            if kind != _UINT32:
                raise Malformed("gguf-value", "the alignment is no u32")
            found.alignment = header.u32()
            if not 8 <= found.alignment <= ALIGNMENT_MAX or found.alignment & (found.alignment - 1):
                raise Malformed("gguf-value", f"an alignment of {found.alignment}")
        elif key == _ARCHITECTURE_KEY and kind == _STRING:
            found.architecture = _word(header.take(header.u64()))
        elif key == _FILE_TYPE_KEY and kind == _UINT32:
            found.file_type = header.u32()
        else:
            _skip_value(header, kind)
        if keeps:
            found.pairs[key] = header.since(value_at)
    return found


def _word(data: bytes) -> str | None:
    """Return a short name from a stranger, None if it is none: it says what is shown, never what is read."""
    try:
        text = data.decode() if len(data) <= _ARCHITECTURE_BYTES_MAX else ""
    except UnicodeDecodeError:
        return None
    return text if text and not has_controls(text) else None


def _skip_value(header: _Header, kind: int) -> None:
    if kind == _ARRAY:
        kind, count = header.u32(), header.u64()
    else:
        count = 1
    length = _VALUE_BYTES.get(kind)
    if length is not None:
        header.skip(count * length)
    elif kind == _STRING:
        for _ in range(count):  # Each takes 8 bytes of a bounded header.
            header.skip(header.u64())
    else:
        raise Malformed("gguf-value", f"a value of type {kind}")


def _read_tensor(header: _Header, alignment: int) -> _Info:
    name_bytes = header.u64()
    if name_bytes > SPAN_NAME_BYTES_MAX:
        raise Malformed("gguf-name", f"a name of {name_bytes} bytes")
    try:
        name = header.take(name_bytes).decode()
    except UnicodeDecodeError as exc:
        raise Malformed("gguf-name", "a name that is not UTF-8") from exc
    dimensions = header.u32()
    if dimensions > GGUF_DIMENSIONS_MAX:
        raise Malformed("gguf-shape", f"tensor {name[:80]!r} has {dimensions} dimensions")
    shape = [header.u64() for _ in range(dimensions)]
    known = TYPES.get(header.u32())
    if known is None:
        raise Malformed("gguf-type", f"tensor {name[:80]!r} is of an unknown type")
    dtype, block, block_bytes = known
    values = 1
    for dimension in shape:
        values *= dimension
        if max(values, dimension) > _COUNT_MAX:
            raise Malformed("gguf-shape", f"tensor {name[:80]!r} has more elements than can be counted")
    if (shape[0] if shape else 1) % block:
        raise Malformed("gguf-shape", f"tensor {name[:80]!r}: rows of {dtype} are no whole blocks of {block}")
    offset = header.u64()
    if offset % alignment:
        raise Malformed("gguf-cover", f"tensor {name[:80]!r} begins at {offset}, which is not aligned")
    return name, offset, values // block * block_bytes, dtype, tuple(reversed(shape))
