"""What is thought of peers: rests that grow, parole where somebody lied, and that nobody is banned for another."""

from __future__ import annotations

import pytest

from p2phub import limits
from p2phub.content import RangeSet
from p2phub.errors import ChunkMismatch, PeerError, PeerStalled
from p2phub.transfer import Revoke, Session, Standings
from p2phub.transfer.standing import LIARS_REST_S, LIARS_REST_S_MAX, PAROLE_BYTES
from tests.support.covers import covers
from tests.support.swarm import STEP_S, Provider, Swarm, dropped, granted, megabytes, peer

BATCH = limits.BATCH_BYTES_MAX
ANN, BOB, CY, DAN = (peer(number) for number in range(4))
HERE, THERE = "192.0.2.1", "192.0.2.2"


def lie(number: int = 0) -> PeerError:
    return ChunkMismatch("wrong byte", file="f", chunk=0, peer=str(peer(number)))


def after_lies(count: int, *, party: str = HERE, at: float = 0.0) -> Standings:
    """The standings after so many peers of a party have lied, one after the other."""
    standings = Standings()
    for number in range(100, 100 + count):
        standings.met(peer(number), party, now=at)
        standings.lied(peer(number), lie(number), now=at)
    return standings


def kept_back(standings: Standings, *parties: str, given: int = 0, tried: str = "", others: bool = True) -> float:
    """For how long a peer that is said to be at `parties` is kept back, as far as it is no longer than 200 s."""
    steps = (step / 10 for step in range(2000))
    return next(
        (now for now in steps if not standings.kept_back(parties, given=given, tried=(tried,), others=others, now=now)),
        200.0,
    )


def session_with(standings: Standings) -> tuple[Session, RangeSet]:
    table = megabytes(40)
    return Session(table, RangeSet(), standings=standings, now=0.0), RangeSet.whole(len(table))


@covers("T34")
def test_one_from_where_somebody_lied_is_asked_for_a_batch_at_a_time_until_it_has_given_enough() -> None:
    standings = after_lies(1)
    session, everything = session_with(standings)
    standings.met(ANN, HERE, now=0.0)
    leased = granted(session.joined(1, ANN, everything, now=0.0), 1)
    given, now = 0, 0.0
    while given < PAROLE_BYTES:
        assert len(leased) * limits.MIB == BATCH
        now += 0.01
        leased = granted(session.verified(1, leased, BATCH, now=now), 1)
        given += BATCH
    assert len(leased) * limits.MIB > BATCH


@covers("T34")
def test_one_from_elsewhere_is_not_judged_with_them() -> None:
    standings = after_lies(1)
    session, everything = session_with(standings)
    standings.met(ANN, THERE, now=0.0)
    assert len(granted(session.joined(1, ANN, everything, now=0.0), 1)) * limits.MIB > BATCH


@covers("T34")
def test_a_lie_takes_back_what_others_of_that_address_were_granted_beyond_a_batch() -> None:
    standings = Standings()
    session, everything = session_with(standings)
    for link, (who, party) in enumerate(((ANN, HERE), (BOB, HERE), (CY, THERE))):
        standings.met(who, party, now=0.0)
        session.joined(link, who, everything, now=0.0)
    actions = session.closed(0, lie(), RangeSet(), now=0.1)
    assert [each.link for each in actions if isinstance(each, Revoke)] == [1]
    assert not dropped(actions)
    assert session.banned(ANN) is not None
    assert session.banned(BOB) is None


@covers("T34")
def test_one_that_has_proved_itself_is_not_judged_for_a_liar_beside_it() -> None:
    standings = Standings()
    session, everything = session_with(standings)
    standings.met(BOB, HERE, now=0.0)
    leased = granted(session.joined(1, BOB, everything, now=0.0), 1)
    session.verified(1, leased, PAROLE_BYTES, now=0.1)
    standings.met(ANN, HERE, now=0.1)
    session.joined(2, ANN, everything, now=0.1)
    actions = session.closed(2, lie(), RangeSet(), now=0.2)
    assert not [each for each in actions if isinstance(each, Revoke)]
    assert kept_back(standings, HERE, given=PAROLE_BYTES, tried=HERE) == 0


