"""Who has which chunk, and how rare each is among the peers of this fetch.

What a peer says it holds is a hint: what it refuses is taken out again, and nothing is allocated by what it claims.
Rarity is piecewise constant, so it is kept as one set of runs per number of holders, made anew only when somebody's
availability changed. Source: proto/transfer.md §5.
"""

from __future__ import annotations

from collections import defaultdict

from p2phub import limits
from p2phub.content import RangeSet, Run
from p2phub.identity import SourceId
from p2phub.transfer.runs import Runs

_NOTHING = RangeSet()


class Availability:
    """What the joined peers hold of what is still wanted."""

    def __init__(self, total: int) -> None:
        self._everything = RangeSet.whole(total)
        self._held: dict[SourceId, RangeSet] = {}
        self._refused: dict[SourceId, RangeSet] = {}  # For good: the file changed, or it promised and refused twice.
        self._doubted: dict[SourceId, RangeSet] = {}  # Refused once as not held: believed if it is announced anew.
        self.complete: set[SourceId] = set()  # Who ever said that it holds all.
        self._whole: set[SourceId] = set()  # Who has joined and holds all, as far as is known.
        self._fellows: set[SourceId] = set()  # Those that did not hold all at some time: they are fetching, too.
        self._of_fellows: RangeSet | None = None
        self._by_count: dict[int, RangeSet] | None = None
        self._tiers: dict[SourceId, tuple[RangeSet, ...]] = {}  # Of those that were asked for, since the last change.
        self.version = 0

    def __contains__(self, peer: SourceId) -> bool:
        return peer in self._held

    def learn(self, peer: SourceId, held: RangeSet) -> None:
        """`peer` says that it holds `held`, too."""
        held &= self._everything
        if held == self._everything:
            self.complete.add(peer)
        else:
            self._fellows.add(peer)
        newest = believed = held - self._refused.get(peer, _NOTHING)
        before = self._held.get(peer)
        if before is not None:
            believed |= before  # It will refuse what it has not got any more; to take that back costs a look at all.
        if before == believed:
            return
        grew = len(believed.runs) <= limits.BELIEVED_RUNS_MAX
        if not grew:  # Each is looked at whenever anybody tells anything: who says ever other crumbs is forgotten some.
            believed = newest
        self._holds(peer, believed)
        known = self._of_fellows
        self._changed()
        if known is not None and grew and peer in self._fellows:
            self._of_fellows = known | believed

    def refuse(self, peer: SourceId, chunks: RangeSet, *, for_good: bool) -> None:
        """`peer` will not give `chunks`."""
        doubted = self._doubted.get(peer, _NOTHING)
        self._refused[peer] = self._refused.get(peer, _NOTHING) | (chunks if for_good else chunks & doubted)
        self._doubted[peer] = doubted | chunks
        if peer in self._held:
            self._holds(peer, self._held[peer] - chunks)
            self._changed()

    def forget(self, peer: SourceId) -> None:
        """`peer` left. What it refused stays known, in case it comes back."""
        self._whole.discard(peer)
        if self._held.pop(peer, None) is not None:
            self._changed()

    def _holds(self, peer: SourceId, held: RangeSet) -> None:
        self._held[peer] = held
        if held == self._everything:
            self._whole.add(peer)
        else:
            self._whole.discard(peer)

    def _changed(self) -> None:
        self._by_count = self._of_fellows = None
        self._tiers.clear()
        self.version += 1

    def of(self, peer: SourceId) -> RangeSet:
        """Return what `peer` holds; empty if it has not joined."""
        return self._held.get(peer, _NOTHING)

    @property
    def anyone_holds_all(self) -> bool:
        return bool(self._whole)

    @property
    def of_anyone(self) -> RangeSet:
        """What any joined peer holds."""
        return RangeSet.of(run for held in self._held.values() for run in held.runs)

    def is_leader(self, peer: SourceId) -> bool:
        """Whether `peer` holds everything, and is not fetching, nor has just been."""
        return peer in self._whole and peer not in self._fellows

    @property
    def leader_count(self) -> int:
        """How many those are."""
        return len(self._whole - self._fellows)

    @property
    def of_fellows(self) -> RangeSet:
        """What those hold who are fetching, too, or have just been."""
        if self._of_fellows is None:
            held = (self._held.get(fellow, _NOTHING) for fellow in self._fellows)
            self._of_fellows = RangeSet.of(run for each in held for run in each.runs)
        return self._of_fellows

    def holds_any(self, peer: SourceId, chunks: Runs) -> bool:
        """Whether `peer` holds some of `chunks`."""
        return chunks.meets(self.of(peer))

    def held_elsewhere(self, peer: SourceId, chunks: Runs) -> bool:
        """Whether another joined peer than `peer` holds some of `chunks`."""
        return any(other != peer and self.holds_any(other, chunks) for other in self._held)

    def tiers(self, peer: SourceId) -> tuple[RangeSet, ...]:
        """Return what `peer` holds, split by how many peers hold it, the rarest first."""
        tiers = self._tiers.get(peer)
        if tiers is None:
            by_count = self._by_count = _by_count(self._held) if self._by_count is None else self._by_count
            held = self.of(peer)
            tiers = self._tiers[peer] = tuple(filter(None, (held & by_count[count] for count in sorted(by_count))))
        return tiers


def _by_count(held: dict[SourceId, RangeSet]) -> dict[int, RangeSet]:
    """Return for each number of holders the chunks that have just so many."""
    steps: dict[int, int] = defaultdict(int)
    for ranges in held.values():
        for start, stop in ranges.runs:
            steps[start] += 1
            steps[stop] -= 1
    runs: dict[int, list[Run]] = defaultdict(list)
    count, begun = 0, 0
    for at in sorted(steps):
        if count:
            runs[count].append((begun, at))
        count, begun = count + steps[at], at
    return {count: RangeSet.of(found) for count, found in runs.items()}
