"""An order hint: what somebody waits for comes first, front first, and no slow link keeps them waiting (0065)."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from p2phub import limits
from p2phub.content import RangeSet, Run
from p2phub.transfer import Revoke, Session
from p2phub.transfer.availability import Availability
from p2phub.transfer.endgame import Endgame, Owing
from p2phub.transfer.leases import Leases
from p2phub.transfer.link import Link
from p2phub.transfer.pace import LATE_S, LEASE_S
from p2phub.transfer.picker import Picker, Workplace
from p2phub.transfer.runs import Runs
from p2phub.transfer.scheduler import URGENT_BYTES
from p2phub.transfer.session import STALL_SOON_S
from p2phub.transfer.soon import LOOKS_MAX, Ahead, Soon
from tests.support.covers import covers
from tests.support.crowd import Crowd
from tests.support.swarm import (
    STEP_S,
    Provider,
    Swarm,
    granted,
    megabytes,
    peer,
    random_swarm,
    runs,
    session_of,
    table_of,
)

MIB = limits.MIB
ANN, BOB, CY = peer(1), peer(2), peer(3)


def swarm_with_a_slow_one(*, rate: float = 20e6, frozen: bool = True, chunks: int = 400) -> Swarm:
    """Three providers of `rate` each, one of a fiftieth of that, one that freezes when it has given its part of half;
    all hold two files of `chunks` together."""
    table = megabytes(chunks // 2, chunks // 2)
    everything = RangeSet.whole(len(table))
    providers = [Provider(number, everything, rate) for number in range(1, 4)]
    providers.append(Provider(4, everything, rate / 50))
    if frozen:
        providers.append(Provider(5, everything, rate, "stalls", chunks * MIB / 8))
    return Swarm(table, providers)


def step(swarm: Swarm) -> None:
    swarm.dial()
    swarm.step()
    swarm.check()


def longest_wait(swarm: Swarm) -> float:
    """Read all chunks in order, each as soon as it is there; return for how long at most nothing more could be read."""
    at, waits, since = 0, [0.0], 0.0
    while at < len(swarm.table):
        step(swarm)
        assert swarm.now < 1000
        if at in swarm.have:
            waits.append(swarm.now - since)
            since = swarm.now
        while at < len(swarm.table) and at in swarm.have:
            at += 1
    return max(waits)


# --- what is picked -----------------------------------------------------------------------------------------------


def test_what_is_wanted_soon_is_granted_first_in_the_order_in_which_it_is_wanted() -> None:
    session, everything = session_of(10, 10)
    session.want_soon([(15, 16), (3, 5)], now=0.0)
    assert granted(session.joined(1, ANN, everything, now=0.0), 1) == runs((15, 16))
    assert granted(session.joined(2, BOB, everything, now=0.0), 2) == runs((3, 4))
    assert granted(session.verified(1, runs((15, 16)), MIB, now=0.5), 1) == runs((4, 5))


def test_one_grant_does_not_go_back_for_its_link_asks_in_ascending_order() -> None:
    table = table_of([1000] * 100)
    soon, picker = Soon(table), Picker(table, RangeSet.whole(100), rotation=0)
    soon.replace([(90, 92), (95, 96), (10, 20), (30, 40)])
    everything, place = RangeSet.whole(100), Workplace()
    picks = [soon.pick(picker, everything, Ahead(), MIB, place) for _ in range(3)]
    assert picks == [[(90, 92), (95, 96)], [(10, 20), (30, 40)], []]


def test_rarity_and_files_that_others_are_in_do_not_matter_for_it() -> None:
    session, everything = session_of(10, 10)
    session.want_soon([(0, 20)], now=0.0)
    session.joined(1, ANN, runs((0, 10)), now=0.0)
    assert granted(session.joined(2, BOB, everything, now=0.0), 2) == runs((1, 2))


def test_what_the_peer_does_not_hold_is_passed_over() -> None:
    session, _ = session_of(10)
    session.want_soon([(2, 9)], now=0.0)
    assert granted(session.joined(1, ANN, runs((4, 10)), now=0.0), 1) == runs((4, 5))


def test_in_a_crowd_it_is_not_left_to_others() -> None:
    session, everything = session_of(64)
    session.spread(CY, [peer(number) for number in range(10, 20)])
    session.want_soon([(7, 8), (60, 61)], now=0.0)
    assert granted(session.joined(1, ANN, everything, now=0.0), 1) == runs((7, 8))
    assert granted(session.joined(2, BOB, everything, now=0.0), 2) == runs((60, 61))


def test_a_link_that_has_some_of_it_gets_nothing_else_and_then_goes_on_with_the_rest() -> None:
    session, everything = session_of(40)
    session.want_soon([(30, 32)], now=0.0)
    session.joined(1, ANN, everything, now=0.0)
    assert not session.tick(now=0.1)
    session.verified(1, runs((30, 31)), MIB, now=1.0)
    more = granted(session.verified(1, runs((31, 32)), MIB, now=2.0), 1)
    assert more.runs[0][0] == 32, "beside where it was"
    assert len(more) > 1


def test_a_slow_link_has_no_more_of_it_than_a_batch() -> None:
    session, everything = session_of(40)
    session.want_soon([(0, 40)], now=0.0)
    given = granted(session.joined(1, ANN, everything, now=0.0), 1)
    for second in range(1, 6):
        assert len(given) == 1
        given = granted(session.verified(1, given, MIB, now=float(second)), 1)


def test_a_slow_link_leaves_the_front_to_faster_ones_that_hold_it() -> None:
    session, everything = session_of(400)
    session.want_soon([(0, 400)], now=0.0)
    fast = granted(session.joined(1, ANN, everything, now=0.0), 1)
    slow = granted(session.joined(2, BOB, runs((200, 400)), now=0.0), 2)
    assert slow == runs((200, 201))
    for tenth in range(1, 20):
        first, fast = fast.first(1), fast - fast.first(1)
        fast |= granted(session.verified(1, first, MIB, now=tenth / 10), 1)  # 10 MiB/s
    second = granted(session.verified(2, slow, MIB, now=1.9), 2)  # Half a MiB/s: in 1.9 s the other has 19 MiB.
    assert len(second) == 1
    assert 201 + 10 * (1.9 - LEASE_S) - 2 < second.runs[0][0] < 201 + 19


def test_it_leaves_nothing_to_one_that_does_not_hold_it() -> None:
    session, _ = session_of(200)
    session.want_soon([(0, 200)], now=0.0)
    session.joined(1, ANN, runs((0, 100)), now=0.0)
    session.verified(1, runs((0, 1)), MIB, now=0.1)
    first = granted(session.joined(2, BOB, runs((100, 200)), now=0.1), 2)
    assert first == runs((100, 101))
    assert granted(session.verified(2, first, MIB, now=4.1), 2) == runs((101, 102))


def test_what_a_slow_link_leaves_to_others_it_does_not_take_in_another_order_either() -> None:
    session, everything = session_of(15)
    session.want_soon([(0, 15)], now=0.0)
    session.joined(1, ANN, everything, now=0.0)
    slow = granted(session.joined(2, BOB, everything, now=0.0), 2)
    now, fast = 0.0, runs((0, 1))
    while now < 0.4:
        now += 0.05
        first, fast = fast.first(1), fast - fast.first(1)
        actions = session.verified(1, first, MIB, now=now)  # 20 MiB/s: all is had before another could have one more.
        fast |= granted(actions, 1)
        assert not granted(actions, 2)
    assert session._leases.picker
    assert not granted(session.verified(2, slow, MIB, now=now), 2)


def test_a_late_link_gets_nothing_that_others_could_give() -> None:
    session, everything = session_of(400)
    session.want_soon([(0, 400)], now=0.0)
    session.joined(1, ANN, everything, now=0.0)
    late = granted(session.joined(2, BOB, everything, now=0.0), 2)
    late = granted(session.verified(2, late, MIB, now=0.1), 2)
    now, fast = 0.0, runs((0, 1))
    while now < 2:
        now += 0.05
        first, fast = fast.first(1), fast - fast.first(1)
        actions = session.verified(1, first, len(first) * MIB, now=now)
        if Revoke(2) in actions:
            actions += session.returned(2, late - late.first(1), now=now)
        fast |= granted(actions, 1)
        if now > 0.1 + LATE_S:
            assert not granted(actions, 2)


# --- what is asked of two -----------------------------------------------------------------------------------------


def waits_for(session: Session, slow: RangeSet, *, until: float) -> RangeSet:
    """Let link 1 give 20 MiB/s, and link 2 nothing but an empty answer to `Revoke`; return what of `slow`, which is
    leased to that, link 1 was asked for, too, by then."""
    now, fast, twice = 0.0, runs((0, 1)), RangeSet()
    while now < until:
        now += 0.05
        first, fast = fast.first(1), fast - fast.first(1)
        actions = session.verified(1, first, len(first) * MIB, now=now)
        if Revoke(2) in actions:
            actions += session.returned(2, RangeSet(), now=now)
        fast |= granted(actions, 1)
        twice |= granted(actions, 1) & slow
    return twice


@pytest.mark.parametrize("hint", [True, False])
@covers("T35", "F11")
def test_what_somebody_waits_for_is_asked_of_another_when_its_holder_is_late_though_much_is_free(hint: bool) -> None:
    session, everything = session_of(400)
    session.want_soon([(0, 400)] if hint else [(0, 1)], now=0.0)
    session.joined(1, ANN, everything, now=0.0)
    slow = granted(session.joined(2, BOB, everything, now=0.0), 2)
    assert not waits_for(session, slow, until=0.4)
    session, everything = session_of(400)
    session.want_soon([(0, 400)] if hint else [(0, 1)], now=0.0)
    session.joined(1, ANN, everything, now=0.0)
    session.joined(2, BOB, everything, now=0.0)
    assert waits_for(session, slow, until=1.0) == (slow if hint else RangeSet())


def test_of_what_a_late_link_owes_the_front_is_asked_for_first() -> None:
    table = table_of([MIB] * 40)
    leases = Leases(table, RangeSet.whole(40), rotation=0)
    late, other = Link(1, ANN, now=0.0), Link(2, BOB, now=0.0)
    leases.give(late, [(3, 9)])
    assert leases.give_again(other, late, runs((0, 40)), 2 * MIB, front=True) == runs((3, 5))
    assert leases.give_again(other, late, runs((0, 40)), 2 * MIB) == runs((7, 9))


def test_one_that_has_not_proved_itself_is_not_asked_for_what_another_is_late_with() -> None:
    session, everything = session_of(400)
    session.want_soon([(0, 400)], now=0.0)
    session.joined(1, ANN, everything, now=0.0)
    session.verified(1, runs((0, 1)), MIB, now=0.05)
    late = session.missing - RangeSet.of([(2, 400)])
    session.tick(now=3.0)
    session.returned(1, RangeSet(), now=3.0)
    given = granted(session.joined(2, BOB, everything, now=3.0), 2)
    assert given
    assert not given & late


# --- the hint -----------------------------------------------------------------------------------------------------


def test_a_new_hint_replaces_the_one_before() -> None:
    session, everything = session_of(40)
    session.want_soon([(10, 20)], now=0.0)
    session.want_soon([(30, 31)], now=0.0)
    assert granted(session.joined(1, ANN, everything, now=0.0), 1) == runs((30, 31))
    assert granted(session.want_soon([], now=0.1), 1).runs[0][0] == 31, "beside where it is"


def test_a_hint_takes_other_work_from_a_link_that_would_be_long_at_it() -> None:
    session, everything = session_of(40)
    given = granted(session.joined(1, ANN, everything, now=0.0), 1)
    session.verified(1, given.first(1), MIB, now=1.0)
    actions = session.want_soon([(39, 40)], now=1.0)
    assert Revoke(1) in actions
    under_way = given.first(2) - given.first(1)
    session.returned(1, given - given.first(2), now=1.0)
    assert granted(session.verified(1, under_way, MIB, now=2.0), 1) == runs((39, 40))


def test_a_hint_of_chunks_that_nobody_holds_does_not_hold_up_the_rest() -> None:
    table = megabytes(60)
    hinted, plain = (Swarm(table, [Provider(1, runs((0, 30), (40, 60)), 10e6)]) for _ in range(2))
    hinted.carry_out(hinted.session.want_soon([(30, 40)], now=0.0))
    for swarm in (hinted, plain):
        while len(swarm.have) < 50:
            step(swarm)
            assert swarm.now < 100
    assert hinted.now <= plain.now + STEP_S


def test_a_hint_is_bounded_and_what_goes_back_too_often_ascends_in_the_end() -> None:
    count = limits.SOON_LAPS_MAX + 50
    soon = Soon(table_of([1] * (2 * count)))
    soon.replace([(2 * number, 2 * number + 1) for number in reversed(range(count))])
    assert len(soon._laps) == limits.SOON_LAPS_MAX
    assert len(soon.chunks) == count
    soon.replace([(0, 1)] * limits.SOON_RUNS_MAX + [(5, 6)])
    assert 5 not in soon.chunks


def every_other(count: int) -> list[Run]:
    return [(2 * number, 2 * number + 1) for number in range(count)]


class Counted(Runs):
    """Counts how often it is looked at."""

    looks = 0

    def next_run(self, start: int) -> Run | None:
        self.looks += 1
        return super().next_run(start)


def test_of_a_hint_of_very_many_files_one_look_at_the_front_sees_few() -> None:
    count = limits.SOON_RUNS_MAX
    soon = Soon(table_of(*[[1000]] * (2 * count)))
    soon.replace(every_other(count))
    missing = Counted(RangeSet.whole(2 * count))
    assert len(soon.front(missing, 1000 * MIB)) == LOOKS_MAX
    assert missing.looks <= LOOKS_MAX + 1


def test_a_link_that_leaves_very_many_files_to_others_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    count = limits.SOON_RUNS_MAX
    table = table_of(*[[1000]] * (2 * count))
    everything = RangeSet.whole(2 * count)
    soon = Soon(table)
    soon.replace(every_other(count))
    picker = Picker(table, everything, rotation=0)
    picker._free = free = Counted(everything)
    assert soon.first(picker, everything, Ahead(table.bytes_total, (everything,))) is None
    assert free.looks <= LOOKS_MAX + 2
    free.looks = 0
    tiers = soon.beyond((everything,))
    assert soon.beyond((RangeSet.whole(2 * count),)) is tiers, "worked out once"
    assert soon.beyond((RangeSet.whole(count),)) is not tiers
    place, other = Workplace(), Workplace()
    # Another is in each file there is, as far as the picker can tell: it begins in the middle of the longest run.
    monkeypatch.setattr(table, "span", lambda file: (0, 2 * count))
    other.file = 0
    taken = picker.pick(tiers, MIB, place, [other], onward=True)
    assert len(taken) > 100
    assert not RangeSet.of(taken) & soon.chunks
    assert free.looks < 3 * (count + len(taken)), "the longest is looked for once"


def test_a_late_link_goes_on_where_it_began_beyond_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    onward: list[bool] = []
    pick = Picker.pick

    def watched(self: Picker, *args: Any, **how: Any) -> list[Run]:
        onward.append(how["onward"])
        return pick(self, *args, **how)

    monkeypatch.setattr(Picker, "pick", watched)
    total, size = 4000, 10_000
    everything = RangeSet.whole(total)
    session = Session(table_of(*[[size]] * total), RangeSet(), now=0.0)
    session.want_soon(every_other(total // 2), now=0.0)
    fast = granted(session.joined(1, ANN, everything, now=0.0), 1)
    late = granted(session.joined(2, BOB, everything, now=0.0), 2)
    session.verified(2, late.first(1), size, now=0.05)
    late -= late.first(1)
    now = 0.05
    while now < 1.0:
        now += 0.05
        first, fast = fast.first(5), fast - fast.first(5)
        actions = session.verified(1, first, len(first) * size, now=now)
        if Revoke(2) in actions:
            actions += session.returned(2, session._links[2].lease.snapshot() - late.first(1), now=now)
        fast |= granted(actions, 1)
    assert onward
    assert all(onward), "as long as there is a hint only what is left to others makes a link go beyond it"


def test_a_new_hint_is_left_out_of_what_goes_beyond_it() -> None:
    soon = Soon(megabytes(10))
    soon.replace([(0, 5)])
    assert soon.beyond((runs((0, 10)),)) == (runs((5, 10)),)
    soon.replace([(5, 10)])
    assert soon.beyond((runs((0, 10)),)) == (runs((0, 5)),)


def test_one_on_parole_is_asked_for_no_more_than_it_may_owe_of_what_another_is_late_with() -> None:
    table = table_of([MIB // 4] * 400)
    everything = RangeSet.whole(400)
    leases, availability = Leases(table, everything, rotation=0), Availability(400)
    late, other = Link(1, ANN, now=0.0), Link(2, BOB, now=0.0)
    for link in (late, other):
        availability.learn(link.peer, everything)
    leases.give(late, [(0, 80)])
    late.barren = True
    other.pace.moved(20 * MIB, now=0.5)
    other.on_parole = True
    end = Endgame(table, leases, availability)

    def asked() -> RangeSet:
        owing = Owing.of([late, other], now=10.0)
        other.pace.moved_at = 10.0
        return granted(end.hasten(other, everything, owing, capped=False, crowd=False, now=10.0), 2)

    assert asked() == runs((0, 4)), "a batch"
    assert not asked(), "which it owes now"


def test_what_is_had_falls_off_the_front() -> None:
    soon = Soon(megabytes(10))
    soon.replace([(4, 6), (0, 2)])
    missing = Runs(runs((0, 5), (6, 10)))
    soon.forget_had(missing)
    assert soon.front(missing, 2 * MIB) == runs((4, 5), (0, 1))
    missing.remove(4, 5)
    soon.forget_had(missing)
    assert soon.chunks == runs((0, 2))
    missing.remove(0, 2)
    soon.forget_had(missing)
    assert not soon


# --- a reader -----------------------------------------------------------------------------------------------------


@covers("T35", "F11")
@pytest.mark.parametrize("rate", [2e6, 20e6, 100e6])
def test_a_reader_waits_a_second_at_most_though_one_provider_is_slow_and_another_freezes(rate: float) -> None:
    hinted = swarm_with_a_slow_one(rate=rate)
    hinted.carry_out(hinted.session.want_soon([(0, 400)], now=0.0))
    assert longest_wait(hinted) <= 0.6 + MIB / rate
    plain = swarm_with_a_slow_one(rate=rate)
    plain.run()
    assert hinted.now < plain.now + 1
    assert hinted.duplicate <= 8 * MIB


def test_the_order_costs_no_speed() -> None:
    table = megabytes(100, 300)
    everything = RangeSet.whole(len(table))
    hinted, plain = (Swarm(table, [Provider(n, everything, n * 10e6) for n in range(1, 6)]) for _ in range(2))
    hinted.carry_out(hinted.session.want_soon([(0, 400)], now=0.0))
    for swarm in (hinted, plain):
        swarm.run()
    assert hinted.now < plain.now * 1.05 + 0.3


@pytest.mark.parametrize("rate", [2e6, 20e6, 100e6])
def test_whoever_jumps_ahead_waits_no_longer_than_for_what_is_under_way(rate: float) -> None:
    swarm = swarm_with_a_slow_one(rate=rate, frozen=False)
    swarm.carry_out(swarm.session.want_soon([(0, 400)], now=0.0))
    while swarm.now < 1:
        step(swarm)
    began = swarm.now
    swarm.carry_out(swarm.session.want_soon([(390, 400), (0, 390)], now=began))
    while 390 not in swarm.have:
        step(swarm)
    assert swarm.now - began <= 0.5 + 2 * MIB / rate


# --- whatever the swarm and the hints are like --------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(100))
@covers("T33", "T35", "T39")
def test_with_any_hints_a_fetch_ends_with_every_chunk_had_once(seed: int) -> None:
    random = Random(seed)
    swarm = random_swarm(random)
    total = len(swarm.table)
    if random.random() < 0.3:
        swarm.session.spread(peer(7), [each.id for each in swarm.providers.values() if len(each.held) < total])
    while not swarm.session.complete and swarm.now < 3600:
        if swarm.now == 0 or random.random() < 0.05:
            hint = [(at := random.randint(0, total), random.randint(at, total)) for _ in range(random.randint(0, 5))]
            swarm.carry_out(swarm.session.want_soon(hint, now=swarm.now))
        step(swarm)
    assert swarm.session.complete, f"missing {swarm.session.missing} after {swarm.now} s, links {swarm.links}"
    assert swarm.session.have == RangeSet.whole(total)
    assert swarm.session.bytes_verified == swarm.moved


def test_without_a_hint_nothing_is_different() -> None:
    def actions(hint: bool) -> list[object]:
        session: Session = session_of(20, 20)[0]
        done: list[object] = []
        if hint:
            done += session.want_soon([], now=0.0)
        done += session.joined(1, ANN, RangeSet.whole(40), now=0.0)
        done += session.joined(2, BOB, RangeSet.whole(40), now=0.0)
        done += session.verified(1, runs((0, 2)), 2 * MIB, now=0.2)
        return [*done, session.deadline()]

    assert actions(hint=False) == actions(hint=True)


@covers("T35", "F11")
def test_of_two_that_keep_a_reader_waiting_the_silent_one_is_dropped_sooner() -> None:
    """It is the only one besides the slow one that was asked for it, and no third is."""
    swarm = swarm_with_a_slow_one(rate=2e6, frozen=False, chunks=60)
    swarm.carry_out(swarm.session.want_soon([(0, 60)], now=0.0))
    asked_twice: list[int] = []
    while not asked_twice:
        step(swarm)
        slow, *others = sorted(swarm.links.values(), key=lambda link: link.provider.rate)
        asked_twice = [link.provider.number for link in others if link.lease & slow.lease]
    late = next(each for each in swarm.providers.values() if each.number == asked_twice[0])
    late.fault = "stalls"
    assert longest_wait(swarm) <= STALL_SOON_S + 2
    assert late.sent < 60 * MIB / 3


# --- a crowd ------------------------------------------------------------------------------------------------------


def test_a_crowd_that_reads_in_order_has_its_publisher_send_no_more_than_the_beginning_to_each() -> None:
    crowd = Crowd(megabytes(64), 8, up=8e6, peer_up=8e6)
    for each in crowd.crowd:
        crowd._carry_out(each, each.session.want_soon([(0, 64)], now=0.0))
    crowd.run()
    assert crowd.copies < 1.0 + 8 * URGENT_BYTES / crowd.table.bytes_total
    assert crowd.seconds < 25


def test_in_a_crowd_the_order_holds_for_what_is_this_nodes_own_share() -> None:
    session, everything = session_of(512)
    session.spread(CY, [peer(number) for number in range(10, 20)])
    session.want_soon([(200, 512)], now=0.0)
    session.joined(1, ANN, everything, now=0.0)
    now, granted_later = 0.0, RangeSet()
    lease = session._everything - session._leases.picker.snapshot()
    while now < 1.5:
        now += 0.1
        first, lease = lease.first(1), lease - lease.first(1)
        given = granted(session.verified(1, first, MIB, now=now), 1)
        lease |= given
        granted_later |= given - runs((200, 200 + URGENT_BYTES // MIB))
    assert granted_later
    assert not granted_later - session._scheduler.crowd.share  # type: ignore[union-attr]
    assert granted_later.runs[0][0] > 200
    assert granted_later.runs[-1][1] < 350, "its share of what is wanted last comes later"
