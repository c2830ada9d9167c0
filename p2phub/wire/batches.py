"""`want` and `chunks`, of which one of each goes for each MiB that moves, by a shorter way than the other messages.

Made from structs, and read into them as they usually are. A header that is not as usual (broken, or with a key of
another version) is left to `wire.codec`, which reads field by field and names the rule that is broken; both give the
same for whatever both take.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec

from p2phub import limits
from p2phub.wire.fields import CHUNK_NUMBER_MAX, batch_of, flat
from p2phub.wire.framing import frame
from p2phub.wire.messages import Chunks, Want

_Header = TypeVar("_Header")


def encode_want(message: Want) -> bytes:
    """Return its whole frame."""
    return frame(_ENCODER.encode(_WantHeader(flat(message.ranges))))


def encode_chunks(message: Chunks) -> bytes:
    """Return its whole frame."""
    return frame(_ENCODER.encode(_ChunksHeader(message.coding, message.length, flat(message.ranges))))


def usual_want(header: bytes) -> Want | None:
    """Read `header` if it is a `want` as usual. Raises Malformed if its ranges are no batch."""
    found = _usual(header, _WANT)
    return None if found is None else Want(batch_of(found.ranges))


def usual_chunks(header: bytes) -> Chunks | None:
    """Read `header` if it is a `chunks` as usual. Raises Malformed if its ranges are no batch."""
    found = _usual(header, _CHUNKS)
    return None if found is None else Chunks(batch_of(found.ranges), found.length)


_Length = Annotated[int, msgspec.Meta(ge=1, le=limits.BATCH_BYTES_MAX)]
_Number = Annotated[int, msgspec.Meta(ge=0, le=CHUNK_NUMBER_MAX)]
_Ranges = Annotated[list[_Number], msgspec.Meta(max_length=2 * limits.REQUEST_RANGES_MAX)]


class _WantHeader(msgspec.Struct, forbid_unknown_fields=True):
    """The map of `want`, its keys in canonical order."""

    ranges: _Ranges
    t: Literal["want"] = "want"


class _ChunksHeader(msgspec.Struct, forbid_unknown_fields=True):
    """The map of `chunks`, its keys in canonical order."""

    coding: Literal["raw"]
    length: _Length
    ranges: _Ranges
    t: Literal["chunks"] = "chunks"


_ENCODER = msgspec.msgpack.Encoder()
_WANT = msgspec.msgpack.Decoder(_WantHeader)
_CHUNKS = msgspec.msgpack.Decoder(_ChunksHeader)


def _usual(header: bytes, decoder: msgspec.msgpack.Decoder[_Header]) -> _Header | None:
    """Return `header` as it usually is, its numbers within their bounds; None leaves it to those who read field by
    field, and name the rule that is broken.

    Whatever was decoded, if encoding it gives `header` again it was canonical and had no other key.
    """
    try:
        found = decoder.decode(header)
    except ValueError:
        return None
    return found if _ENCODER.encode(found) == header else None
