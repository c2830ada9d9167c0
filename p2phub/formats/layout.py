"""The layout of a file: which named spans it has. From it follow the cut points, and which bytes a tensor is.

    layout = record "p2phub layout" 1 {format: text, header: bytes before the spans,
             spans: [[name, start, length, dtype, [dimension…]]…]}      ascending by (start, length, name)

A blob of its own, named in the manifest beside its file: it says nothing that the file does not, but a reader who
wants one tensor needs neither the file's header nor its format. It is the publisher's word and no more, so nothing is
verified by it. Source: proto/manifest.md §5.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from p2phub import limits
from p2phub.content import Fields, pack_record, unpack_record
from p2phub.errors import Malformed

KIND = "p2phub layout"
VERSION = 1
OPAQUE = "opaque"
DIMENSIONS_MAX = 64
SPAN_NAME_BYTES_MAX = 4 * limits.KIB
_FORMAT_BYTES_MAX = 32
_OFFSET_MAX = (1 << 63) - 1


class Span(msgspec.Struct, frozen=True):
    """`name` is bytes `start` ..< `stop` of the file, holding `dtype` values of `shape` (both as the format says)."""

    name: str
    start: int
    stop: int
    dtype: str
    shape: tuple[int, ...]


class Layout(msgspec.Struct, frozen=True):
    """`spans` ascend and do not overlap; the first `header_bytes` describe them. An opaque layout has neither.
    `problem` says why a file that looked like a known format is treated as opaque, for the publisher to read."""

    format: str
    header_bytes: int
    spans: tuple[Span, ...]
    problem: str | None = None


def opaque(problem: str | None = None) -> Layout:
    """Return the layout of a file about whose inside nothing is known."""
    return Layout(OPAQUE, 0, (), problem)


def boundaries(layout: Layout) -> tuple[int, ...]:
    """Return the ascending offsets where chunks should begin, for `content.cut_points`: the end of the header, and
    start and end of each span. Repeats only where spans are empty."""
    edges = [layout.header_bytes] if layout.header_bytes else []
    for span in layout.spans:
        if not edges or span.start != edges[-1]:
            edges.append(span.start)
        if span.stop != edges[-1]:
            edges.append(span.stop)
    return tuple(edges)


def encode_layout(layout: Layout) -> bytes:
    """Return the layout's blob. An opaque one has none: raises ValueError."""
    if layout.format == OPAQUE:
        raise ValueError("an opaque file has no layout to keep")
    spans = [[span.name, span.start, span.stop - span.start, span.dtype, list(span.shape)] for span in layout.spans]
    return pack_record(KIND, VERSION, {"format": layout.format, "header": layout.header_bytes, "spans": spans})


def decode_layout(data: bytes, *, size: int | None = None) -> Layout:
    """Read a layout's blob; with `size`, all spans must lie within a file of that many bytes.

    Raises Malformed: layout-long, layout-span, layout-order, layout-duplicate, and what a record raises.
    """
    if len(data) > limits.HEADER_BYTES_MAX:
        raise Malformed("layout-long", f"a layout of {len(data)} bytes")
    fields = unpack_record(data, KIND, VERSION)
    end = _OFFSET_MAX if size is None else size
    header_bytes = fields.unsigned("header", most=end)
    spans = tuple(_read_span(item) for item in fields.array("spans", most=limits.TENSORS_PER_FILE_MAX))
    check_spans(spans, header_bytes, end)
    return Layout(fields.text("format", most=_FORMAT_BYTES_MAX), header_bytes, spans)


def check_spans(spans: Sequence[Span], start: int, end: int) -> None:
    """Raise Malformed unless `spans` ascend without overlap within `start` ..= `end`, each name once."""
    at = start
    before = (-1, -1, "")
    for span in spans:
        order = (span.start, span.stop - span.start, span.name)
        if span.start < at or order <= before:
            raise Malformed("layout-order", f"{span.name[:80]!r} at {span.start} after what ends at {at}")
        at, before = span.stop, order
    if at > end:
        raise Malformed("layout-span", f"a span ends at {at}, behind the end of the file at {end}")
    if len({span.name for span in spans}) != len(spans):
        raise Malformed("layout-duplicate", "a name stands twice")


def _read_span(item: object) -> Span:
    if not (isinstance(item, list) and len(item) == 5):
        raise Malformed("layout-span", "a span is [name, start, length, dtype, shape]")
    fields = Fields(dict(zip(("name", "start", "length", "dtype", "shape"), item, strict=True)), "span")
    start = fields.unsigned("start", most=_OFFSET_MAX)
    length = fields.unsigned("length", most=_OFFSET_MAX - start)
    name, dtype, shape = item[0], item[3], fields.array("shape", most=DIMENSIONS_MAX)
    if type(name) is not str or type(dtype) is not str or len(dtype) > _FORMAT_BYTES_MAX:
        raise Malformed("layout-span", "a span's name and dtype are text")
    if len(name.encode()) > SPAN_NAME_BYTES_MAX or not all(type(dimension) is int for dimension in shape):
        raise Malformed("layout-span", f"{name[:80]!r}: the name is too long, or a dimension is no integer")
    dimensions = tuple(dimension for dimension in shape if isinstance(dimension, int) and dimension >= 0)
    if len(dimensions) != len(shape):
        raise Malformed("layout-span", f"{name[:80]!r}: a dimension is negative")
    return Span(name, start, start + length, dtype, dimensions)
