"""What passes under a cap, over virtual time: never too much, nearly all of it, in fair shares."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2phub import limits
from p2phub.transfer import Flow, Pacer, Share, left_for_background
from p2phub.transfer.pacing import BURST_S, Bucket
from tests.support.covers import covers

Passed = list[tuple[float, Flow, int]]
START = 1000.0


class Sender:
    """Asks for its next piece `rest_s` after the last one passed, for ever."""

    def __init__(self, flow: Flow, *, piece: int | None = None, rest_s: float = 0.0) -> None:
        self.flow, self.piece, self.rest_s = flow, piece, rest_s


def run(
    pacer: Pacer,
    senders: Sequence[Sender],
    seconds: float,
    *,
    changes: Sequence[tuple[float, Callable[[float], None]]] = (),
) -> Passed:
    """Return what passed when, in `seconds` from START on; `changes` are carried out on their way, told the time."""
    now, end = START, START + seconds
    due = list(changes)
    asking = [(START, number) for number in range(len(senders))]
    owners: dict[int, int] = {}
    passed: Passed = []
    while now < end:
        while due and due[0][0] <= now - START:
            due.pop(0)[1](now)
        while asking and asking[0][0] <= now:
            number = heapq.heappop(asking)[1]
            sender = senders[number]
            ask = pacer.ask(sender.flow, sender.piece or pacer.piece_bytes(sender.flow))
            owners[id(ask)] = number
        for ask in pacer.grant(now=now):
            passed.append((now, ask.flow, ask.count))
            number = owners.pop(id(ask))
            heapq.heappush(asking, (now + max(senders[number].rest_s, 1e-6), number))
        wait = pacer.wait_s(now=now)
        times = [end, *(time for time, _ in asking[:1]), *(START + time for time, _ in due[:1])]
        if wait is not None:
            times.append(now + max(wait, 1e-6))
        now = max(min(times), now)
    return passed


def total(passed: Passed, flow: Flow | None = None) -> int:
    return sum(count for _, each, count in passed if flow is None or each is flow)


@pytest.mark.parametrize("rate", [limits.CAP_MIN, 500e3, 8e6, 100e6])
@pytest.mark.parametrize("senders", [1, 5])
def test_a_cap_is_kept_within_5_percent_over_10_seconds(rate: float, senders: int) -> None:
    passed = run(Pacer(rate, now=START), [Sender(Flow(number)) for number in range(senders)], 10.0)
    assert total(passed) == pytest.approx(10 * rate, rel=0.05)


def test_without_a_cap_everything_passes_at_once() -> None:
    pacer = Pacer(None, now=START)
    ask = pacer.ask(Flow(), 1 << 40)
    assert pacer.grant(now=START) == [ask]
    assert not pacer.is_limited


def test_two_flows_share_a_bucket_equally_however_many_connections_each_has() -> None:
    ann, bob = Flow("ann"), Flow("bob")
    passed = run(Pacer(8e6, now=START), [Sender(ann)] * 5 + [Sender(bob)], 10.0)
    assert total(passed, ann) == pytest.approx(total(passed, bob), rel=0.05)


def test_large_pieces_win_no_larger_share() -> None:
    ann, bob = Flow("ann"), Flow("bob")
    passed = run(Pacer(8e6, now=START), [Sender(ann, piece=200_000), Sender(bob, piece=20_000)], 10.0)
    assert total(passed, ann) == pytest.approx(total(passed, bob), rel=0.05)


def test_what_one_flow_leaves_the_other_gets() -> None:
    lazy, eager = Flow("lazy"), Flow("eager")
    passed = run(Pacer(1e6, now=START), [Sender(lazy, piece=10_000, rest_s=0.1), Sender(eager)], 10.0)
    assert total(passed, lazy) == pytest.approx(1e6, rel=0.2)  # 10,000 bytes every 0.1 s, and a little wait.
    assert total(passed) == pytest.approx(10e6, rel=0.05)


def test_the_caps_of_node_and_job_both_hold() -> None:
    ann, bob = Flow("ann"), Flow("bob")
    pacer = Pacer(8e6, now=START)
    pacer.set_job_rate("ann", 1e6, now=START)
    passed = run(pacer, [Sender(ann), Sender(bob)], 10.0)
    assert total(passed, ann) == pytest.approx(10e6, rel=0.05)
    assert total(passed) == pytest.approx(80e6, rel=0.05)


def test_a_cap_of_a_job_above_that_of_the_node_adds_nothing() -> None:
    pacer = Pacer(1e6, now=START)
    pacer.set_job_rate("ann", 5e6, now=START)
    assert pacer.rate_of("ann") == 1e6
    assert total(run(pacer, [Sender(Flow("ann"))], 10.0)) == pytest.approx(10e6, rel=0.05)


def test_background_yields_nearly_all_and_is_never_starved() -> None:
    fore, back = Flow("fore"), Flow("back", background=True)
    passed = run(Pacer(8e6, now=START), [Sender(fore), Sender(back), Sender(back)], 10.0)
    assert total(passed, fore) >= 0.9 * 80e6
    assert total(passed, back) >= 0.04 * 80e6


def test_background_gets_all_that_the_foreground_leaves() -> None:
    back = Flow("back", background=True)
    assert total(run(Pacer(8e6, now=START), [Sender(back)], 10.0)) == pytest.approx(80e6, rel=0.05)


def test_a_new_rate_holds_at_once_and_without_a_burst() -> None:
    pacer = Pacer(1e6, now=START)
    slower = run(pacer, [Sender(Flow())], 10.0, changes=[(5.0, lambda now: pacer.set_rate(10e6, now=now))])
    after = [(when, count) for when, _, count in slower if when >= START + 5]
    assert sum(count for when, count in after if when < START + 5.05) <= 0.05 * 10e6 + 200_000
    assert sum(count for _, count in after) == pytest.approx(50e6, rel=0.05)


def test_a_lower_rate_holds_at_once_for_who_waits_already() -> None:
    pacer = Pacer(10e6, now=START)
    passed = run(pacer, [Sender(Flow())] * 3, 10.0, changes=[(5.0, lambda now: pacer.set_rate(1e6, now=now))])
    assert sum(count for when, _, count in passed if when >= START + 5) == pytest.approx(5e6, rel=0.15)


def test_lifting_and_setting_a_cap_gives_no_burst() -> None:
    bucket = Bucket(None, now=START)
    bucket.set_rate(1e6, now=START + 100)
    assert bucket.wait_s(10_000, now=START + 100) == pytest.approx(0.01)


def test_a_withdrawn_ask_never_passes() -> None:
    pacer = Pacer(1e6, now=START)
    ask = pacer.ask(Flow(), 50_000)
    pacer.withdraw(ask)
    assert pacer.grant(now=START + 1) == []
    assert pacer.wait_s(now=START + 1) is None


def test_more_than_a_burst_passes_in_the_end_and_is_paid_for() -> None:
    pacer = Pacer(1e6, now=START)
    flow = Flow()
    large = pacer.ask(flow, 1_000_000)
    assert pacer.grant(now=START + 0.1) == [large]
    after = pacer.ask(flow, 10_000)
    assert pacer.grant(now=START + 0.9) == []
    assert pacer.grant(now=START + 1.02) == [after]


def test_a_low_cap_moves_a_little_often() -> None:
    pacer = Pacer(limits.CAP_MIN, now=START)
    pieces = [when for when, _, _ in run(pacer, [Sender(Flow())], 10.0)]
    assert max(later - sooner for sooner, later in pairwise(pieces)) < 1.0


def test_where_the_node_has_no_cap_background_gets_a_part_of_what_others_move() -> None:
    assert left_for_background([]) is None
    assert left_for_background([0.0]) == limits.CAP_MIN
    assert left_for_background([80e6, 80e6]) == 10e6


RATES = st.floats(limits.CAP_MIN, 1e8)


@given(
    rate=RATES,
    steps=st.lists(st.tuples(st.floats(0, 2), st.integers(1, 300_000), st.integers(0, 3)), min_size=1, max_size=60),
)
def test_no_window_ever_holds_more_than_rate_and_burst(rate: float, steps: list[tuple[float, int, int]]) -> None:
    pacer = Pacer(rate, now=0.0)
    flows = [Flow(number, background=number == 3) for number in range(4)]
    now, passed = 0.0, [(0.0, 0)]
    for pause, count, number in steps:
        now += pause
        pacer.ask(flows[number], count)
        passed += [(now, ask.count) for ask in pacer.grant(now=now)]
    largest = max(max(count for _, count in passed), rate * BURST_S, 8192)
    for first in range(len(passed)):
        moved = 0
        for when, count in passed[first:]:
            moved += count
            assert moved <= rate * (when - passed[first][0]) + largest + 1


@given(
    rate=RATES,
    job_rate=RATES,
    asks=st.lists(st.tuples(st.integers(1, 2_000_000), st.integers(0, 3)), min_size=1, max_size=30),
)
def test_whatever_is_asked_for_passes_within_the_time_that_its_caps_take(
    rate: float, job_rate: float, asks: list[tuple[int, int]]
) -> None:
    pacer = Pacer(rate, now=0.0)
    pacer.set_job_rate(1, job_rate, now=0.0)
    flows = [Flow(number, background=number == 3) for number in range(4)]
    for count, number in asks:
        pacer.ask(flows[number], count)
    now = 0.0
    for _ in range(10 * len(asks) + 10):
        pacer.grant(now=now)
        if (wait := pacer.wait_s(now=now)) is None:
            break
        now += max(wait, 1e-6)
    assert not pacer.waiting
    everything = sum(count for count, _ in asks)
    assert now <= everything / rate + everything / job_rate + 1.0


@given(rates=st.lists(st.tuples(st.floats(0.01, 3), st.none() | RATES), min_size=1, max_size=8))
def test_however_the_cap_changes_each_stretch_keeps_its_own(rates: list[tuple[float, float | None]]) -> None:
    pacer, flow, now = Pacer(1e6, now=0.0), Flow(), 0.0
    for seconds, rate in rates:
        pacer.set_rate(rate, now=now)
        began, moved, piece = now, 0, 20_000
        while now < began + seconds:
            pacer.ask(flow, piece)
            moved += sum(ask.count for ask in pacer.grant(now=now))
            now += 0.01
        for ask in pacer.waiting:
            pacer.withdraw(ask)
        if rate is not None:
            assert moved <= rate * (now - began) + max(rate * BURST_S, piece) + piece


def weighted(weight: float, job: str = "job") -> Flow:
    flow = Flow(job)
    flow.weight = weight
    return flow


def test_flows_share_by_their_weights() -> None:
    full, half, low = weighted(1.0), weighted(0.5), weighted(1 / 16)
    passed = run(Pacer(8e6, now=START), [Sender(full), Sender(half), Sender(low)], 10.0)
    unit = 80e6 / (1 + 1 / 2 + 1 / 16)
    assert total(passed, full) == pytest.approx(unit, rel=0.05)
    assert total(passed, half) == pytest.approx(unit / 2, rel=0.05)
    assert total(passed, low) == pytest.approx(unit / 16, rel=0.2)


def test_a_flow_that_is_alone_has_everything_whatever_its_weight() -> None:
    low = weighted(1 / 16)
    pacer = Pacer(8e6, now=START)
    passed = run(pacer, [Sender(low)], 10.0)
    assert total(passed, low) >= 0.99 * 80e6


def test_who_asks_for_two_things_at_once_gets_no_more_by_that() -> None:
    both = Share()
    one, two, other = Flow("one", share=both), Flow("two", share=both), Flow("one")
    passed = run(Pacer(8e6, now=START), [Sender(one), Sender(two), Sender(other)], 10.0)
    assert total(passed, other) == pytest.approx(total(passed, one) + total(passed, two), rel=0.05)


@pytest.mark.parametrize("rate", [1e6, 8e6, 21e6, 100e6])
def test_a_low_weight_moves_smaller_pieces_and_so_more_often(rate: float) -> None:
    pacer = Pacer(rate, now=START)
    least, full = pacer.piece_bytes(weighted(1 / 16)), pacer.piece_bytes(weighted(1.0))
    assert full == min(rate * BURST_S / 2, 1024 * limits.KIB)
    assert least < full / 3
    assert least >= min(full / 4, 32 * limits.KIB), "not so small that the waits cost more than the bytes"
    assert pacer.piece_bytes(Flow("job", background=True)) == least


def longest_gap(passed: Passed, flow: Flow) -> float:
    """Return the longest time in which nothing of `flow` passed."""
    times = [START, *(when for when, each, _ in passed if each is flow)]
    return max(later - when for when, later in pairwise(times))


@covers("T38")
@pytest.mark.parametrize("rate", [limits.SLOT_RATE_MIN * 64.0, 16e6, 21e6, 50e6])
@pytest.mark.parametrize("full", [30, 50, 63])
def test_who_has_little_weight_is_not_left_silent_for_so_long_that_it_seems_stalled(rate: float, full: int) -> None:
    least = 64 * limits.RATE_MIN / rate  # As `slots` has it: its connections live.
    low = weighted(min(1.0, max(1 / 16, least)))
    others = [weighted(1.0) for _ in range(full)] + [weighted(low.weight) for _ in range(63 - full)]
    passed = run(Pacer(rate, now=START), [Sender(low), *map(Sender, others)], 20.0)
    assert longest_gap(passed, low) < limits.STALL_S / 2


def test_a_link_in_the_background_is_not_left_silent_beside_jobs_that_are_not() -> None:
    jobs, background = [Flow(number) for number in range(3)], Flow("background", background=True)
    senders = [Sender(flow) for flow in jobs for _ in range(4)] + [Sender(background) for _ in range(8)]
    passed = run(Pacer(21e6, now=START), senders, 20.0)
    assert 8 * longest_gap(passed, background) < limits.STALL_S  # Its links take turns.


@pytest.mark.parametrize("rate", [float(limits.CAP_MIN), 200e3, 1e6])
@pytest.mark.parametrize("count", [1, 8])
def test_after_a_cap_is_lowered_nobody_waits_for_a_piece_of_the_old_size(rate: float, count: int) -> None:
    pacer, flows = Pacer(50e6, now=START), [Flow(number) for number in range(count)]
    lower = (1.0, lambda now: pacer.set_rate(rate, now=now))
    passed = run(pacer, [Sender(flow) for flow in flows], 11.0, changes=[lower])
    after = [(when, flow, piece) for when, flow, piece in passed if when > START + 1.0]
    assert total(after) <= 1.05 * 10 * rate
    assert max(longest_gap(passed, flow) for flow in flows) < 1.0


@pytest.mark.parametrize("background", [False, True])
def test_who_waits_in_smaller_pieces_is_charged_for_those_alone(background: bool) -> None:
    pacer, flow = Pacer(50e6, now=START), Flow("job", background=background)
    asks = [pacer.ask(flow, pacer.piece_bytes(flow)) for _ in range(3)]
    pacer.set_job_rate("job", float(limits.CAP_MIN), now=START)
    assert [ask.count for ask in asks] == 3 * [pacer.piece_bytes(flow)]
    assert flow.share.finish == pytest.approx(3 * pacer.piece_bytes(flow) / flow.counts_for)
