"""In what order a requester takes what only complete providers hold, while others fetch the same thing.

Every requester first asks for its own share of that (`shares`), then waits a moment at each step before it asks for
what is another's: of the shares where it ranks next, of the rest, and at last for what peers that are fetching hold
already. Who does not wait asks for what is on its way to another this moment; the provider is not idle meanwhile, since
those whose share it is go on asking. A peer that left its share undone costs a moment, not the fetch.

So the one provider that has all sends little more than one copy, however many fetch (figures: docs/decisions/0061).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping

from p2phub.content import RangeSet
from p2phub.identity import PeerId
from p2phub.transfer.shares import Shares

WAIT_S = 0.5  # At least, before each further step; before the first as long as some chunks take on the link: where
WAIT_CHUNKS = 4  # many share what the provider sends, nobody can come forward sooner with what it asked for first,
WAIT_S_MAX = 10.0  # but no longer than this: it is also what a false claim to hold much can cost.
PACE_RATIO = 0.5  # Others who come forward with less than this of what the link would bring are not waited for:
PACE_S = 1.0  # over this long, or as long as those chunks take.
_SLICE_S = 0.25  # How finely it is remembered when they did.


class Turn:
    """How far a link to a complete provider has come: it may take the first `reach` + 1 of the crowd's steps."""

    __slots__ = ("has_waited", "kept_until", "waits_since")

    def __init__(self) -> None:
        self.waits_since: float | None = None
        self.has_waited = False  # As long as some chunks take: once, however often shares change.
        self.kept_until = -math.inf  # By others who come forward.

    def reach(self, crowd: Crowd, *, rate: float, now: float) -> int:
        if self.waits_since is None:
            return 0
        some_s = min(max(WAIT_S, WAIT_CHUNKS * crowd.chunk_bytes / rate), WAIT_S_MAX) if rate else WAIT_S
        # So long once; then, for as long as it pays to wait for others, a moment each time.
        if crowd.pays_to_wait(rate, over_s=max(PACE_S, some_s), now=now):
            self.kept_until = crowd.progress_at + WAIT_S
        waited_s = now - max(self.waits_since + (WAIT_S if self.has_waited else some_s), self.kept_until)
        if waited_s < 0:
            return 0
        self.has_waited = True
        return int(1 + waited_s / WAIT_S)


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
        self._seen = RangeSet()  # What others ever said that they hold: who says it anew has done nothing.
        self._came: deque[tuple[float, int]] = deque()  # When others came forward with how many, the latest last.
        self.progress_at = -math.inf  # When they did last: with what is missing here, and only complete providers had.

    @property
    def share(self) -> RangeSet:
        """What this node asks of a complete provider first."""
        return self._shares.ranks[0]

    @property
    def first(self) -> Mapping[PeerId, RangeSet]:
        """What each asks of a complete provider first, this node included; of those only that ask for any first."""
        return self._shares.first

    def follow(self, before: Crowd) -> None:
        """This crowd is that one, but for some who came or went."""
        self._seen, self._came, self.progress_at = before._seen, before._came, before.progress_at

    def look(self, held_by_fellows: RangeSet, missing: RangeSet, *, now: float) -> None:
        """Note what the others have by now. What is not `missing` here helps nobody to wait."""
        new = held_by_fellows - self._seen
        if not new:
            return
        self._seen |= new
        if not (count := len(new & missing)):
            return
        self.progress_at = now
        if self._came and now - self._came[-1][0] < _SLICE_S:
            began, before = self._came.pop()
            self._came.append((began, before + count))
        else:
            self._came.append((now, count))
        while now - self._came[0][0] > WAIT_S_MAX:
            self._came.popleft()

    def pays_to_wait(self, rate: float, *, over_s: float, now: float) -> bool:
        """Whether others have come forward lately with about as much as a link of this `rate` would have brought. Who
        is slow, or says so little by little, is not waited for. 0: not measured."""
        count = sum(count for at, count in self._came if now - at <= over_s)
        return count * self.chunk_bytes >= PACE_RATIO * rate * over_s

    def steps(self, free: RangeSet, held_by_fellows: RangeSet, *, version: tuple[int, int]) -> tuple[RangeSet, ...]:
        """Return what to take of a complete provider, step by step; the last one is everything. Remembered for as long
        as `version` is the same."""
        if self._steps_for != version:
            rare = free - held_by_fellows
            shares = [rare & share for share in self._shares.ranks] if rare else [rare]
            self._steps = (*shares, self._everything)
            self._steps_for = version
        return self._steps
