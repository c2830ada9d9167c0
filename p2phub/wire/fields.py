"""Read the map of one message strictly, field by field: types, bounds, the order of ranges.

Whatever is wrong is refused with Malformed, which names the rule (proto/transfer.md §2). Keys that nobody asks for are
never looked at, so that a message can grow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TypeVar

from p2phub import limits
from p2phub.content import DIGEST_BYTES, Digest, RangeSet
from p2phub.errors import Malformed
from p2phub.identity import PeerId

VERSION = 1
CHUNK_NUMBER_MAX = (1 << 32) - 1  # 4 PiB at 1 MiB a chunk; keeps the longest `held` inside one frame.
PEER_BYTES = 32
GOT_BYTES = 8
_Kind = TypeVar("_Kind")


class Fields:
    """The map of one message; each method reads one field strictly, or raises Malformed."""

    def __init__(self, values: dict[str, object]) -> None:
        self._values = values

    def _get(self, key: str, kind: type[_Kind]) -> _Kind:
        value = self._values.get(key)
        if type(value) is not kind:  # Exactly: True is no number here.
            raise Malformed("message-field", f"field {key!r} is not of type {kind.__name__}")
        return value

    def has(self, key: str) -> bool:
        return key in self._values

    def version(self) -> None:
        found = self._get("v", int)
        if found != VERSION:
            raise Malformed("message-version", f"version {found} of the protocol; this side speaks {VERSION}")

    def number(self, key: str, least: int, most: int) -> int:
        number = self._get(key, int)
        if not least <= number <= most:
            raise Malformed("message-bounds", f"{key} is {number}, not {least} to {most}")
        return number

    def flag(self, key: str) -> bool:
        return self._get(key, bool)

    def text(self, key: str, most_bytes: int) -> str:
        text = self._get(key, str)
        if len(text) > most_bytes or len(text.encode()) > most_bytes:
            raise Malformed("message-bounds", f"{key} is longer than {most_bytes} bytes")
        return text

    def data(self, key: str, least: int, most: int) -> bytes:
        data = self._get(key, bytes)
        if not least <= len(data) <= most:
            raise Malformed("message-bounds", f"{key} has {len(data)} bytes, not {least} to {most}")
        return data

    def digest(self, key: str) -> Digest:
        return Digest(self.data(key, DIGEST_BYTES, DIGEST_BYTES))

    def numbers(self, key: str, most_items: int, least: int, most: int) -> list[int]:
        found: list[object] = self._get(key, list)
        if len(found) > most_items:
            raise Malformed("message-bounds", f"{key} has {len(found)} entries, at most {most_items} allowed")
        numbers = [item for item in found if type(item) is int]
        if len(numbers) != len(found):
            raise Malformed("message-field", f"{key} has entries that are not numbers")
        if numbers and not (least <= min(numbers) and max(numbers) <= most):
            raise Malformed("message-bounds", f"{key} has numbers outside {least} to {most}")
        return numbers

    def entries(self, key: str, least_items: int, most_items: int) -> list[bytes]:
        found: list[object] = self._get(key, list)
        if not least_items <= len(found) <= most_items:
            raise Malformed("message-bounds", f"{key} has {len(found)} entries, not {least_items} to {most_items}")
        entries = [item for item in found if type(item) is bytes]
        if len(entries) != len(found):
            raise Malformed("message-field", f"{key} has an entry that is not bytes")
        return entries

    def ranges(self, key: str, most_ranges: int) -> tuple[tuple[int, int], ...]:
        """Read (first, count) pairs of distinct chunks, in any order of the pairs."""
        return _pairs(key, self.numbers(key, 2 * most_ranges, 0, CHUNK_NUMBER_MAX))

    def batch(self, key: str) -> tuple[tuple[int, int], ...]:
        """Read the ranges of one request or answer, as `batch_of` takes them."""
        return batch_of(self.numbers(key, 2 * limits.REQUEST_RANGES_MAX, 0, CHUNK_NUMBER_MAX))

    def held(self, key: str) -> RangeSet:
        """Read ascending, disjoint ranges that do not touch."""
        ranges = self.ranges(key, limits.HAVE_RANGES_MAX)
        runs = tuple((first, first + count) for first, count in ranges)
        if RangeSet.of(runs).runs != runs:
            raise Malformed("ranges", f"{key} is not ascending, or has ranges that touch")
        return RangeSet(runs)

    def got(self, key: str) -> tuple[tuple[PeerId, int], ...]:
        """Read peers and what was had of each; nothing if the field is not there."""
        if key not in self._values:
            return ()
        entries = self.entries(key, 0, limits.GOT_TOLD_MAX)
        if any(len(entry) != PEER_BYTES + GOT_BYTES for entry in entries):
            raise Malformed("message-bounds", f"{key} has an entry of another length")
        got = {PeerId(entry[:PEER_BYTES]): int.from_bytes(entry[PEER_BYTES:], "big") for entry in entries}
        if len(got) != len(entries):
            raise Malformed("message-bounds", f"{key} names a peer twice")
        return tuple(got.items())


def flat(ranges: Iterable[tuple[int, int]]) -> list[int]:
    """Return `ranges` as messages carry them: first chunk and count in turn."""
    return list(chain.from_iterable(ranges))


def batch_of(numbers: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Return the `ranges` of one request or answer: at least one, and no more chunks than a batch."""
    ranges = _pairs("ranges", numbers)
    if not ranges:
        raise Malformed("ranges", "no chunk at all")
    chunks = sum(numbers[1::2])
    if chunks > limits.BATCH_CHUNKS_MAX:
        raise Malformed("batch-chunks", f"{chunks} chunks at once, at most {limits.BATCH_CHUNKS_MAX} allowed")
    return ranges


def _pairs(key: str, numbers: Sequence[int]) -> tuple[tuple[int, int], ...]:
    if len(numbers) % 2:
        raise Malformed("ranges", f"{key} ends in the middle of a range")
    each = iter(numbers)
    ranges = tuple(zip(each, each, strict=True))
    after = 0
    for first, count in sorted(ranges):
        if not count or first < after or first + count - 1 > CHUNK_NUMBER_MAX:
            raise Malformed("ranges", f"{key} has an empty or overlapping range at {first}")
        after = first + count
    return ranges
