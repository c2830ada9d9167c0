"""The header of a safetensors file that holds some tensors of others, which may stand in several files (shards).

    file = header length u64 little-endian | JSON object, filled up with spaces to 8 bytes | tensors, back to back

The widest values come first, as the format's own library writes them: then each tensor begins where its values are
aligned, whichever were chosen, and a file that was written so keeps its order. Metadata of the originals is kept, the
first word on each key. Pure: where the bytes lie and who copies them is the caller's.
Source: the format's README and `tensor.rs` in huggingface/safetensors.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from p2phub import limits
from p2phub.errors import UsageError
from p2phub.formats.layout import Span
from p2phub.formats.safetensors import DTYPE_BITS, LENGTH_BYTES

METADATA_CHARACTERS_MAX = 64 * limits.KIB  # Of all originals together; what is beyond is left out.
_ALIGNED_TO = 8


def in_order(spans: Iterable[Span]) -> list[int]:
    """Return in which order `spans` are written, as indices into them: the widest first, else as they came.

    Raises ValueError for a dtype that the format does not have.
    """
    widths = [_width(span) for span in spans]
    return sorted(range(len(widths)), key=lambda at: -widths[at])


def _width(span: Span) -> int:
    bits = DTYPE_BITS.get(span.dtype)
    if bits is None:
        raise ValueError(f"{span.dtype!r} is no dtype of safetensors")
    return -(-bits // 8)


def selected_header(spans: Sequence[Span], metadata: Iterable[str] = ()) -> bytes:
    """Return what a file begins with that holds `spans` back to back in just this order; their own places do not count.

    `metadata` are the originals' (JSON texts as `read_header` gives them). Raises UsageError where two have one name,
    or they are more than a header may describe.
    """
    entries: dict[str, object] = {}
    kept = _kept_metadata(metadata)
    if kept:
        entries["__metadata__"] = kept
    at = 0
    for span in spans:
        if span.name in entries:
            raise UsageError(
                f"two files have a tensor called {span.name[:80]!r}",
                hint="name the files of one of them with --include, or leave the other out with --exclude",
            )
        stop = at + span.stop - span.start
        entries[span.name] = {"dtype": span.dtype, "shape": list(span.shape), "data_offsets": [at, stop]}
        at = stop
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNED_TO)
    if len(text) > limits.HEADER_BYTES_MAX:
        raise UsageError(f"{len(spans)} tensors are more than one file can describe", hint="select fewer of them")
    return len(text).to_bytes(LENGTH_BYTES, "little") + text


def header_bytes_max(spans: Sequence[Span]) -> int:
    """Return how long the header of a file with `spans` can be, whatever metadata its originals have."""
    return len(selected_header(spans)) + 6 * METADATA_CHARACTERS_MAX + 64  # An escaped character takes up to six.


def _kept_metadata(texts: Iterable[str]) -> dict[str, str]:
    kept: dict[str, str] = {}
    room = METADATA_CHARACTERS_MAX
    for text in dict.fromkeys(texts):  # Shards mostly have the same.
        room -= len(text)
        if room < 0:
            break
        if text:
            kept = {**json.loads(text), **kept}
    return kept
