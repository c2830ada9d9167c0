"""Read made files as `formats` does: by a function that gives exactly what was asked for."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from hypothesis import strategies as st

from p2phub.content import cut_points
from p2phub.formats import OPAQUE, Layout, boundaries, decode_layout, encode_layout, layout_of


def reader(data: bytes) -> Callable[[int, int], bytes]:
    """Return a reader of `data`, which must not be asked for more."""

    def read(offset: int, length: int) -> bytes:
        assert 0 <= offset <= offset + length <= len(data)
        return data[offset : offset + length]

    return read


def layout(data: bytes, path: str) -> Layout:
    return layout_of(path, len(data), reader(data))


def chunks_of(data: bytes, path: str) -> set[bytes]:
    """Return what `data` is cut into by its own layout."""
    cuts = cut_points(boundaries(layout(data, path)), len(data))
    return {data[start:stop] for start, stop in itertools.pairwise(cuts)}


def damaged(data: st.DataObject, good: bytes) -> bytes:
    """Return `good` with one to three bytes that are drawn anew."""
    bad = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(bad) - 1))
        bad[at] = data.draw(st.integers(0, 255))
    return bytes(bad)


def check_opaque_or_within(data: bytes, path: str, where: Callable[[Layout], tuple[int, int]]) -> None:
    """Assert that `data` has no layout, and why, or one whose spans lie `where` they may and which can be sent."""
    found = layout(data, path)
    if found.format == OPAQUE:
        assert found.problem is not None
        return
    first, last = where(found)
    assert all(first <= span.start <= span.stop <= last for span in found.spans)
    assert decode_layout(encode_layout(found), size=len(data)) == found
