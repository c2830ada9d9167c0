"""A part of a manifest, as an arrival is told of it: which chunks and files, and what is made of them."""

from __future__ import annotations

import msgspec

from p2phub.content import RangeSet


class Part(msgspec.Struct, frozen=True):
    """Bytes `start` ..< `stop` of file number `file` of a manifest, all of them in chunks that are verified."""

    file: int
    start: int
    stop: int


class Gap(msgspec.Struct, frozen=True):
    """`length` zeros, which a disk may keep as a hole."""

    length: int


class Made(msgspec.Struct, frozen=True):
    """A file that no manifest has: `parts` one behind the other, at `path` below the destination."""

    path: str
    parts: tuple[bytes | Part | Gap, ...]

    @property
    def length(self) -> int:
        """How many bytes it has."""
        return sum(map(_length, self.parts))


def _length(part: bytes | Part | Gap) -> int:
    if isinstance(part, Part):
        return part.stop - part.start
    return part.length if isinstance(part, Gap) else len(part)


class ToMake(msgspec.Struct, frozen=True):
    """Where a file will be made, and how many bytes it will have at least and at most."""

    path: str
    bytes_least: int
    bytes_most: int


class Selected(msgspec.Struct, frozen=True):
    """What an arrival is for, if not for all: `chunks` are fetched; of the files they are in those in `files` (by
    number; empty files, too) go to their place, of the others only what is made of them."""

    chunks: RangeSet
    files: RangeSet
    made: tuple[ToMake, ...] = ()
