"""Which format a file has, by what it holds, and its layout."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from p2phub.errors import Malformed
from p2phub.formats import gguf, parquet, safetensors
from p2phub.formats.layout import Layout, opaque

Read = Callable[[int, int], bytes]
_FIRST_BYTES = 9  # What tells a format: eight of length and a brace, or a magic.


class _Format(msgspec.Struct, frozen=True):
    """`name` is what it and its files are called; `looks_like(size, first bytes)` is cheap; `parse` is exact."""

    name: str
    looks_like: Callable[[int, bytes], bool]
    parse: Callable[[int, Read], Layout]


_FORMATS = (
    _Format(gguf.FORMAT, lambda _, first: gguf.looks_like_gguf(first), gguf.parse_gguf),
    _Format(parquet.FORMAT, parquet.looks_like_parquet, parquet.parse_parquet),
    _Format(safetensors.FORMAT, safetensors.looks_like_safetensors, safetensors.parse_safetensors),
)


def layout_of(path: str, size: int, read: Read) -> Layout:
    """Return the layout of a file of `size` bytes, opaque if its format is unknown or it breaks the format's rules.

    `read(offset, length)` returns exactly those bytes, or raises; its errors pass through. Decided by content, so that
    a renamed file keeps its chunks; `path` only decides whether a file that is no such thing is worth a `problem`.
    """
    first = read(0, min(size, _FIRST_BYTES))
    problem = None
    for each in _FORMATS:
        named_so = path.lower().endswith("." + each.name)
        if named_so or each.looks_like(size, first):
            try:
                return each.parse(size, read)
            except Malformed as error:
                if named_so:
                    problem = f"not a {each.name} file that can be read: {error}"
    return opaque(problem)
