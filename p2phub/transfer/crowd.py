"""In what order a requester takes what only complete providers hold, while others fetch the same thing.

Every requester first asks for its own share of that (`shares`), then waits a moment at each step before it asks for
what is another's: of the shares where it ranks next, of the rest, and at last for what peers that are fetching hold
already. Who does not wait asks for what is on its way to another this moment; the provider is not idle meanwhile, since
those whose share it is go on asking. A peer that left its share undone costs a moment, not the fetch.

So the one provider that has all sends little more than one copy, however many fetch (figures: docs/decisions/0061).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from p2phub.content import RangeSet
from p2phub.identity import PeerId
from p2phub.transfer.shares import Shares

WAIT_S = 0.5  # At least, before each further step; before the first as long as some chunks take on the link: where
WAIT_CHUNKS = 4  # many share what the provider sends, nobody can come forward sooner with what it asked for first,
WAIT_S_MAX = 10.0  # but no longer than this: it is also what a false claim to hold much can cost.


class Turn:
    """How far a link to a complete provider has come: it may take the first `reach` + 1 of the crowd's steps."""

    __slots__ = ("waits_since",)

    def __init__(self) -> None:
        self.waits_since: float | None = None

    def reach(self, crowd: Crowd, *, rate: float, now: float) -> int:
        if self.waits_since is None:
            return 0
        wait_s = min(max(WAIT_S, WAIT_CHUNKS * crowd.chunk_bytes / rate), WAIT_S_MAX) if rate else WAIT_S
        # So long once; then, for as long as others come forward, a moment each time.
        waited_s = now - max(self.waits_since + wait_s, crowd.progress_at + WAIT_S)
        return int(1 + waited_s / WAIT_S) if waited_s >= 0 else 0


class Crowd:
    """This node among `others`, in a manifest of `total` chunks of about `chunk_bytes` each."""

    def __init__(self, total: int, own: PeerId, others: Iterable[PeerId], *, chunk_bytes: float) -> None:
        others = frozenset(others)
        self._everything = RangeSet.whole(total)
        self.others_count = len(others)
        self.chunk_bytes = chunk_bytes
        self._shares = Shares(total, own, others)
        self._steps: tuple[RangeSet, ...] = ()
        self._steps_for: tuple[int, int] | None = None
        self._rare = total
        self.progress_at = -math.inf  # When others got something last that nobody but complete providers had.

    @property
    def share(self) -> RangeSet:
        """What this node asks of a complete provider first."""
        return self._shares.ranks[0]

    def first_for(self, peer: PeerId) -> RangeSet:
        """What `peer` asks of a complete provider first."""
        return self._shares.of(peer)

    def follow(self, before: Crowd) -> None:
        """This crowd is that one, but for some who came or went."""
        self._rare, self.progress_at = before._rare, before.progress_at

    def look(self, held_by_fellows: RangeSet, *, now: float) -> None:
        """Note what the others have by now."""
        rare = len(self._everything) - len(held_by_fellows)
        if rare < self._rare:
            self.progress_at = now
            self._rare = rare  # Who takes back what it said, and says it anew, has done nothing.

    def steps(self, free: RangeSet, held_by_fellows: RangeSet, *, version: tuple[int, int]) -> tuple[RangeSet, ...]:
        """Return what to take of a complete provider, step by step; the last one is everything. Remembered for as long
        as `version` is the same."""
        if self._steps_for != version:
            rare = free - held_by_fellows
            shares = [rare & share for share in self._shares.ranks] if rare else [rare]
            self._steps = (*shares, self._everything)
            self._steps_for = version
        return self._steps
