"""Headers and footers of tensor and table files to layouts: named spans. Never runs what it reads. Pure."""

from p2phub.formats.danger import danger_of, is_code
from p2phub.formats.detect import layout_of
from p2phub.formats.layout import OPAQUE, Layout, Span, boundaries, decode_layout, encode_layout

__all__ = [
    "OPAQUE",
    "Layout",
    "Span",
    "boundaries",
    "danger_of",
    "decode_layout",
    "encode_layout",
    "is_code",
    "layout_of",
]
