"""Who of a crowd asks first for which part, agreed upon without a word.

Requesters that know each other rank themselves for each part of a manifest by a hash of peer and part, and each asks
first where it ranks highest, then where it ranks next. So they get different chunks from the one provider that has all,
and serve each other the rest. Who knows only some of the others errs now and then, which costs a second copy of a chunk
and nothing else. Known as rendezvous hashing.
"""

from __future__ import annotations

from collections.abc import Iterable

from p2phub.content import RangeSet
from p2phub.identity import PeerId

PARTS_MAX = 512  # So many parts share evenly enough; more would cost time whenever somebody comes or goes.
RANKS = 4  # First, second, third, and the rest.
OTHERS_MAX = 64
_MASK = (1 << 64) - 1


class Shares:
    """What of the chunks 0 ..< total each of `own` and `others` asks for first, as `own` sees it."""

    def __init__(self, total: int, own: PeerId, others: Iterable[PeerId]) -> None:
        mine = _number(own)
        numbers = sorted({_number(other) for other in others} - {mine})[:OTHERS_MAX]
        everyone = [mine, *numbers]
        parts = _parts(total)
        most = -(-len(parts) // len(everyone))  # Nobody asks first for more than that.
        first: dict[int, list[tuple[int, int]]] = {number: [] for number in everyone}
        runs: list[list[tuple[int, int]]] = [[] for _ in range(RANKS)]
        for part, run in enumerate(parts):
            ranked = [
                number for _, number in sorted(((_mixed(number ^ part), number) for number in everyone), reverse=True)
            ]
            asks = next(number for number in ranked if len(first[number]) < most)
            first[asks].append(run)
            rank = 0
            if asks != mine:
                ranked.remove(asks)
                rank = min(1 + ranked.index(mine), RANKS - 1)
            runs[rank].append(run)
        self.ranks = tuple(map(RangeSet.of, runs))
        """Where `own` ranks first, second, third, lower: RANKS sets."""
        self._first = {number: RangeSet.of(found) for number, found in first.items()}

    def of(self, peer: PeerId) -> RangeSet:
        """Return what `peer` asks for first; nothing if it is none of them."""
        return self._first.get(_number(peer), RangeSet())


def beginnings(total: int, own: PeerId) -> tuple[int, ...]:
    """Return where the parts of `total` chunks begin, in the order of how likely `own` asks first for them, whoever the
    others are: so it can begin with its share before it knows them."""
    parts, mine = _parts(total), _number(own)
    ranked = sorted(range(len(parts)), key=lambda part: _mixed(mine ^ part), reverse=True)
    return tuple(parts[part][0] for part in ranked)


def _parts(total: int) -> list[tuple[int, int]]:
    """Return the runs of chunks that are shared out, in order."""
    count = min(total, PARTS_MAX)
    return [(part * total // count, (part + 1) * total // count) for part in range(count)]


def _number(peer: PeerId) -> int:
    return _mixed(int.from_bytes(peer.public_key[:8], "big"))


def _mixed(number: int) -> int:
    """Mix the bits of a 64-bit number: the finaliser of splitmix64."""
    number = (number + 0x9E3779B97F4A7C15) & _MASK
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _MASK
    return number ^ (number >> 31)
