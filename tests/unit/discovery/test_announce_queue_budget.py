"""When to announce again, what to try first, and which addresses not to dial at all."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2phub import limits
from p2phub.content import Digest, digest_of
from p2phub.discovery import AnnounceSchedule, Asked, Candidate, CandidateQueue, DialBudget, dialable
from p2phub.identity import Address, PeerAddress, PeerId
from tests.support.covers import covers

ONE, TWO = digest_of(b"one"), digest_of(b"two")


def peer(number: int) -> PeerId:
    return PeerId(sha256(b"peer %d" % number).digest())


def candidate(number: int, via: str = "dht", port: int = 4717) -> Candidate:
    return Candidate(PeerAddress(peer(number), Address("10.0.0.1", port)), via)


# --- announcing ------------------------------------------------------------------------------------------------------


def test_what_is_new_is_due_at_once_and_then_after_about_six_hours() -> None:
    schedule = AnnounceSchedule(b"seed")
    schedule.add(ONE, now=0.0)
    assert schedule.take_due(now=0.0) == ONE
    assert schedule.take_due(now=0.0) is None
    schedule.announced(ONE, 5, now=1.0)
    due = schedule.next_due()
    assert due is not None
    assert 1 + 0.9 * limits.ANNOUNCE_S <= due <= 1 + limits.ANNOUNCE_S
    assert schedule.take_due(now=due) == ONE


def test_an_announcement_that_nobody_kept_is_tried_soon_then_ever_later() -> None:
    schedule = AnnounceSchedule(b"seed")
    schedule.add(ONE, now=0.0)
    now, waits = 0.0, []
    for _ in range(12):
        assert schedule.take_due(now=now) == ONE
        schedule.announced(ONE, 0, now=now)
        due = schedule.next_due()
        assert due is not None
        waits.append(due - now)
        now = due
    assert 0.9 * limits.ANNOUNCE_RETRY_S <= waits[0] <= limits.ANNOUNCE_RETRY_S
    assert waits[1] > 1.5 * waits[0]
    assert max(waits) <= limits.ANNOUNCE_S


@covers("F35")
def test_when_the_network_is_back_only_what_failed_is_hurried() -> None:
    schedule = AnnounceSchedule(b"seed")
    for manifest, holders in ((ONE, 0), (TWO, 3)):
        schedule.add(manifest, now=0.0)
        schedule.take_due(now=0.0)
        schedule.announced(manifest, holders, now=0.0)
    schedule.hurry(now=1.0)
    assert schedule.take_due(now=1.0) == ONE
    assert schedule.take_due(now=1.0) is None


def test_two_nodes_do_not_announce_at_the_same_moment() -> None:
    def due_of(seed: bytes) -> float | None:
        schedule = AnnounceSchedule(seed)
        schedule.add(ONE, now=0.0)
        schedule.take_due(now=0.0)
        schedule.announced(ONE, 1, now=0.0)
        return schedule.next_due()

    assert due_of(b"ann") != due_of(b"bob")
    assert due_of(b"ann") == due_of(b"ann")


@covers("F23", "F24")
@pytest.mark.parametrize("jump", [-10 * 86_400.0, -1.0, 10 * 86_400.0])
def test_a_clock_that_jumps_neither_stops_announcing_nor_repeats_it_for_ever(jump: float) -> None:
    schedule = AnnounceSchedule(b"seed")
    schedule.add(ONE, now=1e9)
    schedule.take_due(now=1e9)
    schedule.announced(ONE, 1, now=1e9)
    now, times = 1e9 + jump, 0
    for _ in range(24):
        while (manifest := schedule.take_due(now=now)) is not None:
            times += 1
            schedule.announced(manifest, 1, now=now)
        now += 3600.0
    assert 3 <= times <= 6


def test_what_is_not_provided_any_more_is_not_announced() -> None:
    schedule = AnnounceSchedule(b"seed")
    schedule.add(ONE, now=0.0)
    schedule.take_due(now=0.0)
    schedule.remove(ONE)
    schedule.announced(ONE, 1, now=0.0)
    assert schedule.next_due() is None
    assert len(schedule) == 0


@given(st.lists(st.integers(0, 9), max_size=30))
def test_nothing_is_under_way_twice(numbers: list[int]) -> None:
    schedule = AnnounceSchedule(b"seed")
    under_way: set[Digest] = set()
    for step, number in enumerate(numbers):
        schedule.add(digest_of(b"%d" % number), now=float(step))
        taken = schedule.take_due(now=float(step))
        assert taken not in under_way
        if taken is not None:
            under_way.add(taken)


# --- the queue -------------------------------------------------------------------------------------------------------


def test_no_candidate_is_offered_twice() -> None:
    queue = CandidateQueue()
    assert queue.add(candidate(1))
    assert not queue.add(candidate(1, "lan"))
    assert queue.take() == candidate(1)
    assert not queue.add(candidate(1))
    assert queue.take() is None


@covers("T05")
def test_neighbours_find_room_whatever_else_was_said_of_a_peer() -> None:
    queue = CandidateQueue()
    for number in range(2 * limits.ADDRESSES_PER_PEER_MAX):
        queue.add(Candidate(PeerAddress(peer(1), Address(f"8.8.{number}.1", 4717)), "dht"))
    assert len(queue) == limits.ADDRESSES_PER_PEER_MAX
    assert queue.add(Candidate(PeerAddress(peer(1), Address("192.168.0.5", 4717)), "lan"))


def test_the_proven_come_first_then_neighbours_then_first_addresses() -> None:
    queue = CandidateQueue(frozenset({peer(3)}))
    second_address = candidate(1, "lan", port=1)
    for each in (candidate(2, "dht"), candidate(1, "lan"), second_address, candidate(3, "dht")):
        queue.add(each)
    order = [queue.take() for _ in range(4)]
    assert order == [candidate(3, "dht"), candidate(1, "lan"), candidate(2, "dht"), second_address]


@covers("T41")
def test_one_peer_is_tried_at_sixteen_addresses_at_most() -> None:
    queue = CandidateQueue()
    assert sum(queue.add(candidate(1, port=port)) for port in range(1, 100)) == limits.ADDRESSES_PER_PEER_MAX


def test_who_was_asked_reads_as_part_of_a_sentence() -> None:
    assert str(Asked("dht", ("a",))) == "dht: 1 peer answered"
    assert str(Asked("dht", (), ("b", "c"))) == "dht: 0 peers answered, 2 could not be reached (b, c)"


# --- the budget ------------------------------------------------------------------------------------------------------

SUSPECT = [
    ("192.168.0.1", 4717, "a private address"),
    ("127.0.0.1", 4717, "this machine"),
    ("169.254.169.254", 80, "a cloud's metadata service"),
    ("8.8.8.8", 25, "a mail server"),
    ("8.8.8.8", 0, "no port"),
    ("224.0.0.251", 5353, "a multicast group"),
    ("::1", 4717, "this machine, IPv6"),
    ("fd00::1", 4717, "a private address, IPv6"),
    ("64:ff9b::a00:1", 4717, "a private address behind NAT64"),
    ("2002:c0a8:1::1", 4717, "a private address behind 6to4"),
    ("fec0::1", 4717, "a site's own address"),
]


@covers("T41")
@pytest.mark.parametrize(("ip", "port", "what"), SUSPECT, ids=[what for _, _, what in SUSPECT])
def test_a_stranger_from_the_internet_cannot_make_us_dial(ip: str, port: int, what: str) -> None:
    assert dialable([Address(ip, port)], heard_from="8.8.4.4") == ()


def test_a_neighbour_may_name_neighbours_and_the_user_may_name_anybody() -> None:
    private = Address("192.168.0.1", 4717)
    assert dialable([private], heard_from="192.168.0.7") == (private,)
    assert dialable([Address("8.8.8.8", 25), private], heard_from=None) == (Address("8.8.8.8", 25), private)


@covers("T41")
def test_an_address_that_nobody_proved_is_dialled_three_times_in_ten_minutes_and_then_once_a_minute() -> None:
    budget = DialBudget()
    victim = [Address("8.8.8.8", port) for port in range(1000, 11_000)]
    assert sum(budget.allow(address, now=0.0) for address in victim) == limits.DIALS_PER_ADDRESS_MAX
    assert not budget.allow(victim[0], now=limits.DIAL_AGAIN_S - 1)
    later = sum(
        budget.allow(address, now=float(now)) for now, address in enumerate(victim[: int(limits.DIALS_WINDOW_S)])
    )
    assert later == limits.DIALS_WINDOW_S / limits.DIAL_AGAIN_S - 1


def test_where_somebody_proved_an_identity_dials_are_welcome() -> None:
    budget = DialBudget()
    budget.proved(Address("8.8.8.8", 4717))
    assert all(budget.allow(Address("8.8.8.8", 4717), now=0.0) for _ in range(10))
