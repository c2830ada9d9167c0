"""Bytes of a tensor to an array of numpy or torch: the one place that knows either, and loads it when it is asked for.

numpy has no name for some of the formats' dtypes: of BF16 an array has the bits as uint16, of those of eight bits as
uint8; narrower ones are bytes in one dimension, as they are packed. torch has names for most. Quantised tensors of GGUF
files (Q4_K, MXFP4) are bytes with both: the last dimension is that of a row's blocks, one behind the other, in bytes,
and all others are as they were. So the `gguf` package has them, too, and its `dequantize` takes them.
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Sequence
from typing import Any

from p2phub.errors import ContentChanged, DiskError, UsageError
from p2phub.formats import gguf_row_bytes

FRAMEWORKS = ("numpy", "torch")

# fmt: off
_NUMPY = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "F8_E4M3": "u1", "F8_E5M2": "u1", "F8_E8M0": "u1", "F8_E4M3FNUZ": "u1",
    "F8_E5M2FNUZ": "u1", "I16": "<i2", "U16": "<u2", "F16": "<f2", "BF16": "<u2", "I32": "<i4", "U32": "<u4",
    "F32": "<f4", "I64": "<i8", "U64": "<u8", "F64": "<f8", "C64": "<c8",
}
_TORCH = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu", "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz", "I16": "int16",
    "U16": "uint16", "F16": "float16", "BF16": "bfloat16", "I32": "int32", "U32": "uint32", "F32": "float32",
    "I64": "int64", "U64": "uint64", "F64": "float64", "C64": "complex64",
}
# fmt: on


def need(framework: str) -> None:
    """Load a framework. Raises UsageError for one that is not known, or not installed."""
    if framework not in FRAMEWORKS:
        raise UsageError(f"no framework {framework[:40]!r}", hint=f"there are: {', '.join(FRAMEWORKS)}")
    try:
        if framework == "torch":
            import torch  # noqa: F401
        else:
            import numpy  # noqa: F401
    except ImportError as exc:
        raise UsageError(f"{framework} is not installed", hint=f"pip install {framework}") from exc


def array_of(framework: str, data: bytearray | memoryview, dtype: str, shape: Sequence[int]) -> Any:
    """Return an array that shares `data`."""
    if framework == "torch":
        return _torch_tensor(data, dtype, shape)
    import numpy as np

    flat = np.frombuffer(data, dtype=_NUMPY.get(dtype, "u1"))
    as_shaped = shape if dtype in _NUMPY else _shape_of_blocks(dtype, shape)
    return flat if as_shaped is None else flat.reshape(as_shaped)


def _shape_of_blocks(dtype: str, shape: Sequence[int]) -> Sequence[int] | None:
    """Return what shape the bytes of a quantised tensor have, None for what is none."""
    row_bytes = gguf_row_bytes(dtype, shape[-1]) if shape else None
    return None if row_bytes is None else (*shape[:-1], row_bytes)


def _torch_tensor(data: bytearray | memoryview, dtype: str, shape: Sequence[int]) -> Any:
    import torch

    known = getattr(torch, _TORCH.get(dtype, ""), None)
    kind = known if known is not None else torch.uint8
    blocks = _shape_of_blocks(dtype, shape) if known is None else None
    if blocks is not None:
        shape = blocks
    if not len(data):
        return torch.empty(tuple(shape), dtype=kind)
    flat = torch.frombuffer(data, dtype=kind)
    # What it has no name for it gets as bytes, in one dimension unless each is a value.
    return flat.reshape(tuple(shape)) if known is not None or len(data) == math.prod(shape) else flat


def read_part(descriptor: int, start: int, stop: int, path: str) -> bytearray:
    """Return bytes `start` ..< `stop` of an open file. Blocks. Raises ContentChanged if it is shorter, DiskError."""
    data = bytearray(stop - start)
    view = memoryview(data)
    got = 0
    while got < len(data):
        try:
            count = os.preadv(descriptor, [view[got:]], start + got)
        except OSError as exc:
            raise DiskError(f"cannot read {path}: {exc.strerror}") from exc
        if not count:
            raise ContentChanged(f"{path} became shorter while it was read")
        got += count
    return data


def mapped(descriptor: int, path: str) -> memoryview:
    """Return an open file's bytes without reading them: what is written to them stays in this process. Raises
    DiskError."""
    try:
        return memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY))
    except (OSError, ValueError) as exc:
        raise DiskError(f"cannot map {path}: {exc}") from exc
