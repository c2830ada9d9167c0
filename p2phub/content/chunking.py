"""Where a file is cut into chunks.

A tensor's chunks start at the tensor, so that an unchanged tensor keeps its chunks when a model is fine-tuned,
re-sharded or renamed. The header is chunks of its own; each tensor of `TENSOR_GROUP_BYTES` and more is cut every
`CHUNK_BYTES_MAX` from its start; adjacent whole smaller tensors share a chunk; a tail never merges with what follows.
A file without a layout is cut every `CHUNK_BYTES_MAX`. Source: proto/manifest.md §3.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from p2phub import limits
from p2phub.errors import Malformed


def cut_points(boundaries: Sequence[int], length: int) -> tuple[int, ...]:
    """Return where to cut a file of `length` bytes: n + 1 ascending offsets for n chunks, first 0, last `length`.

    `boundaries` are the ascending starts of the file's spans (the header's end is the first tensor's start), each
    within 0 ..= length; repeats are allowed (empty tensors). An empty file has no chunk and so no cut: (0,).
    Raises Malformed("span-order") if they go back or leave the file.
    """
    edges = [0]
    for boundary in (*boundaries, length):
        if not edges[-1] <= boundary <= length:
            raise Malformed("span-order", f"span at {boundary} after {edges[-1]} in a file of {length} bytes")
        if boundary > edges[-1]:
            edges.append(boundary)
    cuts = [0]
    grouping = False  # Whether the last chunk holds only whole small tensors, so that the next may join it.
    for start, stop in itertools.pairwise(edges):
        small = stop - start < limits.TENSOR_GROUP_BYTES and start > 0
        if small and grouping and stop - cuts[-2] <= limits.CHUNK_BYTES_MAX:
            cuts[-1] = stop
            continue
        cuts.extend(range(start + limits.CHUNK_BYTES_MAX, stop, limits.CHUNK_BYTES_MAX))
        cuts.append(stop)
        grouping = small
    return tuple(cuts)
