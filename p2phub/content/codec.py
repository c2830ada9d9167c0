"""Canonical msgpack: one value has exactly one encoding, and the decoder takes no other.

So a digest or a signature over the bytes is one over the value. Allowed are bool, integers of -2^63 ..= 2^64 - 1,
text, bytes, arrays, and maps whose keys are text, distinct and ascending by their UTF-8 bytes; every length and integer
in its shortest form; at most MSGPACK_DEPTH_MAX levels of arrays and maps. No nil, floats, extensions, trailing bytes.

What a value means is its reader's business; this is shape only. The caller bounds the length of what it decodes: memory
is then at most some thirty times that, because nothing is allocated for elements that are not there, and arrays and
maps, which cost most for the least input, are limited in number.
Source: proto/identifiers.md §8; the msgpack specification.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import msgpack
import msgspec

from p2phub import limits
from p2phub.errors import Malformed

CONTAINERS_FREE = 32_768  # As many arrays and maps as any message may hold, however short they are;
CONTAINER_BYTES_MIN = 6  # above that, one in so many bytes.
_SHORT_BYTES_MAX = 1024  # What is decoded first and judged after: too short to cost much, whatever it is.

_SCALARS = frozenset((bool, int, str, bytes))
_VALUES = _SCALARS | {list, dict}
_KEYS = frozenset((str,))

_ENCODER = msgspec.msgpack.Encoder(order="sorted")  # Of code points, which is the order of UTF-8 bytes.
_DECODER = msgspec.msgpack.Decoder()


def pack(value: object) -> bytes:
    """Return the one encoding of `value`: bool, int, str, bytes, and lists, tuples and str-keyed dicts of them.

    Raises TypeError, ValueError or OverflowError for anything else: what we encode is ours, so that is a bug.
    """
    _check_encodable(value, 0)
    return _ENCODER.encode(value)


def unpack(data: bytes) -> object:
    """Return the value that `data` encodes; arrays come back as lists.

    Raises Malformed: msgpack-truncated, msgpack-trailing, msgpack-type (nil, float, extension, the unused byte),
    msgpack-utf8, msgpack-key, msgpack-order, msgpack-duplicate, msgpack-depth, msgpack-crowded, msgpack-shortest.
    """
    if len(data) <= _SHORT_BYTES_MAX and (value := _unpack_short(data)) is not None:
        return value
    _check_whole(data)
    left = max(len(data) // CONTAINER_BYTES_MIN, CONTAINERS_FREE)

    def count() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Malformed("msgpack-crowded", f"too many arrays and maps for {len(data)} bytes")

    def list_of(items: list[object]) -> list[object]:
        count()
        return items

    def map_of(pairs: list[tuple[Any, object]]) -> dict[str, object]:
        count()
        return _map_of(pairs)

    try:
        # The hook sees to it that keys are text; as pairs, so that no key is hashed before.
        value = msgpack.unpackb(
            data, strict_map_key=False, list_hook=list_of, object_pairs_hook=map_of, ext_hook=_no_extension
        )
    except UnicodeDecodeError as exc:
        raise Malformed("msgpack-utf8", "text that is not UTF-8") from exc
    except ValueError as exc:  # What msgpack still finds, such as a timestamp that is none.
        raise Malformed("msgpack-type", f"not msgpack that we use: {exc}") from exc
    _check_values(value)
    if msgpack.packb(value, use_bin_type=True) != data:
        raise Malformed("msgpack-shortest", "an integer or length is not in its shortest form")
    return value


def _unpack_short(data: bytes) -> object | None:
    """Return the value of which `data` is the one encoding, or None if there is no such value.

    Most messages are short and right. Whatever was decoded, if encoding it gives `data` again it was canonical; who is
    wrong goes the long way, which names the rule. A tenth of the time of that, a few times for each MiB that moves.
    """
    try:
        value: object = _DECODER.decode(data)
        return value if pack(value) == data else None
    except (ValueError, TypeError, RecursionError):
        return None


def packed_lengths(values: Iterable[object]) -> Iterator[int]:
    """Yield how many bytes each of `values` takes. They must be in canonical order, as what `unpack` returns is."""
    packer = msgpack.Packer(use_bin_type=True)
    return (len(packer.pack(value)) for value in values)


def _check_encodable(value: object, depth: int) -> None:
    """Raise for what has no encoding."""
    if type(value) in _SCALARS:
        return
    if depth >= limits.MSGPACK_DEPTH_MAX:
        raise ValueError(f"more than {limits.MSGPACK_DEPTH_MAX} levels")
    if isinstance(value, dict):
        if not _KEYS.issuperset(map(type, value)):
            raise TypeError("keys are text")
        items: Iterable[object] = value.values()
    elif isinstance(value, list | tuple):
        items = value
    else:
        raise TypeError(f"{type(value).__name__} has no canonical encoding")
    if not _SCALARS.issuperset(map(type, items)):
        for item in items:
            _check_encodable(item, depth + 1)


def _check_whole(data: bytes) -> None:
    """Check that `data` is one whole value, without making any: an announced length that is not there costs nothing."""
    reader = msgpack.Unpacker(max_buffer_size=max(1, len(data)))
    reader.feed(data)
    try:
        reader.skip()
    except msgpack.OutOfData as exc:
        raise Malformed("msgpack-truncated", f"ends in the middle of a value, after {len(data)} bytes") from exc
    except msgpack.StackError as exc:
        raise Malformed("msgpack-depth", f"more than {limits.MSGPACK_DEPTH_MAX} levels") from exc
    except ValueError as exc:
        raise Malformed("msgpack-type", "a byte that begins no value") from exc
    if reader.tell() != len(data):
        raise Malformed("msgpack-trailing", f"{len(data) - reader.tell()} bytes after the value")


def _map_of(pairs: list[tuple[Any, object]]) -> dict[str, object]:
    if len(pairs) < 2 and all(type(key) is str for key, _ in pairs):
        return dict(pairs)
    if not all(type(key) is str for key, _ in pairs):
        raise Malformed("msgpack-key", "a key that is not text")
    for (before, _), (after, _) in itertools.pairwise(pairs):
        if before >= after:
            if before == after:
                raise Malformed("msgpack-duplicate", f"key {after[:80]!r} twice")
            raise Malformed("msgpack-order", f"key {after[:80]!r} after {before[:80]!r}")
    return dict(pairs)


def _no_extension(code: int, data: bytes) -> object:
    raise Malformed("msgpack-type", f"an extension (type {code}, {len(data)} bytes)")


def _check_values(value: object) -> None:
    """Check types and depth, level by level: a value is never deeper than its levels are looked at."""
    level: Iterable[object] = (value,)
    for _ in range(limits.MSGPACK_DEPTH_MAX + 1):
        level = list(level)
        kinds = set(map(type, level))
        if not kinds <= _VALUES:
            names = ", ".join(sorted(kind.__name__ for kind in kinds - _VALUES))
            raise Malformed("msgpack-type", f"a value of a type that is not used: {names}")
        lists = [item for item in level if type(item) is list] if list in kinds else []
        dicts = [item for item in level if type(item) is dict] if dict in kinds else []
        if not lists and not dicts:
            return
        level = itertools.chain(*lists, *(item.values() for item in dicts))
    raise Malformed("msgpack-depth", f"more than {limits.MSGPACK_DEPTH_MAX} levels")
