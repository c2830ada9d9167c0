"""Who is asked for what of the pages and chunk lists, and when another is asked for it, too (proto/transfer.md §5)."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from p2phub import limits
from p2phub.content import Digest, digest_of
from p2phub.engine.assembly import Wanted
from p2phub.engine.questions import GRACE_S, RATE_MIN, SILENT_CAPPED_S, SILENT_S, Asked, Questions
from tests.support.covers import covers

FRAME = limits.BLOBS_PER_REQUEST_MAX


def blobs(count: int, length: int = 88) -> list[Wanted]:
    return [Wanted(digest_of(b"%d" % number), length, length) for number in range(count)]


class Swarm:
    """Some links, by name, that answer as a test has it. `asked`: what each owes us on its line, in order."""

    def __init__(self, *names: str, wanted: list[Wanted], proved: str = "", mirrors: str = "") -> None:
        self.questions = Questions()
        self.links = {name: Asked() for name in names}
        for name in proved.split():
            self.links[name].has_given = True
        self.helping = mirrors.split()
        self.line: dict[str, list[Wanted]] = {name: [] for name in names}
        self.frames: Counter[str] = Counter()
        self.now = 100.0
        self.came_at: dict[Digest, float] = {}
        self.bytes_given: Counter[str] = Counter()
        self.questions.want(wanted)

    def ask(self, *, capped: bool = False) -> dict[str, int]:
        """Ask; return how many blobs of whom."""
        names = {id(link): name for name, link in self.links.items()}
        sharing = [link for name, link in self.links.items() if name not in self.helping and not link.gone]
        helping = [self.links[name] for name in self.helping]
        asked: dict[str, int] = {}
        for link, wanted in self.questions.ask(sharing, helping, now=self.now, capped=capped):
            name = names[id(link)]
            asked[name] = asked.get(name, 0) + len(wanted)
            self.frames[name] += -(-len(wanted) // FRAME)
            self.line[name] += wanted
        return asked

    def give(self, name: str, count: int = 1) -> None:
        """`name` gives the next of what it was asked for."""
        given, self.line[name] = self.line[name][:count], self.line[name][count:]
        for each in given:
            self.came_at.setdefault(each.digest, self.now)
            self.bytes_given[name] += each.length
        self.questions.came(self.links[name], {each.digest for each in given}, now=self.now)

    def run(self, *, seconds: float, step_s: float = 0.1, **every_s: float) -> float:
        """Let each give one blob in so many seconds (0: all that it was asked for, at each look), until all is here;
        return how long it took."""
        began = self.now
        due = {name: began + pause for name, pause in every_s.items()}
        self.ask()
        while self.questions.open and self.now < began + seconds:
            self.now += step_s
            for name, pause in every_s.items():
                while self.line[name] and self.now >= due[name]:
                    self.give(name, 1 if pause else len(self.line[name]))
                    due[name] += pause
            self.ask()
        return self.now - began


@covers("T35")
@pytest.mark.parametrize("pause_s", [math.inf, 9.0, 0.8])
@pytest.mark.parametrize("count", [20, 2_000])
def test_who_drips_what_it_was_asked_for_costs_some_seconds_and_not_its_pace(count: int, pause_s: float) -> None:
    swarm = Swarm("mallory", "ann", wanted=blobs(count), proved="mallory")
    assert swarm.run(mallory=pause_s, ann=0.0, seconds=60) < GRACE_S + 1.0


@covers("T35")
def test_who_gives_much_at_first_buys_no_time_with_it() -> None:
    swarm = Swarm("mallory", "ann", wanted=blobs(60, 100_000))
    swarm.ask()
    swarm.give("mallory", 30)
    assert swarm.run(mallory=0.9, ann=0.0, seconds=60) < GRACE_S + 1.0


@covers("T35")
def test_who_gives_far_less_than_the_best_is_late_however_seldom_it_is_silent() -> None:
    swarm = Swarm("mallory", "ann", wanted=blobs(4_000, 10_000), proved="mallory ann")
    assert swarm.run(mallory=0.1, ann=0.0, seconds=60) < 10  # At its pace 1024 blobs would take 100 s.


@covers("T35")
def test_one_that_was_late_gets_no_more_while_another_does_better() -> None:
    swarm = Swarm("mallory", "ann", wanted=blobs(100), proved="mallory")
    swarm.run(ann=0.0, seconds=60)
    swarm.questions.want([Wanted(digest_of(b"a page of the next stage"), 100, 100)])
    assert swarm.ask() == {"ann": 1}


def test_one_that_drips_what_others_gave_keeps_nothing_from_those_that_were_late() -> None:
    wanted = blobs(100)
    swarm = Swarm("ann", "mallory", wanted=wanted, proved="ann mallory")
    swarm.links["ann"].was_late = True
    assert swarm.ask() == {"mallory": 100}
    swarm.questions.want([])  # All came with the answer to another's Open.
    swarm.questions.want([Wanted(digest_of(b"a page of the next stage"), 100, 100)])
    assert swarm.run(mallory=0.9, ann=0.0, seconds=60) < GRACE_S + 1.0


def test_what_is_late_is_asked_of_another_from_the_end_and_the_first_copy_counts() -> None:
    wanted = blobs(10)
    swarm = Swarm("ann", "bob", wanted=wanted)
    assert swarm.ask() == {"ann": 10}  # Not worth two frames.
    swarm.now += SILENT_S - 0.1
    assert swarm.ask() == {}
    swarm.now += 0.1
    assert swarm.ask() == {"bob": 10}
    assert [each.digest for each in swarm.line["bob"]] == [each.digest for each in reversed(wanted)]
    swarm.give("ann", 6)
    swarm.give("bob", 4)
    assert not swarm.questions.open
    swarm.give("ann", 4)  # Too late, and nothing is wrong with it.
    swarm.give("bob", 6)
    assert not swarm.questions.open
    assert not any(link.is_stalled(swarm.now + 60) for link in swarm.links.values())


def test_no_third_is_asked_for_what_one_on_time_owes() -> None:
    swarm = Swarm("ann", "bob", "cy", wanted=blobs(10))
    swarm.ask()
    swarm.now += SILENT_S
    assert swarm.ask() == {"bob": 10}
    assert swarm.ask() == {}
    swarm.now += SILENT_S
    assert swarm.ask() == {"cy": 10}


def test_who_has_given_something_is_asked_for_what_is_late_before_who_has_not() -> None:
    swarm = Swarm("ann", "new", "bob", wanted=blobs(10), proved="bob")
    swarm.ask()
    swarm.now += SILENT_S
    assert swarm.ask() == {"bob": 10}


def test_while_our_own_cap_bounds_all_only_long_silence_is_late() -> None:
    swarm = Swarm("ann", "bob", wanted=blobs(10))
    swarm.ask(capped=True)
    swarm.now += SILENT_CAPPED_S - 0.1
    assert swarm.ask(capped=True) == {}
    swarm.now += 0.1
    assert swarm.ask(capped=True) == {"bob": 10}


def test_who_has_given_nothing_yet_is_asked_for_one_frame() -> None:
    swarm = Swarm("ann", wanted=blobs(3_000))
    assert swarm.ask() == {"ann": FRAME}
    swarm.give("ann", FRAME)
    assert swarm.ask() == {"ann": limits.BLOBS_ASKED_MAX}


def test_those_who_are_ready_share_what_is_wanted() -> None:
    swarm = Swarm("ann", "bob", "cy", wanted=blobs(900), proved="ann bob cy")
    assert swarm.ask() == {"ann": 300, "bob": 300, "cy": 300}


def test_a_mirror_is_asked_only_for_what_is_late() -> None:
    swarm = Swarm("ann", "mirror", wanted=blobs(900), proved="ann", mirrors="mirror")
    assert swarm.ask() == {"ann": 900}
    swarm.now += SILENT_S
    assert swarm.ask() == {"mirror": FRAME}


@pytest.mark.parametrize("count", [1_000, 10_000])
def test_one_provider_is_asked_in_as_few_frames_and_round_trips_as_can_be(count: int) -> None:
    swarm = Swarm("ann", wanted=blobs(count), proved="ann")
    round_trips = 0
    while swarm.questions.open:
        round_trips += bool(swarm.ask())
        swarm.give("ann")
    assert swarm.frames["ann"] == -(-count // FRAME)
    assert round_trips == -(-count // limits.BLOBS_ASKED_MAX)


def test_no_more_bytes_are_under_way_than_may_come_in_vain() -> None:
    swarm = Swarm("ann", "bob", wanted=blobs(60, limits.MIB), proved="ann bob")
    assert swarm.ask() == {"ann": 8, "bob": 8}
    swarm.give("ann", 3)
    assert swarm.ask() == {}
    swarm.give("ann")
    assert swarm.ask() == {"ann": 4}


@pytest.mark.parametrize("pause_s", [0.9, 9.0])
def test_the_only_one_may_be_as_slow_as_it_likes_and_is_asked_once(pause_s: float) -> None:
    swarm = Swarm("ann", wanted=blobs(100))
    stalled = False
    began = swarm.now
    swarm.ask()
    while swarm.questions.open:
        swarm.now += pause_s
        stalled |= swarm.links["ann"].is_stalled(swarm.now)
        swarm.give("ann")
        swarm.ask()
    assert not stalled
    assert swarm.now - began == pytest.approx(100 * pause_s)
    assert swarm.bytes_given["ann"] == 100 * 88


def test_who_gives_nothing_at_all_is_stalled() -> None:
    swarm = Swarm("ann", wanted=blobs(1))
    swarm.ask()
    assert not swarm.links["ann"].is_stalled(swarm.now + limits.STALL_S)
    assert swarm.links["ann"].is_stalled(swarm.now + limits.STALL_S + 0.1)


def test_two_slow_ones_give_little_twice() -> None:
    """All is late where our line is slow; they begin at both ends, and what is asked of both is bounded."""
    swarm = Swarm("ann", "bob", wanted=blobs(60, limits.MIB), proved="ann bob")
    swarm.run(ann=3.0, bob=3.0, seconds=1_000)
    assert not swarm.questions.open
    left = sum(each.length for line in swarm.line.values() for each in line)
    assert left + swarm.bytes_given.total() - 60 * limits.MIB <= limits.BLOBS_ASKED_BYTES_MAX


def test_what_one_owed_who_left_is_asked_of_the_others() -> None:
    swarm = Swarm("ann", "bob", wanted=blobs(200), proved="ann bob")
    assert swarm.ask() == {"ann": 100, "bob": 100}
    swarm.give("bob", 100)
    swarm.questions.left(swarm.links["ann"])
    assert swarm.ask() == {"bob": 100}


def test_what_is_wanted_is_what_was_said_last() -> None:
    wanted = blobs(10)
    swarm = Swarm("ann", wanted=wanted)
    swarm.ask()
    swarm.questions.want(wanted[4:])  # The first came with an answer to Open.
    swarm.line["ann"] = swarm.line["ann"][4:]
    swarm.give("ann", 6)
    assert not swarm.questions.open


def test_the_next_to_be_late_is_what_is_waited_for() -> None:
    swarm = Swarm("ann", wanted=blobs(10))
    assert swarm.questions.deadline(swarm.now, capped=False) == math.inf
    swarm.ask()
    assert swarm.questions.deadline(swarm.now, capped=False) == swarm.now + SILENT_S
    assert swarm.questions.deadline(swarm.now, capped=True) == swarm.now + SILENT_CAPPED_S
    assert swarm.questions.deadline(swarm.now + SILENT_S, capped=False) == math.inf  # Not looked at again and again.


def test_a_modest_rate_is_enough_where_nobody_is_better() -> None:
    length = round(RATE_MIN * 0.5)
    swarm = Swarm("ann", "bob", wanted=blobs(40, length))
    swarm.run(ann=0.4, seconds=60)
    assert not swarm.bytes_given["bob"]
    assert not swarm.line["bob"]
