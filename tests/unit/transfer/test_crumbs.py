"""Who says to hold crumbs makes no choice dear: counted are looks at what is free, and runs that are believed."""

from __future__ import annotations

from itertools import cycle, pairwise
from random import Random

import pytest

from p2phub import limits
from p2phub.content import RangeSet, Run
from p2phub.limits import MIB
from p2phub.transfer import Session
from p2phub.transfer.availability import Availability
from p2phub.transfer.picker import Picker, Workplace
from p2phub.transfer.runs import Runs
from tests.support.covers import covers
from tests.support.swarm import megabytes, peer, runs

ANN, LIAR = peer(1), peer(2)


def every_other(start: int, count: int) -> RangeSet:
    return RangeSet(tuple((at, at + 1) for at in range(start, start + 2 * count, 2)))


class Counted(Runs):
    """Counts how often it is looked at."""

    looks = 0

    def next_run(self, start: int) -> Run | None:
        self.looks += 1
        return super().next_run(start)


@covers("T39")
@pytest.mark.parametrize("elsewhere", [None, 0], ids=["nobody is elsewhere", "another is in the only file"])
@pytest.mark.parametrize("begins", [None, 1000], ids=["alone", "in a crowd"])
def test_a_choice_among_crumbs_looks_at_each_once(elsewhere: int | None, begins: int | None) -> None:
    """Without: each of up to 512 runs was looked for past all that were taken before it, a million looks."""
    total, crumbs = 16_384, every_other(0, limits.HAVE_RANGES_MAX)
    everything = RangeSet.whole(total)
    picker = Picker(megabytes(total), everything, rotation=0)
    if begins is not None:
        picker.spread(range(0, total, begins))
    free = picker._free = Counted(everything)
    place, other = Workplace(), Workplace()
    other.file = elsewhere
    taken = picker.pick((crumbs, everything - crumbs), 4096 * MIB, place, [other])
    assert len(taken) == limits.REQUEST_RANGES_MAX
    assert free.looks < 2 * limits.HAVE_RANGES_MAX + 4 * len(taken)


@pytest.mark.parametrize("seed", range(100))
def test_what_a_choice_noted_changes_nothing_of_it(seed: int) -> None:
    """Held against the plain rule, which looks for each run from the same place on."""
    random = Random(seed)
    total = 60

    def drawn(share: float) -> RangeSet:
        return RangeSet.from_indices(number for number in range(total) if random.random() < share)

    table = megabytes(*[20] * 3)
    free, first = drawn(0.8), drawn(0.5)
    tiers = (first, drawn(0.7) - first, drawn(0.5))  # Steps of a crowd may overlap.
    picker = Picker(table, free, rotation=random.randrange(total))
    beginnings = [random.randrange(total) for _ in range(4)] if random.random() < 0.5 else None
    if beginnings is not None:
        picker.spread(beginnings)
    place, others = Workplace(), [Workplace() for _ in range(random.randint(0, 2))]
    place.file = random.choice([None, 0, 1, 2])
    place.following = random.choice([None, random.randrange(total)])
    for other in others:
        other.file = random.randrange(3)
    spans = sorted(table.span(file) for file in {other.file for other in others} if file != place.file)
    plain = Plain(Runs(free), picker._rotation, cycle(beginnings) if beginnings else None, place.following, total)
    if beginnings is not None:
        next(plain.beginnings)  # type: ignore[arg-type]
    wanted = random.randint(1, 40)
    assert picker.pick(tiers, wanted * MIB, place, others) == plain.pick(tiers, wanted, spans)
    assert picker.snapshot() == plain.free.snapshot()


class Plain:
    """The rule of proto/transfer.md §5, without a memory: chunks of 1 MiB."""

    def __init__(
        self, free: Runs, rotation: int, beginnings: cycle[int] | None, following: int | None, total: int
    ) -> None:
        self.free, self.rotation, self.beginnings = free, rotation, beginnings
        self.following, self.total = following, total

    def pick(self, tiers: tuple[RangeSet, ...], wanted: int, spans: list[Run]) -> list[Run]:
        taken: list[Run] = []
        while wanted > 0 and (found := next(filter(None, (self.best(tier, spans) for tier in tiers)), None)):
            start, stop = found[0], min(found[1], found[0] + wanted)
            self.free.remove(start, stop)
            self.following = stop
            wanted -= stop - start
            taken.append((start, stop))
        return taken

    def best(self, tier: RangeSet, spans: list[Run]) -> Run | None:
        left = list(self.free.common(tier))
        runs = [run for start, stop in left for run in cut(start, stop, self.following, self.rotation)]
        following = next((run for run in runs if run[0] == self.following), None)
        if following is not None and not inside(spans, following[0]):
            return up_to(spans, whole(left, following))
        behind = [run for run in runs if run[0] >= self.rotation] + [run for run in runs if run[0] < self.rotation]
        for start, stop in behind:
            at: int | None = start
            while at is not None and at < stop and inside(spans, at):
                at = next((span[1] for span in spans if span[0] <= at < span[1]), None)
            if at is not None and at < stop:
                self.jump()
                return up_to(spans, whole(left, (at, stop)))
        if not left:
            return None
        # The first found, from the rotation on.
        fallback = next((whole(left, run) for run in behind), None)
        self.jump()
        if self.beginnings is not None:
            return fallback
        start, stop = max(left, key=lambda run: run[1] - run[0])
        return start + (stop - start) // 2, stop

    def jump(self) -> None:
        if self.beginnings is not None:
            self.rotation = next(self.beginnings)


def cut(start: int, stop: int, *at: int | None) -> list[Run]:
    edges = sorted({start, stop, *(each for each in at if each is not None and start < each < stop)})
    return list(pairwise(edges))


def whole(left: list[Run], run: Run) -> Run:
    """Return `run` as far as it goes on."""
    return run[0], next(stop for start, stop in left if start <= run[0] < stop)


def inside(spans: list[Run], index: int) -> bool:
    return any(start <= index < stop for start, stop in spans)


def up_to(spans: list[Run], run: Run) -> Run:
    return run[0], min([run[1], *(start for start, _ in spans if run[0] < start)])


@covers("T39")
def test_who_tells_ever_other_crumbs_is_believed_a_bounded_number_of_them() -> None:
    total = 131_072
    session = Session(megabytes(*[total // 4] * 4), RangeSet(), now=0.0)
    session.joined(1, ANN, RangeSet.whole(total), now=0.0)
    session.joined(2, LIAR, RangeSet(), now=0.0)
    for number in range(16):
        crumbs = every_other(2 * limits.HAVE_RANGES_MAX * number, limits.HAVE_RANGES_MAX)
        session.held(2, crumbs, now=float(number))
        believed = session._availability.of(LIAR)
        assert len(believed.runs) <= limits.BELIEVED_RUNS_MAX
        assert not crumbs - believed, "its newest word counts"


def test_what_is_forgotten_of_one_is_not_taken_for_held_by_its_fellows() -> None:
    held = Availability(65_536)
    held.learn(LIAR, every_other(0, limits.HAVE_RANGES_MAX))
    held.learn(ANN, runs((60_000, 60_001)))
    for number in (1, 2):
        assert held.of_fellows
        held.learn(LIAR, every_other(2 * limits.HAVE_RANGES_MAX * number, limits.HAVE_RANGES_MAX))
    assert held.of_fellows == held.of(LIAR) | held.of(ANN)