@covers("T34")
def test_the_more_of_an_address_lied_the_longer_the_next_one_waits_while_there_are_others() -> None:
    assert kept_back(after_lies(0), HERE) == 0
    assert kept_back(after_lies(1), HERE) == 0
    assert kept_back(after_lies(2), HERE) == LIARS_REST_S
    assert kept_back(after_lies(3), HERE) == 2 * LIARS_REST_S
    assert kept_back(after_lies(50), HERE) == LIARS_REST_S_MAX
    assert kept_back(after_lies(50), HERE, others=False) == 0
    assert kept_back(after_lies(50), THERE) == 0
    assert kept_back(after_lies(50), HERE, THERE) == 0


@covers("T34")
def test_of_those_at_a_suspect_address_one_is_tried_at_a_time() -> None:
    assert kept_back(after_lies(1), HERE, tried=HERE) == 200
    assert kept_back(after_lies(1), HERE, tried=THERE) == 0
    assert kept_back(after_lies(0), HERE, tried=HERE) == 0


def test_a_second_proof_of_the_same_liar_is_no_second_liar() -> None:
    standings = after_lies(2)
    first = standings.evidence(peer(100))
    standings.lied(peer(100), lie(7), now=50.0)
    assert standings.evidence(peer(100)) is first
    assert kept_back(standings, HERE) == LIARS_REST_S


@covers("T35")
def test_one_that_stalled_is_asked_for_a_batch_until_bytes_come_again() -> None:
    standings = Standings()
    session, everything = session_with(standings)
    session.joined(1, ANN, everything, now=0.0)
    session.closed(1, PeerStalled("silent", peer=str(ANN)), RangeSet(), now=1.0)
    leased = granted(session.joined(2, ANN, everything, now=50.0), 2)
    assert len(leased) * limits.MIB == BATCH
    assert len(granted(session.verified(2, leased, BATCH, now=51.0), 2)) * limits.MIB > BATCH


@covers("T33", "T34")
@pytest.mark.parametrize("honest_too", [False, True])
def test_a_fetch_completes_though_all_are_behind_one_address(honest_too: bool) -> None:
    table = megabytes(60)
    everything = RangeSet.whole(len(table))
    providers = [Provider(number, everything, 20e6, "lies", good_bytes=2e6) for number in range(1, 7)]
    providers += [Provider(7, everything, 20e6)] * honest_too
    swarm = Swarm(table, [*providers, Provider(8, everything, 5e6)])
    for each in providers:
        swarm.session._standings.met(each.id, HERE, now=0.0)
    swarm.run()
    assert swarm.session.complete
    assert swarm.now < 60 + STEP_S


@covers("T34")
def test_one_on_parole_gets_no_more_of_what_somebody_waits_for_either() -> None:
    standings = after_lies(1)
    session, everything = session_with(standings)
    session.want_soon(everything.runs, now=0.0)
    standings.met(ANN, HERE, now=0.0)
    leased = granted(session.joined(1, ANN, everything, now=0.0), 1)
    assert len(leased) * limits.MIB == BATCH
    assert len(granted(session.verified(1, leased, BATCH, now=0.01), 1)) * limits.MIB == BATCH


@covers("T34")
def test_a_time_on_parole_makes_no_later_lease_longer() -> None:
    """A link whose batch ends before the next is granted is no link that runs dry."""
    standings = after_lies(1)
    session, everything = session_with(standings)
    standings.met(ANN, HERE, now=0.0)
    leased = granted(session.joined(1, ANN, everything, now=0.0), 1)
    for step in range(1, 13):  # 10 MiB/s, of which a lease of 250 ms is 2.5 MiB.
        done = leased.first(1)
        leased = (leased - done) | granted(session.verified(1, done, limits.MIB, now=step / 10), 1)
    assert 2 <= len(leased) <= 3
