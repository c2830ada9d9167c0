"""Which sources are left alone because nearer ones do: what is known of each goes in, whom to let go of comes out.

A farther source costs somebody a line that nearer ones would leave free. It keeps its link only while that is worth
it: once those before it hold all that is missing, and have brought FEW_PARTS times as much as all that was let go of,
it included, for MEASURE_S, it goes, the slowest first. So no more than a fifth of the speed is ever given up. It rests
for REST_S, or until those before it lack something or bring too little: then it is wanted at once, or a moment later.
While some rest, others as far are tried one at a time, since one of them may be fast.

A metered source is for when nobody else brings the fetch forward, at any speed above ENOUGH. It is dialled when all
others are gone, or lack something, or bring less for DRY_S; and let go of when they do again. Of signs of life, and of
answers that begin and are never whole, that speed is not made: others live on what they brought (`_credit`). The same
holds for a metered address of one that is known at another, too.

Pure: rates are bytes a second as the links measure them, times seconds of one clock. Source: docs/decisions/0066.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import msgspec

from p2phub import limits
from p2phub.discovery import Nearness
from p2phub.engine.providers import when
from p2phub.identity import SourceId

FEW_PARTS = 4.0
STILL_PARTS = 3.0  # Below this they bring too little; a margin, or one at the edge would come and go.
MEASURE_S = 2.0
SHORT_S = 1.0  # So long they may bring too little: a pause is no reason to dial.
REST_S = 60.0
TRY_FAR_S = 5.0  # While some rest, so often one other as far is dialled.
ENOUGH = float(limits.SLOT_RATE_MIN)  # A provider that has no more to give than this says that it is busy.
CREDIT_S = limits.CHUNK_BYTES_MAX / ENOUGH  # Who brings no more than that brings a whole chunk so seldom.
DRY_S = 3.0
LACK_S = 0.5  # What those who are connected do not hold may be told in a moment.
LOOK_AROUND_S = 1.0  # So long a search may take to name somebody before a metered one is dialled, who was named sooner.


class Seen(msgspec.Struct, frozen=True):
    """A source at one moment. `linked`: it answered, and takes part; `coming`: it is dialled, or may be now, or has not
    answered yet. `rate`: what its links bring, without what is overdue; `best`: what they brought before, if that is
    more; `owes_since`: since when it was asked without having brought anything, None if it has, or was not asked;
    `brought`: all bytes of it that proved right; `dear`: it is known at a metered address, however near it is else."""

    source: SourceId
    nearness: Nearness
    linked: bool = False
    coming: bool = False
    rate: float = 0.0
    best: float = 0.0
    owes_since: float | None = None
    brought: int = 0
    dear: bool = False

    def at_most(self, *, now: float) -> float:
        """Return the rate that it may have: of one that was not measured, what a chunk by now would make."""
        if self.rate or self.best or self.owes_since is None:
            return max(self.rate, self.best)
        return limits.CHUNK_BYTES_MAX / max(now - self.owes_since, 1e-3)


class Facts(msgspec.Struct, frozen=True):
    """Of the whole fetch. `hold_missing` says whether some hold, together, all that is missing, and is None before that
    is known; `silent_s`: since when nothing came from anybody; `searching`: whether somebody may be named yet."""

    hold_missing: Callable[[Iterable[SourceId]], bool] | None
    bytes_missing: int
    silent_s: float
    searching: bool


class Resting(msgspec.Struct, frozen=True):
    """A source that was let go of: what it brought, until when it rests at most, and what those before it brought."""

    nearness: Nearness
    rate: float
    until: float
    before: float

    def is_missed(self, rate: float, given_up: float) -> bool:
        """Whether those before it, who bring `rate` now, bring too little beside all that was `given_up`. Of one that
        was never asked, nobody knows what was: there they are held to what they brought."""
        return rate <= STILL_PARTS * given_up or (not self.rate and rate < self.before / FEW_PARTS)


class _Nearer(msgspec.Struct, frozen=True):
    """Those before some class: whether there are any, whether they `hold` all that is missing, what they bring, whether
    any was asked so lately that nothing can be said of it (`young`), and whether any are there or on their way."""

    known: bool
    hold: bool
    rate: float
    young: bool
    coming: bool
    linked: bool


class Sparing:
    """Of one fetch that began at `began`."""

    def __init__(self, *, began: float) -> None:
        self._began = began
        self.resting: dict[SourceId, Resting] = {}
        self.held_back: frozenset[SourceId] = frozenset()  # Not to be dialled now, those that rest among them.
        self.metered_waits = False
        self.withheld: set[SourceId] = set()  # Dialled only where they are not metered, since that waits.
        self._metered: frozenset[SourceId] = frozenset()
        self._not_worth_since: dict[SourceId, float] = {}
        self._short_since = self._dry_since = math.inf
        self._tried_at = -math.inf
        self._brought: dict[SourceId, int] = {}
        self._whole_at: float | None = None  # When others than metered ones brought something last, or began to.
        self._credit_until = math.inf

    def look(
        self,
        seen: Sequence[Seen],
        facts: Facts,
        *,
        now: float,
    ) -> list[Seen]:
        """Return whom to let go of now, and note whom not to dial."""
        classes = {each.nearness for each in seen} | {each.nearness for each in self.resting.values()}
        if Nearness.METERED in classes or any(each.dear for each in seen):
            classes.add(Nearness.METERED)
            self._credit(seen, now)
        elif len(classes) < 2 and not self.resting:
            self.all_alike()
            return []
        nearer = {nearness: _nearer(nearness, seen, facts.hold_missing, now) for nearness in classes}
        self._wake(nearer, now)
        going = self._not_worth(seen, nearer, facts.bytes_missing, now)
        for each in going:
            if each.nearness is not Nearness.METERED:
                self.resting[each.source] = Resting(
                    each.nearness, each.at_most(now=now), now + REST_S, nearer[each.nearness].rate
                )
                self._tried_at = now
        self.held_back = frozenset(self.resting) | self._waiting(seen, nearer, facts, now)
        return going

    def all_alike(self) -> None:
        """Note that there are none of which some are nearer than others, and none rest."""
        self._not_worth_since.clear()
        self._short_since = self._dry_since = math.inf
        self.metered_waits = False
        self.held_back = frozenset()

    def _credit(self, seen: Sequence[Seen], now: float) -> None:
        """Note what others than metered ones brought: each byte is worth the time that it takes at ENOUGH."""
        others = [each for each in seen if each.nearness is not Nearness.METERED]
        if self._whole_at is None and any(each.linked for each in others):
            self._whole_at, self._credit_until = now, now + limits.STALL_S
        gain = sum(each.brought - self._brought.get(each.source, 0) for each in others)
        self._brought.update((each.source, each.brought) for each in seen)
        if gain > 0:
            self._whole_at = now
            self._credit_until = min(max(self._credit_until, now) + gain / ENOUGH, now + CREDIT_S)

    def _looks_around(self, facts: Facts, now: float) -> bool:
        return facts.searching and now - self._began < LOOK_AROUND_S

    def why_not(self, source: SourceId, *, now: float) -> str | None:
        """Say why `source` is not dialled now, if it is held back."""
        if (rests := self.resting.get(source)) is not None:
            return f"let go of, since nearer sources do the work; dialled again {when(rests.until - now)}, or sooner"
        if source not in self.held_back:
            return None
        if source in self._metered:
            return "not dialled: it is metered, and others bring the fetch forward, or may soon"
        return "not dialled yet: nearer sources do the work, and others as far are tried one by one"

    @property
    def given_up(self) -> float:
        """What those brought together that rest."""
        return sum(each.rate for each in self.resting.values())

    def _wake(self, nearer: dict[Nearness, _Nearer], now: float) -> None:
        """Have those dialled again whose time is over, or who are needed."""
        self.resting = {source: each for source, each in self.resting.items() if now < each.until}
        # Who lacks something cannot be waited for.
        self.resting = {source: each for source, each in self.resting.items() if nearer[each.nearness].hold}
        given_up = self.given_up
        short = any(each.is_missed(nearer[each.nearness].rate, given_up) for each in self.resting.values())
        self._short_since = min(self._short_since, now) if short else math.inf
        if now - self._short_since >= SHORT_S:
            self.resting = {}
            self._short_since = math.inf

    def _not_worth(
        self, seen: Sequence[Seen], nearer: dict[Nearness, _Nearer], bytes_missing: int, now: float
    ) -> list[Seen]:
        """Return who has not been worth its line for so long that it goes now."""
        since, self._not_worth_since = self._not_worth_since, {}
        going = []
        given_up = self.given_up
        for each in sorted(seen, key=lambda one: (-one.nearness, one.at_most(now=now))):
            before = nearer[each.nearness]
            if not each.linked or not before.hold:
                continue
            if each.nearness is Nearness.METERED:
                spared = before.rate >= ENOUGH and now < self._credit_until
            else:
                rate = each.at_most(now=now)
                # What is over in a moment is no reason to change anything.
                spared = before.rate > FEW_PARTS * (given_up + rate) and bytes_missing > before.rate * MEASURE_S / 2
            if not spared:
                continue
            began = self._not_worth_since[each.source] = since.get(each.source, now)
            if each.nearness is not Nearness.METERED:
                given_up += each.at_most(now=now)
            if now - began >= MEASURE_S:
                going.append(each)
        return going

    def _waiting(
        self, seen: Sequence[Seen], nearer: dict[Nearness, _Nearer], facts: Facts, now: float
    ) -> frozenset[SourceId]:
        """Return who is not dialled now, beside those that rest."""
        metered = self._metered = frozenset(each.source for each in seen if each.nearness is Nearness.METERED)
        others = nearer.get(Nearness.METERED)
        self.metered_waits = others is not None and (
            self._others_do(others, facts, now) or (bool(metered) and self._looks_around(facts, now))
        )
        waiting = set(metered) if self.metered_waits else set()
        for each in seen:
            as_far = each.nearness is not Nearness.METERED and nearer[each.nearness].hold
            if not self.resting or not as_far or not each.coming or each.source in self.resting:
                continue
            if now - self._tried_at >= TRY_FAR_S:
                self._tried_at = now
            else:
                waiting.add(each.source)
        return frozenset(waiting)

    def _others_do(self, others: _Nearer, facts: Facts, now: float) -> bool:
        """Whether a metered source may wait, since others bring the fetch forward, or soon will."""
        known = facts.hold_missing is not None
        if not others.known or (others.hold and others.rate >= ENOUGH and now < self._credit_until):
            self._dry_since = math.inf
            return others.known
        whole_s = now - self._whole_at if self._whole_at is not None and now < self._credit_until else math.inf
        if others.linked and whole_s >= limits.STALL_S:
            return False
        if others.linked and facts.silent_s < DRY_S and (not known or (others.hold and others.young)):
            return True  # Something comes, and will be whole in a while.
        self._dry_since = min(self._dry_since, now)
        if not others.linked and not others.coming:
            return False
        lack = known and others.linked and not others.hold and not others.coming
        return now - self._dry_since < (LACK_S if lack else DRY_S)


def _nearer(
    nearness: Nearness, seen: Sequence[Seen], hold_missing: Callable[[Iterable[SourceId]], bool] | None, now: float
) -> _Nearer:
    nearer = [each for each in seen if each.nearness < nearness]
    linked = [each for each in nearer if each.linked]
    return _Nearer(
        known=bool(nearer),
        hold=bool(linked) and hold_missing is not None and hold_missing(each.source for each in linked),
        rate=sum(each.rate for each in linked),
        young=any(each.owes_since is not None and now - each.owes_since < limits.STALL_S for each in linked),
        # Who is metered, too, need not wait for itself.
        coming=any(each.coming and not (each.dear and nearness is Nearness.METERED) for each in nearer),
        linked=bool(linked),
    )
