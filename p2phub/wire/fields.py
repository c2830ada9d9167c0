"""Read the map of one message strictly, field by field: types, bounds, the order of ranges.

Whatever is wrong is refused with Malformed, which names the rule (proto/transfer.md §2). Keys that nobody asks for are
never looked at, so that a message can grow. Single values are read as those of records are (`content.Fields`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from p2phub import limits
from p2phub.content import DIGEST_BYTES, Digest, Fields, RangeSet
from p2phub.errors import Malformed
from p2phub.identity import PeerId

VERSION = 1
CHUNK_NUMBER_MAX = (1 << 32) - 1  # 4 PiB at 1 MiB a chunk; keeps the longest `held` inside one frame.
PEER_BYTES = 32
GOT_BYTES = 8


class MessageFields(Fields):
    """The map of one message; each method reads one field strictly, or raises Malformed."""

    __slots__ = ()

    def __init__(self, values: Mapping[str, object]) -> None:
        super().__init__(values, "message")

    def version(self) -> None:
        found = self._get("v", int)
        if found != VERSION:
            raise Malformed("message-version", f"version {found} of the protocol; this side speaks {VERSION}")

    def free_text(self, key: str, *, most: int) -> str:
        """Return text of up to `most` bytes, whatever is in it: it is compared, or made printable by who shows it."""
        text = self._get(key, str)
        if len(text) > most or len(text.encode()) > most:
            raise self._out_of_range(f"{key} is longer than {most} bytes")
        return text

    def digest(self, key: str) -> Digest:
        return Digest(self.binary(key, least=DIGEST_BYTES, most=DIGEST_BYTES))

    def numbers(self, key: str, *, items: int, least: int, most: int) -> list[int]:
        """Return up to `items` integers of `least` ..= `most`."""
        found = self.array(key, most=items)
        numbers = [item for item in found if type(item) is int]
        if len(numbers) != len(found):
            raise self._of_another_type(f"{key} has entries that are not numbers")
        if numbers and not (least <= min(numbers) and max(numbers) <= most):
            raise self._out_of_range(f"{key} has numbers outside {least} to {most}")
        return numbers

    def entries(self, key: str, *, least: int, most: int) -> list[bytes]:
        """Return `least` ..= `most` elements, each of them bytes."""
        found = self.array(key, least=least, most=most)
        entries = [item for item in found if type(item) is bytes]
        if len(entries) != len(found):
            raise self._of_another_type(f"{key} has an entry that is not bytes")
        return entries

    def ranges(self, key: str, most_ranges: int) -> tuple[tuple[int, int], ...]:
        """Read (first, count) pairs of distinct chunks, in any order of the pairs."""
        return _pairs(key, self.numbers(key, items=2 * most_ranges, least=0, most=CHUNK_NUMBER_MAX))

    def batch(self, key: str) -> tuple[tuple[int, int], ...]:
        """Read the ranges of one request or answer, as `batch_of` takes them."""
        most_numbers = 2 * limits.REQUEST_RANGES_MAX
        return batch_of(self.numbers(key, items=most_numbers, least=0, most=CHUNK_NUMBER_MAX))

    def held(self, key: str) -> RangeSet:
        """Read ascending, disjoint ranges that do not touch."""
        ranges = self.ranges(key, limits.HAVE_RANGES_MAX)
        runs = tuple((first, first + count) for first, count in ranges)
        if RangeSet.of(runs).runs != runs:
            raise Malformed("ranges", f"{key} is not ascending, or has ranges that touch")
        return RangeSet(runs)

    def got(self, key: str) -> tuple[tuple[PeerId, int], ...]:
        """Read peers and what was had of each; nothing if the field is not there."""
        if key not in self:
            return ()
        entries = self.entries(key, least=0, most=limits.GOT_TOLD_MAX)
        if any(len(entry) != PEER_BYTES + GOT_BYTES for entry in entries):
            raise self._out_of_range(f"{key} has an entry of another length")
        got = {PeerId(entry[:PEER_BYTES]): int.from_bytes(entry[PEER_BYTES:], "big") for entry in entries}
        if len(got) != len(entries):
            raise self._out_of_range(f"{key} names a peer twice")
        return tuple(got.items())

    def _missing(self, what: str) -> Malformed:
        return Malformed("message-field", what)

    def _of_another_type(self, what: str) -> Malformed:
        return Malformed("message-field", what)

    def _out_of_range(self, what: str) -> Malformed:
        return Malformed("message-bounds", what)


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
