"""Headers and footers of tensor and table files to layouts: named spans. Never runs what it reads. Pure.

The door is lazy (PEP 562): a fetch looks whether what came may run code, and reads no header.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from p2phub.formats.danger import REFUSED_NAMED_MAX, danger_of, is_code, refusal, suspect, telling_spans
    from p2phub.formats.detect import layout_of
    from p2phub.formats.gguf import FORMAT as GGUF
    from p2phub.formats.gguf import GgufFacts, gguf_facts, looks_like_gguf
    from p2phub.formats.gguf import Pairs as GgufPairs
    from p2phub.formats.gguf import read_header as read_gguf_header
    from p2phub.formats.gguf_part import (
        alignment_of,
        filled,
        gguf_part_bytes_max,
        gguf_part_start,
        gguf_row_bytes,
        merged_pairs,
    )
    from p2phub.formats.layout import OPAQUE, Layout, Span, boundaries, decode_layout, encode_layout
    from p2phub.formats.parquet import FORMAT as PARQUET
    from p2phub.formats.parquet import read_footer_of
    from p2phub.formats.parquet_part import part_end
    from p2phub.formats.safetensors import FORMAT as SAFETENSORS
    from p2phub.formats.safetensors import read_header as read_safetensors_header
    from p2phub.formats.selected import header_bytes_max, in_order, selected_header
    from p2phub.formats.selected_name import is_selected_name, may_give_parts, selected_path
    from p2phub.formats.weight_map import model_of_index, read_weight_map

__all__ = [
    "GGUF",
    "OPAQUE",
    "PARQUET",
    "REFUSED_NAMED_MAX",
    "SAFETENSORS",
    "GgufFacts",
    "GgufPairs",
    "Layout",
    "Span",
    "alignment_of",
    "boundaries",
    "danger_of",
    "decode_layout",
    "encode_layout",
    "filled",
    "gguf_facts",
    "gguf_part_bytes_max",
    "gguf_part_start",
    "gguf_row_bytes",
    "header_bytes_max",
    "in_order",
    "is_code",
    "is_selected_name",
    "layout_of",
    "looks_like_gguf",
    "may_give_parts",
    "merged_pairs",
    "model_of_index",
    "part_end",
    "read_footer_of",
    "read_gguf_header",
    "read_safetensors_header",
    "read_weight_map",
    "refusal",
    "selected_header",
    "selected_path",
    "suspect",
    "telling_spans",
]

_ROOMS = {
    "danger": "REFUSED_NAMED_MAX danger_of is_code refusal suspect telling_spans",
    "detect": "layout_of",
    "gguf": "GGUF GgufFacts GgufPairs gguf_facts looks_like_gguf read_gguf_header",
    "gguf_part": "alignment_of filled gguf_part_bytes_max gguf_part_start gguf_row_bytes merged_pairs",
    "layout": "OPAQUE Layout Span boundaries decode_layout encode_layout",
    "parquet": "PARQUET read_footer_of",
    "parquet_part": "part_end",
    "safetensors": "SAFETENSORS read_safetensors_header",
    "selected": "header_bytes_max in_order selected_header",
    "selected_name": "is_selected_name may_give_parts selected_path",
    "weight_map": "model_of_index read_weight_map",
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names.split()}
_IN_ITS_ROOM = {
    **dict.fromkeys(("GGUF", "PARQUET", "SAFETENSORS"), "FORMAT"),
    **dict.fromkeys(("read_gguf_header", "read_safetensors_header"), "read_header"),
    "GgufPairs": "Pairs",
}
"""What is called otherwise there."""


def __getattr__(name: str) -> object:
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{_ROOM_OF[name]}"), _IN_ITS_ROOM.get(name, name))
    globals()[name] = found  # Asked once.
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
