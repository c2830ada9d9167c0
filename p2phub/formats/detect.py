"""Which format a file has, by what it holds, and its layout."""

from __future__ import annotations

from collections.abc import Callable

from p2phub.errors import Malformed
from p2phub.formats.layout import Layout, opaque
from p2phub.formats.safetensors import FORMAT, LENGTH_BYTES, looks_like_safetensors, parse_safetensors


def layout_of(path: str, size: int, read: Callable[[int, int], bytes]) -> Layout:
    """Return the layout of a file of `size` bytes, opaque if its format is unknown or it breaks the format's rules.

    `read(offset, length)` returns exactly those bytes, or raises; its errors pass through. Decided by content, so that
    a renamed file keeps its chunks; `path` only decides whether a file that is no such thing is worth a `problem`.
    """
    named_so = path.lower().endswith("." + FORMAT)
    first = read(0, min(size, LENGTH_BYTES + 1))
    if not named_so and not looks_like_safetensors(size, first):
        return opaque()
    try:
        return parse_safetensors(size, read)
    except Malformed as error:
        return opaque(f"not a valid safetensors file: {error}" if named_so else None)
