"""Buffers for payload, aligned to pages: the kernel copies into them and out of them faster than at odd addresses."""

from __future__ import annotations

import mmap

PAGE_BYTES = mmap.PAGESIZE


def new_buffer(length: int) -> memoryview:
    """Return `length` writable bytes that begin at a page. Freed with the last view of it."""
    return memoryview(mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
