"""Who of a crowd asks first for which part, agreed upon without a word.

Requesters that know each other rank themselves for each part of a manifest by a hash of peer and part, and each asks
first where it ranks highest, then where it ranks next. So they get different chunks from the one provider that has all,
and serve each other the rest. Who knows only some of the others errs now and then, which costs a second copy of a chunk
and nothing else. Known as rendezvous hashing.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from functools import lru_cache
from operator import attrgetter

from p2phub import limits
from p2phub.content import RangeSet, Run
from p2phub.identity import PeerId

PARTS_MAX = 512  # So many parts share evenly enough; more would cost time whenever somebody comes or goes.
RANKS = 4  # First, second, third, and the rest.
OTHERS_MAX = limits.PROVIDERS_PER_FETCH_MAX  # Who knows few of many believes that too much is its own.
_MASK = (1 << 64) - 1


class Shares:
    """What of the chunks 0 ..< total each of `own` and `others` asks for first, as `own` sees it."""

    def __init__(self, total: int, own: PeerId, others: Iterable[PeerId]) -> None:
        mine = _number(own)
        # Of two with one number, which cost many keys to find, all take the same.
        in_order = sorted(others, key=attrgetter("public_key"), reverse=True)
        fellows = {_number(other): other for other in in_order} | {mine: own}
        everyone = [mine, *sorted(fellows.keys() - {mine})[:OTHERS_MAX]]
        parts = _parts(total)
        most = -(-len(parts) // len(everyone))  # Nobody asks first for more than that.
        first: list[list[Run]] = [[] for _ in everyone]
        runs: list[list[Run]] = [[] for _ in range(RANKS)]
        # Of each part, what everyone is ranked by: the highest asks first.
        columns = zip(*(_values(number, len(parts)) for number in everyone), strict=True)
        for run, column in zip(parts, columns, strict=True):
            asks = column.index(max(column))
            if len(first[asks]) >= most:
                ranked = sorted(range(len(column)), key=column.__getitem__, reverse=True)
                asks = next(each for each in ranked if len(first[each]) < most)
            first[asks].append(run)
            rank = 0
            if asks:
                above = sum(map(column[0].__lt__, column))
                rank = min(above + (column[asks] < column[0]), RANKS - 1)
            runs[rank].append(run)
        self.ranks = tuple(map(RangeSet.of, runs))
        """Where `own` ranks first, second, third, lower: RANKS sets."""
        self.first = {fellows[number]: RangeSet.of(runs) for number, runs in zip(everyone, first, strict=True) if runs}
        """What each asks for first: of those only that ask for any first."""


def beginnings(total: int, own: PeerId) -> tuple[int, ...]:
    """Return where the parts of `total` chunks begin, in the order of how likely `own` asks first for them, whoever the
    others are: so it can begin with its share before it knows them."""
    parts = _parts(total)
    ranked = sorted(range(len(parts)), key=_values(_number(own), len(parts)).__getitem__, reverse=True)
    return tuple(parts[part][0] for part in ranked)


def _parts(total: int) -> list[Run]:
    """Return the runs of chunks that are shared out, in order."""
    count = min(total, PARTS_MAX)
    return [(part * total // count, (part + 1) * total // count) for part in range(count)]


@lru_cache(maxsize=1024)  # Of 4 KiB each: who is known is ranked anew whenever somebody comes or goes.
def _values(number: int, count: int) -> array[int]:
    """Return what a peer of that `number` is ranked by for each of `count` parts."""
    return array("Q", (_mixed(number ^ part) for part in range(count)))


def _number(peer: PeerId) -> int:
    return _mixed(int.from_bytes(peer.public_key[:8], "big"))


def _mixed(number: int) -> int:
    """Mix the bits of a 64-bit number: the finaliser of splitmix64."""
    number = (number + 0x9E3779B97F4A7C15) & _MASK
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _MASK
    return number ^ (number >> 31)
