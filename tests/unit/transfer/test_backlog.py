"""A fetch runs ahead of its disk by SYNC_BYTES at most, or by what the disk makes durable in a quarter of a second."""

from __future__ import annotations

from math import inf

import pytest

from p2phub import limits
from p2phub.content import RangeSet
from p2phub.transfer import Backlog, Revoke, Session
from p2phub.transfer.backlog import BEHIND_S, LEASE_BYTES_LEAST, LEASED_PART
from tests.support.covers import covers
from tests.support.swarm import Provider, Swarm, granted, megabytes, peer

MIB = limits.MIB
ANN, BOB = peer(1), peer(2)


@covers("F02", "F28")
@pytest.mark.parametrize("links", [1, 2, 8])
def test_on_a_slow_disk_what_a_power_cut_takes_is_bounded_and_the_disk_is_kept_busy(links: int) -> None:
    everything, disk_rate = RangeSet.whole(400), 20 * MIB
    providers = [Provider(number, everything, rate=800 * MIB / links) for number in range(links)]
    swarm = Swarm(megabytes(400), providers, disk_rate=disk_rate)
    swarm.run()
    assert swarm.ahead_most <= limits.SYNC_BYTES
    assert swarm.now <= 1.1 * (400 * MIB - limits.SYNC_BYTES) / disk_rate  # What is left then is the last sync's.


def test_a_disk_that_keeps_up_holds_nobody_back() -> None:
    everything = RangeSet.whole(2000)
    swarm, alone = (
        Swarm(megabytes(2000), [Provider(1, everything, rate=400 * MIB)], disk_rate=rate) for rate in (1000 * MIB, inf)
    )
    swarm.run()
    alone.run()
    assert swarm.now <= 1.02 * alone.now
    assert limits.SYNC_BYTES < swarm.ahead_most <= 1000 * MIB * BEHIND_S


@pytest.mark.parametrize("fault", ["stalls", "lies", "leaves", "busy"])
def test_on_a_slow_disk_who_fails_costs_no_more_than_elsewhere(fault: str) -> None:
    """Above all who owes all that may be leased, and gives nothing, must not hold up the rest."""
    everything = RangeSet.whole(400)
    bad = Provider(1, everything, rate=400 * MIB, fault=fault, good_bytes=40 * MIB)
    swarm = Swarm(megabytes(400), [bad, Provider(2, everything, rate=400 * MIB)], disk_rate=40 * MIB)
    swarm.run()
    assert swarm.now <= 400 / 40 + 2.0
    assert swarm.ahead_most <= limits.SYNC_BYTES


def test_before_the_first_sync_no_more_is_promised_than_a_slow_disk_may_have() -> None:
    assert Backlog().bytes_max == limits.SYNC_BYTES


def test_a_small_sync_says_nothing_of_the_disk() -> None:
    backlog = Backlog()
    backlog.came(MIB)
    backlog.begin()
    backlog.synced(1e-6)
    assert backlog.bytes_max == limits.SYNC_BYTES
    assert backlog.bytes == 0


def test_what_comes_while_a_sync_runs_is_for_the_next_one() -> None:
    backlog = Backlog()
    backlog.came(40 * MIB)
    backlog.begin()
    backlog.came(3 * MIB)
    assert (backlog.bytes, backlog.due_bytes) == (43 * MIB, 3 * MIB)
    backlog.synced(1.0)
    assert (backlog.bytes, backlog.due_bytes) == (3 * MIB, 3 * MIB)


def test_while_the_disk_is_behind_nothing_is_granted_and_nobody_else_is_dialled() -> None:
    backlog = Backlog()
    session = Session(megabytes(400), RangeSet(), backlog=backlog, now=0.0)
    lease = granted(session.joined(1, ANN, RangeSet.whole(400), now=0.0), 1)
    assert session.links_wanted(BOB) == 1
    backlog.came(limits.SYNC_BYTES)
    assert not granted(session.verified(1, lease, len(lease) * MIB, now=0.1), 1)
    assert session.waits_for_disk
    assert session.links_wanted(BOB) == 0
    assert session.links_wanted(ANN) == 1  # The one that is up stays.
    backlog.begin()
    backlog.synced(10.0)
    assert granted(session.tick(now=0.2), 1)
    assert not session.waits_for_disk


def test_where_links_owe_all_that_may_be_leased_an_idle_one_takes_over() -> None:
    """It is not the disk that is waited for then, and who owes it may be frozen."""
    everything, backlog = RangeSet.whole(2000), Backlog()
    session = Session(megabytes(2000), RangeSet(), backlog=backlog, now=0.0)
    now = 0.0
    for link in range(8):  # Each comes, is fast, and is given as much as it may have by then.
        mine = granted(session.joined(link, peer(10 + link), everything, now=now), link)
        for _ in range(6):
            now, done = now + 0.025, mine.first(3)
            more = granted(session.verified(link, done, len(done) * MIB, now=now), link)
            mine = (mine - done) | more
    leased = sum(each.bytes_leased for each in session.links_now(now=now))
    backlog.came(limits.SYNC_BYTES - leased)
    assert not backlog.is_behind
    actions = session.joined(99, ANN, everything, now=now)
    assert not granted(actions, 99)
    assert [type(action) for action in actions] == [Revoke]


def test_many_links_have_little_each() -> None:
    backlog = Backlog()
    assert backlog.lease_bytes_max(1) == limits.SYNC_BYTES * LEASED_PART
    assert backlog.lease_bytes_max(4) == limits.SYNC_BYTES * LEASED_PART / 4
    assert backlog.lease_bytes_max(64) == LEASE_BYTES_LEAST
