"""The header of a GGUF file that holds some tensors of others, which may stand in several files (splits).

    file = header (gguf.py) | zeros to the alignment | tensor | zeros to the alignment | tensor…

Metadata is the originals', tokenizer and all, byte for byte, the first word on each key: what reads the file finds the
model it is a part of. Only what says how the whole was split is left out, or llama.cpp would look for the rest. Tensors
keep the order given and begin where their file's alignment lets them; behind the last there are zeros, too, since ggml
reads them. Pure: where the bytes lie and who copies them is the caller's. Source: as gguf.py; `gguf-split.cpp`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from p2phub import limits
from p2phub.errors import UsageError
from p2phub.formats import gguf
from p2phub.formats.gguf import ALIGNMENT, ALIGNMENT_KEY, ALIGNMENT_MAX, FIXED, U32, U64, Pairs
from p2phub.formats.layout import Layout, Span

_SPLIT_KEYS = {b"split.no", b"split.count", b"split.tensors.count"}
_TYPES = {name: (number, values, length) for number, (name, values, length) in gguf.TYPES.items()}


def merged_pairs(metadata: Iterable[Pairs]) -> Pairs:
    """Return what a file made of others says of itself; theirs come in the order in which their word counts.

    Raises UsageError where that is more than one header may hold.
    """
    kept: dict[bytes, bytes] = {}
    for pairs in metadata:
        for key, value in pairs.items():
            if key not in _SPLIT_KEYS:
                kept.setdefault(key, value)
        if len(kept) > limits.GGUF_PAIRS_KEPT_MAX:
            raise UsageError(f"{len(kept)} pairs of metadata are more than one file can describe")
    return kept


def alignment_of(pairs: Pairs) -> int:
    """Return at what multiples of bytes tensors begin; `pairs` are of files that were read."""
    value = pairs.get(ALIGNMENT_KEY)
    return ALIGNMENT if value is None else int.from_bytes(value[4:8], "little")


def gguf_part_start(spans: Sequence[Span], pairs: Pairs) -> bytes:
    """Return what a file begins with that holds `spans` in just this order, each filled up to the alignment; their own
    places do not count.

    Raises UsageError where two have one name, or they are more than a header may describe; ValueError for a dtype that
    the format does not have.
    """
    alignment = alignment_of(pairs)
    parts = [FIXED.pack(gguf.MAGIC, gguf.VERSION, len(spans), len(pairs))]
    for key, value in pairs.items():
        parts += (U64.pack(len(key)), key, value)
    names: set[str] = set()
    at = 0
    for span in spans:
        if span.name in names:
            raise UsageError(
                f"two files have a tensor called {span.name[:80]!r}",
                hint="name the files of one of them with --include, or leave the other out with --exclude",
            )
        names.add(span.name)
        parts.append(_info(span, at))
        at += filled(span.stop - span.start, alignment)
    size = filled(sum(map(len, parts)), alignment)
    if size > limits.HEADER_BYTES_MAX:
        raise UsageError(f"{len(spans)} tensors are more than one file can describe", hint="select fewer of them")
    return b"".join(parts).ljust(size, b"\0")


def filled(length: int, alignment: int) -> int:
    """Return what `length` bytes take with the zeros behind them."""
    return -(-length // alignment) * alignment


def gguf_part_bytes_max(spans: Sequence[Span], layouts: Iterable[Layout]) -> int:
    """Return how many bytes a file of `spans` has at most, whatever the headers say that `layouts` tell the length of.

    Tensors begin at multiples of a file's alignment, so it divides all their places. Raises as `gguf_part_start` does.
    """
    header_bytes, alignment = 0, ALIGNMENT
    for layout in layouts:
        header_bytes += layout.header_bytes
        places = layout.header_bytes
        for span in layout.spans:
            places |= span.start
        alignment = max(alignment, min(places & -places, ALIGNMENT_MAX))
    data = sum(filled(span.stop - span.start, alignment) for span in spans)
    return header_bytes + len(gguf_part_start(spans, {})) + alignment + data


def gguf_row_bytes(dtype: str, values: int) -> int | None:
    """Return how many bytes a row of so many values takes; None for a dtype that the format does not have."""
    known = _TYPES.get(dtype)
    return None if known is None else values // known[1] * known[2]


def _info(span: Span, at: int) -> bytes:
    if span.dtype not in _TYPES or len(span.shape) > gguf.GGUF_DIMENSIONS_MAX:
        raise ValueError(f"{span.dtype!r} of {len(span.shape)} dimensions is no tensor of GGUF")
    name = span.name.encode()
    dimensions = b"".join(map(U64.pack, reversed(span.shape)))
    number = U32.pack(_TYPES[span.dtype][0])
    return U64.pack(len(name)) + name + U32.pack(len(span.shape)) + dimensions + number + U64.pack(at)
