"""Headers and footers of tensor and table files to layouts: named spans. Never runs what it reads. Pure."""

from p2phub.formats.detect import layout_of
from p2phub.formats.layout import OPAQUE, Layout, Span, boundaries, decode_layout, encode_layout

__all__ = ["OPAQUE", "Layout", "Span", "boundaries", "decode_layout", "encode_layout", "layout_of"]
