"""Threads and tasks that wait under a cap: in virtual time where a rate is asserted, by events where one must wake."""

from __future__ import annotations

import math
import threading

import pytest
import trio

from p2phub import limits
from p2phub.errors import PeerGone, PeerStalled
from p2phub.net.channel import Channel, Progress, Watched, longest_idle
from p2phub.net.paced import PacedChannel
from p2phub.net.throttle import PRESSED_S, Caps, Throttle
from tests.support.covers import covers
from tests.support.swarm import peer

MIB = limits.MIB


class Time:
    """A clock that a wait moves on. Where a wait has no end it fails: nobody is there to end it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, condition: threading.Condition, timeout_s: float | None) -> None:
        assert timeout_s is not None, "waits for ever"
        self.now += max(timeout_s, 1e-6)


class Recorder(Channel):
    """A channel that keeps what it is given, each call taking `call_s` of the clock."""

    def __init__(self, time: Time, call_s: float = 0.0) -> None:
        self.peer, self.progress = peer(1), Progress()
        self.moved: list[int] = []
        self.cancelled = False
        self._time, self._call_s = time, call_s

    def _move(self, length: int) -> None:
        self.moved.append(length)
        self._time.now += self._call_s

    def fill(self, into: memoryview) -> None:
        self._move(len(into))
        into[:] = b"x" * len(into)

    def send(self, data: memoryview | bytes) -> None:
        self._move(len(data))

    def received(self) -> int:
        return 7

    def cancel(self) -> None:
        self.cancelled = True


def throttle_in(time: Time, rate: float | None = None) -> Throttle:
    return Throttle(rate, clock=time, sleep=time.sleep)


def paced(throttle: Throttle, channel: Channel, time: Time, *, sends: bool, job: object = "job") -> PacedChannel:
    return PacedChannel(channel, throttle, throttle.flow(job), sends=sends)


@pytest.mark.parametrize("sends", [True, False])
@pytest.mark.parametrize("rate", [limits.CAP_MIN, 1e6, 8e6])
def test_a_capped_channel_moves_at_its_rate_within_5_percent(rate: float, sends: bool) -> None:
    time = Time()
    channel = paced(throttle_in(time, rate), Recorder(time), time, sends=sends)
    began, buffer, moved = time.now, memoryview(bytearray(MIB)), 0
    while time.now < began + 10 or moved < 2 * MIB:
        (channel.send if sends else channel.fill)(buffer)
        moved += MIB
    assert moved == pytest.approx(rate * (time.now - began), rel=0.05)


@pytest.mark.parametrize("sends", [True, False])
def test_without_a_cap_each_call_goes_through_whole(sends: bool) -> None:
    time = Time()
    inner = Recorder(time)
    channel = paced(throttle_in(time), inner, time, sends=sends)
    channel.send(b"x" * MIB)
    channel.fill(memoryview(bytearray(MIB)))
    assert inner.moved == [MIB, MIB]


def test_only_the_direction_of_the_payload_is_capped() -> None:
    time = Time()
    throttle = throttle_in(time, 1e6)
    inner = Recorder(time)
    paced(throttle, inner, time, sends=False).send(b"x" * MIB)
    paced(throttle, inner, time, sends=True).fill(memoryview(bytearray(MIB)))
    assert inner.moved == [MIB, MIB]
    assert time.now == 1000.0


def test_a_low_cap_sends_small_pieces_often() -> None:
    time = Time()
    inner = Recorder(time)
    paced(throttle_in(time, limits.CAP_MIN), inner, time, sends=True).send(b"x" * MIB)
    assert sum(inner.moved) == MIB
    assert max(inner.moved) <= limits.CAP_MIN * 0.1 + 8192


def test_the_cap_of_a_job_holds_beside_that_of_the_node() -> None:
    time = Time()
    throttle = throttle_in(time, 8e6)
    throttle.admit("job", 1e6)
    paced(throttle, Recorder(time), time, sends=True).send(b"x" * MIB)
    assert time.now - 1000 == pytest.approx(MIB / 1e6, rel=0.05)
    throttle.forget("job")
    began = time.now
    paced(throttle, Recorder(time), time, sends=True).send(b"x" * (8 * MIB))
    assert time.now - began == pytest.approx(8 * MIB / 8e6, rel=0.15)


def test_a_cap_that_is_lifted_lets_a_waiting_thread_go() -> None:
    throttle, started = Throttle(limits.CAP_MIN, clock=lambda: 0.0), threading.Event()
    flow, taken = throttle.flow("job"), []

    def work() -> None:
        started.set()
        taken.append(throttle.take(flow, MIB, throttle.stop()))

    thread = threading.Thread(target=work)
    thread.start()
    started.wait()
    throttle.set_rate(None)  # The clock stands still: nothing else could let it go.
    thread.join(20)
    assert taken == [4096], "a piece of the cap under which it began to wait"


def test_cancel_ends_a_wait_at_once_and_every_later_one() -> None:
    sleeping = threading.Event()

    def sleep(condition: threading.Condition, timeout_s: float | None) -> None:
        sleeping.set()  # The lock is held until the wait: whoever notifies comes after it has begun.
        condition.wait()

    throttle = Throttle(limits.CAP_MIN, clock=lambda: 0.0, sleep=sleep)
    inner = Recorder(Time())
    channel = PacedChannel(inner, throttle, throttle.flow("job"), sends=True)
    ended: list[Exception] = []

    def work() -> None:
        for _ in range(2):
            try:
                channel.send(b"x" * MIB)
            except PeerGone as error:
                ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    sleeping.wait()
    channel.cancel()
    thread.join(20)
    assert len(ended) == 2
    assert inner.cancelled
    assert inner.moved == []


def test_when_the_one_who_watches_the_clock_is_cancelled_the_next_one_does() -> None:
    asleep: list[float | None] = []
    changed = threading.Condition()
    now = [0.0]

    def sleep(condition: threading.Condition, timeout_s: float | None) -> None:
        with changed:
            asleep.append(timeout_s)
            changed.notify_all()
        condition.wait()

    throttle = Throttle(limits.CAP_MIN, clock=lambda: now[0], sleep=sleep)
    stops = [throttle.stop(), throttle.stop()]
    taken: dict[int, int] = {}

    def work(number: int) -> None:
        taken[number] = throttle.take(throttle.flow(number), 4096, stops[number])

    threads = [threading.Thread(target=work, args=(number,)) for number in (0, 1)]
    for count, thread in enumerate(threads, start=1):
        thread.start()
        with changed:
            assert changed.wait_for(lambda count=count: len(asleep) == count, 20)  # type: ignore[misc]
    assert asleep[0] is not None
    assert asleep[1] is None, "one watches the clock, the other sleeps until it is woken"
    stops[0].call()
    with changed:
        assert changed.wait_for(lambda: len(asleep) == 3, 20)
    assert asleep[2] is not None, "nobody watches the clock"
    stops[1].call()
    for thread in threads:
        thread.join(20)
    assert taken == {0: 0, 1: 0}


def test_a_wait_for_our_own_cap_is_neither_the_peers_time_nor_idleness() -> None:
    time = Time()
    seen: list[tuple[float, object]] = []
    inner = Recorder(time)
    watched = Watched()
    watched.add(inner)

    def sleep(condition: threading.Condition, timeout_s: float | None) -> None:
        watched.cancel_overdue()
        seen.append((inner.progress.deadline, longest_idle([inner], at_least_s=-1)))
        time.sleep(condition, timeout_s)

    throttle = Throttle(limits.CAP_MIN, clock=time, sleep=sleep)
    paced(throttle, inner, time, sends=True).send(b"x" * 10_000)
    assert seen
    assert all(deadline != math.inf and idle is None for deadline, idle in seen)
    assert not inner.cancelled
    assert inner.progress.deadline == math.inf


def test_while_a_link_waits_for_its_share_it_does_not_look_stalled() -> None:
    time = Time()
    seen: list[int] = []

    def sleep(condition: threading.Condition, timeout_s: float | None) -> None:
        seen.extend(channel.received() for _ in range(3))
        time.sleep(condition, timeout_s)

    throttle = Throttle(limits.CAP_MIN, clock=time, sleep=sleep)
    channel = paced(throttle, Recorder(time), time, sends=False)
    channel.fill(memoryview(bytearray(10_000)))
    assert seen == sorted(set(seen))
    assert channel.received() == channel.received(), "it waits for the peer now, and only bytes are a sign of that"


def test_a_peer_that_is_slow_piece_by_piece_is_let_go_like_any_other() -> None:
    time = Time()
    inner = Recorder(time, call_s=19.0)
    with pytest.raises(PeerStalled):
        paced(throttle_in(time, limits.CAP_MIN), inner, time, sends=False).fill(memoryview(bytearray(MIB)))
    assert len(inner.moved) <= 1 + (20 + MIB / limits.RATE_MIN) / 19


def test_a_job_is_pressed_while_it_waits_and_a_little_longer() -> None:
    time = Time()
    throttle = throttle_in(time, 1e6)
    throttle.admit("job")
    assert not throttle.is_pressed("job")
    throttle.take(throttle.flow("job"), 50_000, throttle.stop())
    assert throttle.is_pressed("job")
    assert not throttle.is_pressed("other")
    time.now += PRESSED_S
    assert not throttle.is_pressed("job")


def test_what_is_under_way_is_bounded_by_the_cap() -> None:
    throttle = throttle_in(Time())
    assert throttle.ahead_bytes("job", 4 * MIB) == 4 * MIB
    throttle.set_rate(4e6)
    assert throttle.ahead_bytes("job", 4 * MIB) == 1_000_000
    throttle.admit("job", limits.CAP_MIN)
    assert throttle.ahead_bytes("job", 4 * MIB) == 128 * limits.KIB
    assert throttle.ahead_bytes("job", 100) == 100


def test_all_links_of_a_job_have_one_share_and_a_job_in_the_background_a_small_one() -> None:
    throttle = throttle_in(Time(), 1e6)
    first = throttle.flow("job")
    assert throttle.flow("job") is first
    assert throttle.flow("job", who="bob") is not first
    throttle.admit("job", background=True)
    assert first.background
    assert throttle.flow("job", who="cy").background
    throttle.forget("job")
    assert not first.background


async def test_a_task_waits_like_a_thread(autojump_clock: trio.testing.MockClock) -> None:
    throttle = Throttle(1e6, clock=trio.current_time)
    flow = throttle.flow("job")
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(throttle.pass_through, flow, 50_000)
    assert trio.current_time() - began == pytest.approx(0.2, rel=0.05)


async def test_a_cancelled_task_leaves_its_place(autojump_clock: trio.testing.MockClock) -> None:
    throttle = Throttle(1e6, clock=trio.current_time)
    flow = throttle.flow("job")
    with trio.move_on_after(0.5):
        await throttle.pass_through(flow, 10_000_000)
        await throttle.pass_through(flow, 10_000_000)
    began = trio.current_time()
    await throttle.pass_through(throttle.flow("other"), 1)
    assert trio.current_time() - began < 10.1
    assert not throttle.is_pressed("job")


def test_nothing_is_capped_by_default() -> None:
    caps = Caps()
    assert (caps.up.is_limited, caps.down.is_limited) == (False, False)


@covers("T38")
def test_requesters_are_served_by_what_they_took_and_gave() -> None:
    time = Time()
    throttle = throttle_in(time, 8e6)
    _, giver = throttle.enter("m", "a", peer(1))
    _, rider = throttle.enter("m", "b", peer(2))
    for flow in (giver, rider):
        PacedChannel(Recorder(time), throttle, flow, sends=True).send(bytes(8 * MIB))
    throttle.show("m", {peer(1): 8 * MIB})
    time.now += 60
    pieces = [throttle.take(flow, MIB, throttle.stop()) for flow in (giver, rider)]
    assert giver.weight == 1.0
    assert rider.weight < 0.1
    assert pieces[1] < pieces[0]


def test_what_goes_out_without_a_cap_stands_on_the_tab_too() -> None:
    time = Time()
    throttle = throttle_in(time)
    _, flow = throttle.enter("m", "a", peer(1))
    PacedChannel(Recorder(time), throttle, flow, sends=True).send(bytes(8 * MIB))
    throttle.set_rate(8e6)
    time.now += 60
    throttle.take(flow, MIB, throttle.stop())
    assert flow.weight < 0.1


def test_what_goes_out_without_a_cap_is_told_a_header_with_its_payload_and_the_rest_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[int] = []
    throttle = throttle_in(Time())
    monkeypatch.setattr(throttle, "gave", lambda flow, count: told.append(count))
    channel = paced(throttle, Recorder(Time()), Time(), sends=True)
    for length in (20, MIB, 20, 30):
        channel.send(bytes(length))
    assert told == [20 + MIB]
    channel.close()
    assert told == [20 + MIB, 20 + 30]


def test_all_connections_of_one_address_have_one_share_of_each_manifest_and_one_in_all() -> None:
    throttle = throttle_in(Time(), 1e6)
    _, first = throttle.enter("m", "a", peer(1))
    _, second = throttle.enter("m", "a", peer(2))
    _, other = throttle.enter("n", "a", peer(1))
    assert first is second
    assert other is not first
    assert other.share is first.share
    assert throttle.enter("m", "b", peer(3))[1].share is not first.share


@covers("T38")
def test_who_leaves_and_comes_back_has_the_share_that_it_had() -> None:
    time = Time()
    throttle = throttle_in(time, 21e6)
    place, flow = throttle.enter("m", "a", peer(1))
    PacedChannel(Recorder(time), throttle, flow, sends=True).send(bytes(MIB))
    before = flow.share.finish
    throttle.leave(place)
    del place, flow
    _, flow = throttle.enter("m", "a", peer(2))
    assert flow.share.finish == before > 0


def test_so_many_shares_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TABS_MAX", 3)
    throttle = throttle_in(Time(), 21e6)
    shares = [throttle.enter("m", number, peer(1))[1].share for number in (0, 1, 2, 0, 3)]
    assert throttle.enter("m", 0, peer(1))[1].share is shares[0], "it came more lately than the others"
    assert throttle.enter("m", 1, peer(1))[1].share is not shares[1]


def test_a_waiting_thread_takes_less_once_the_cap_is_lowered() -> None:
    time, waits = Time(), list[float | None]()

    def sleep(condition: threading.Condition, timeout_s: float | None) -> None:
        waits.append(timeout_s)
        if len(waits) == 1:
            condition.release()
            throttle.set_rate(limits.CAP_MIN)
            condition.acquire()
        else:
            time.sleep(condition, timeout_s)

    throttle = Throttle(50e6, clock=time, sleep=sleep)
    assert throttle.take(throttle.flow("job"), MIB, throttle.stop()) == 4096
    assert len(waits) > 1


def test_what_is_shown_is_told_to_who_keeps_the_same_elsewhere() -> None:
    throttle, told = throttle_in(Time()), list[tuple[object, object]]()
    throttle.showed = lambda manifest, shown: told.append((manifest, dict(shown)))
    throttle.show("m", {peer(1): 5})
    throttle.show("m", {})
    assert told == [("m", {peer(1): 5})]
    assert throttle.shown() == [("m", peer(1), 5)]


def test_who_is_served_of_a_job_in_the_background_has_a_small_share_from_the_beginning() -> None:
    throttle = throttle_in(Time(), 1e6)
    throttle.admit("m", background=True)
    _, flow = throttle.enter("m", "a", peer(1))
    assert flow.background
    assert not throttle.enter("n", "a", peer(1))[1].background
    throttle.admit("m")
    assert not flow.background
