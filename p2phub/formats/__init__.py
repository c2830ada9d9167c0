"""Headers and footers of tensor and table files to layouts: named spans. Never runs what it reads. Pure."""

from p2phub.formats.danger import REFUSED_NAMED_MAX, danger_of, is_code, refusal, suspect, telling_spans
from p2phub.formats.detect import layout_of
from p2phub.formats.layout import OPAQUE, Layout, Span, boundaries, decode_layout, encode_layout

__all__ = [
    "OPAQUE",
    "REFUSED_NAMED_MAX",
    "Layout",
    "Span",
    "boundaries",
    "danger_of",
    "decode_layout",
    "encode_layout",
    "is_code",
    "layout_of",
    "refusal",
    "suspect",
    "telling_spans",
]
