"""A map of a file by its tensors, few enough to be drawn: neighbours become one, called by how their names begin. Pure.

A model may have a hundred thousand tensors, and a screen has some thousand points across. Neighbours are merged by the
beginnings of their names (`model.layers.0.mlp`), the longest first, until they are few enough; where names do not help,
by runs of as many as it takes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import groupby, takewhile

import msgspec

DOTS_MAX = 8


class Piece(msgspec.Struct, frozen=True):
    """`count` tensors of a file that lie in its bytes `start` ..< `stop`."""

    name: str
    start: int
    stop: int
    count: int = 1


def merged(pieces: Iterable[Piece], *, most: int) -> list[Piece]:
    """Return at most `most` pieces, ascending, that cover what these do."""
    found = sorted(pieces, key=lambda piece: (piece.start, piece.stop))
    for dots in range(DOTS_MAX, 0, -1):
        if len(found) <= most:
            return found
        found = _by_beginning(found, dots)
    if len(found) <= most:
        return found
    run = -(-len(found) // most)
    return [_one(found[at : at + run]) for at in range(0, len(found), run)]


def _by_beginning(pieces: Sequence[Piece], dots: int) -> list[Piece]:
    """Merge neighbours whose names have the first `dots` parts in common."""
    groups = groupby(pieces, key=lambda piece: ".".join(piece.name.split(".")[:dots]))
    return [_one(list(each)) for _, each in groups]


def _one(pieces: Sequence[Piece]) -> Piece:
    if len(pieces) == 1:
        return pieces[0]
    first, last = pieces[0].name, pieces[-1].name
    shared = takewhile(lambda both: both[0] == both[1], zip(first.split("."), last.split("."), strict=False))
    name = ".".join(part for part, _ in shared) or f"{first} … {last}"
    return Piece(
        name,
        min(piece.start for piece in pieces),
        max(piece.stop for piece in pieces),
        sum(piece.count for piece in pieces),
    )


def overlap(start: int, stop: int, here: Sequence[Sequence[int]]) -> int:
    """Return how many of the bytes `start` ..< `stop` lie in `here`: spans [start, stop], ascending and apart."""
    at = max(0, bisect_right(here, start, key=lambda span: span[0]) - 1)
    found = 0
    while at < len(here) and here[at][0] < stop:
        found += max(0, min(stop, here[at][1]) - max(start, here[at][0]))
        at += 1
    return found


def coarser(here: Sequence[Sequence[int]], *, most: int) -> list[list[int]]:
    """Return at most `most` of the spans: the smallest gaps between them are left to the map's resolution."""
    spans = [list(span) for span in here]
    if len(spans) <= most:
        return spans
    gaps = sorted(range(1, len(spans)), key=lambda at: spans[at][0] - spans[at - 1][1], reverse=True)
    cuts = sorted(gaps[: most - 1])
    return [[spans[at][0], spans[to - 1][1]] for at, to in zip([0, *cuts], [*cuts, len(spans)], strict=True)]
