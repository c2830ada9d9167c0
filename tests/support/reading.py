"""Read made files as `formats` does: by a function that gives exactly what was asked for."""

from __future__ import annotations

from collections.abc import Callable

from p2phub.formats import Layout, layout_of


def reader(data: bytes) -> Callable[[int, int], bytes]:
    """Return a reader of `data`, which must not be asked for more."""

    def read(offset: int, length: int) -> bytes:
        assert 0 <= offset <= offset + length <= len(data)
        return data[offset : offset + length]

    return read


def layout(data: bytes, path: str) -> Layout:
    return layout_of(path, len(data), reader(data))
