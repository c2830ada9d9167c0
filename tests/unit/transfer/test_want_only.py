"""What is wanted changes while it is fetched: what nobody wants any more is not asked for, what is had stays (0100)."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from p2phub import limits
from p2phub.content import RangeSet
from p2phub.transfer import Action, Grant, Revoke, Session
from tests.support.swarm import granted, megabytes, peer, runs

MIB = limits.MIB
ANN, BOB = peer(1), peer(2)


def reading(chunks: int = 100) -> tuple[Session, RangeSet]:
    table = megabytes(chunks)
    return Session(table, RangeSet(), wanted=RangeSet(), now=0.0), RangeSet.whole(chunks)


def test_nothing_is_granted_before_something_is_wanted_and_then_only_that() -> None:
    session, everything = reading()
    assert session.complete
    assert session.joined(1, ANN, everything, now=0.0) == []
    assert granted(session.want_only(runs((40, 43)), now=0.0), 1) == runs((40, 43))
    assert (session.missing, session.bytes_missing, session.complete) == (runs((40, 43)), 3 * MIB, False)
    assert granted(session.verified(1, runs((40, 43)), 3 * MIB, now=1.0), 1) == RangeSet()
    assert session.complete
    assert session.have == runs((40, 43))


def test_what_is_had_or_under_way_is_not_asked_for_again() -> None:
    session, everything = reading()
    session.joined(1, ANN, everything, now=0.0)
    session.want_only(runs((40, 43)), now=0.0)
    session.verified(1, runs((40, 41)), MIB, now=1.0)
    grants = granted(session.want_only(runs((39, 43)), now=1.0), 1)
    grants |= granted(session.verified(1, runs((41, 43)), 2 * MIB, now=2.0), 1)
    assert grants == session.missing == runs((39, 40))


def test_what_is_not_wanted_any_more_is_taken_back_and_nobody_gets_it() -> None:
    session, everything = reading()
    session.joined(1, ANN, everything, now=0.0)
    lease = granted(session.want_only(everything, now=0.0), 1)
    assert len(lease) < 50
    assert Revoke(1) in session.want_only(runs((90, 92)), now=0.1)
    came, returned = lease.first(1), lease - lease.first(1)
    assert granted(session.returned(1, returned, now=0.2), 1) == runs((90, 92))
    assert session.missing == runs((90, 92)) | came
    assert not granted(session.joined(2, BOB, everything, now=0.3), 2) - session.missing
    session.verified(1, came, MIB, now=0.4)  # What was under way comes, and is had.
    session.verified(1, runs((90, 92)), 2 * MIB, now=0.5)
    assert session.complete
    assert session.have == came | runs((90, 92))


def test_what_a_lost_link_owed_and_nobody_wants_is_forgotten() -> None:
    session, everything = reading()
    session.joined(1, ANN, everything, now=0.0)
    lease = granted(session.want_only(runs((0, 4)), now=0.0), 1)
    assert lease == runs((0, 4))
    session.want_only(RangeSet(), now=0.1)
    assert session.missing == lease
    session.closed(1, None, lease, now=0.2)
    assert session.complete
    assert not session.missing
    assert session.joined(2, BOB, everything, now=0.3) == []


def test_what_is_wanted_again_after_that_is_fetched() -> None:
    session, everything = reading()
    session.joined(1, ANN, everything, now=0.0)
    session.want_only(runs((0, 4)), now=0.0)
    session.want_only(RangeSet(), now=0.1)
    session.want_only(runs((2, 4)), now=0.2)
    session.returned(1, runs((1, 4)), now=0.3)
    assert session.missing == runs((0, 1), (2, 4))


@pytest.mark.parametrize("seed", range(40))
def test_however_often_it_changes_in_the_end_what_is_wanted_is_had(seed: int) -> None:
    random = Random(seed)
    session, everything = reading(30)
    leases = {1: RangeSet(), 2: RangeSet()}
    had = RangeSet()
    wanted = RangeSet()
    now = 0.0

    def carry_out(actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, Revoke):
                asked = leases[action.link].first(random.randint(0, 2))
                back, leases[action.link] = leases[action.link] - asked, asked
                carry_out(session.returned(action.link, back, now=now))
            elif isinstance(action, Grant):
                assert not action.chunks - wanted, "granted what nobody wants"
                assert not action.chunks & had, "granted what is had"
                leases[action.link] |= action.chunks

    for link, who in ((1, ANN), (2, BOB)):
        carry_out(session.joined(link, who, everything, now=now))
    for step in range(200):
        now += 0.01
        if step < 100 and random.random() < 0.4:
            start = random.randint(0, 29)
            wanted = runs((start, random.randint(start, 30))) if random.random() < 0.8 else RangeSet()
            carry_out(session.want_only(wanted, now=now))
        link = random.choice((1, 2))
        if chunk := leases[link].first(1):
            leases[link] -= chunk
            had |= chunk
            carry_out(session.verified(link, chunk, MIB, now=now))
        carry_out(session.tick(now=now))
    for link in (1, 2):
        while chunk := leases[link].first(1):
            leases[link] -= chunk
            had |= chunk
            carry_out(session.verified(link, chunk, MIB, now=now))
    assert session.complete
    assert not wanted - had
    assert session.have == had
