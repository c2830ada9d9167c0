"""The end of a fetch: what is asked of two, who wins, and when it is final (proto/transfer.md §5)."""

from __future__ import annotations

import pytest

from p2phub import limits
from p2phub.content import RangeSet
from p2phub.errors import PeerGone, PeerStalled
from p2phub.transfer import Action, Grant, Revoke, Session
from p2phub.transfer.endgame import CROWD_PATIENCE_S, TWICE_BYTES_MAX
from p2phub.transfer.pace import LATE_S
from tests.support.covers import covers
from tests.support.swarm import Provider, Swarm, cancelled, dropped, granted, megabytes, peer, runs, session_of

MIB = limits.MIB
ANN, BOB, CY = peer(1), peer(2), peer(3)
SLOW, FAST, OTHER = 1, 2, 3  # Links.


def after(session: Session, seconds: float, *, begin: float) -> tuple[list[Action], float]:
    """Let the session look at the clock as often as it asks for; return what it did, and the time then."""
    now, actions = begin, []
    while now < begin + seconds:
        due = session.deadline()
        now = min(begin + seconds, due if due is not None else begin + seconds)
        for action in (done := session.tick(now=now)):
            if isinstance(action, Revoke):  # All is under way.
                done += session.returned(action.link, RangeSet(), now=now)
        actions += done
    return actions, now


def late_session(*, chunks: int = 2, asked: int = 1, crowd: bool = False) -> tuple[Session, list[Action], float]:
    """Ann was asked for the first chunk, or more, and does not answer; Bob has given all others, at 10 MiB/s, and is
    idle. Or both are of a `crowd`, and Bob has all but the last chunk of what there is, which nobody has yet."""
    session, everything = session_of(chunks)
    if crowd:
        session, everything = session_of(chunks + 1)[0], everything
        session.spread(CY, [ANN, BOB])
    session.joined(SLOW, ANN, runs((0, asked)), now=0.0)
    fast = granted(session.joined(FAST, BOB, everything, now=0.0), FAST)
    now = 0.0
    actions: list[Action] = []
    while fast:
        now += len(fast) / 10
        actions = session.verified(FAST, fast, len(fast) * MIB, now=now)
        fast = granted(actions, FAST)
    if Revoke(SLOW) in actions:
        actions = session.returned(SLOW, RangeSet(), now=now)
    return session, actions, now


@covers("T35", "F11")
def test_what_a_silent_link_was_asked_for_is_asked_of_an_idle_one_within_a_second() -> None:
    session, _, began = late_session()
    actions, now = after(session, 1.0, begin=began)
    assert granted(actions, FAST) == runs((0, 1))
    assert not dropped(actions)
    assert not session.verified(FAST, RangeSet(), 0, now=now)  # It has it, so it is not granted again.


def test_in_a_crowd_it_has_to_be_late_by_more() -> None:
    session, _, began = late_session(crowd=True)
    actions, now = after(session, CROWD_PATIENCE_S, begin=began)
    assert not granted(actions, FAST)
    actions, _ = after(session, 1.0, begin=now)
    assert granted(actions, FAST) == runs((0, 1))


def test_a_link_that_is_on_time_is_left_alone() -> None:
    session, actions, began = late_session()
    more, _ = after(session, LATE_S / 2 - began, begin=began)
    assert not granted(actions + more, FAST)


def test_one_that_would_take_much_longer_than_an_idle_one_is_helped_out_before_it_is_late() -> None:
    session, _, now = late_session(chunks=6, asked=2)
    actions = session.verified(SLOW, runs((0, 1)), MIB, now=now + 1.0)  # 0.7 MiB/s
    if Revoke(SLOW) in actions:
        actions = session.returned(SLOW, RangeSet(), now=now + 1.0)
    assert granted(actions, FAST) == runs((1, 2))


@covers("T35", "F11")
def test_the_first_verified_copy_wins_and_the_other_link_is_cancelled() -> None:
    session, _, began = late_session()
    _, now = after(session, 1.0, begin=began)
    actions = session.verified(FAST, runs((0, 1)), MIB, now=now + 0.1)
    assert cancelled(actions, SLOW) == runs((0, 1))
    assert session.missing == RangeSet()
    assert session.bytes_verified == 2 * MIB


def test_the_one_that_was_late_may_win_all_the_same() -> None:
    session, _, began = late_session()
    _, now = after(session, 1.0, begin=began)
    actions = session.verified(SLOW, runs((0, 1)), MIB, now=now + 0.1)
    assert cancelled(actions, FAST) == runs((0, 1))
    session.cancelled(FAST, runs((0, 1)), RangeSet(), now=now + 0.1)
    assert session.complete
    assert session.take_written() == runs((0, 2))


def test_a_chunk_that_two_were_asked_for_is_final_when_the_other_has_said_that_it_will_not_write_it() -> None:
    session, _, began = late_session()
    _, now = after(session, 1.0, begin=began)
    assert session.take_written() == runs((1, 2))
    session.verified(FAST, runs((0, 1)), MIB, now=now)
    assert session.take_written() == RangeSet()
    assert not session.complete
    session.cancelled(SLOW, runs((0, 1)), RangeSet(), now=now)
    assert session.take_written() == runs((0, 1))
    assert session.complete


@pytest.mark.parametrize("how", ["it wrote them before", "it closes"])
def test_it_is_final_too_when_the_other_wrote_the_same_before_or_is_gone(how: str) -> None:
    session, _, began = late_session()
    _, now = after(session, 1.0, begin=began)
    session.verified(FAST, runs((0, 1)), MIB, now=now)
    session.take_written()
    if how == "it closes":
        session.closed(SLOW, PeerGone("gone"), RangeSet(), now=now)
    else:
        session.verified(SLOW, runs((0, 1)), MIB, now=now)
        assert session.bytes_duplicate == MIB
    assert session.complete
    assert session.take_written() == runs((0, 1))
    assert session.bytes_verified == 2 * MIB


@pytest.mark.parametrize("how", ["returned", "refused"])
def test_what_was_given_back_while_another_had_it_is_final_and_will_not_come(how: str) -> None:
    session, _, began = late_session()
    _, now = after(session, 1.0, begin=began)
    session.verified(FAST, runs((0, 1)), MIB, now=now)  # Cancel is on its way, and meets what was said before it came.
    if how == "returned":
        session.returned(SLOW, runs((0, 1)), now=now)
    else:
        session.refused(SLOW, runs((0, 1)), "busy", now=now)
    session.cancelled(SLOW, RangeSet(), RangeSet(), now=now)
    assert session.complete
    assert session.take_written() == runs((0, 2))
    assert not [each for each in session.links_now(now=now) if each.bytes_leased]


def test_a_link_is_not_waited_for_with_what_it_was_never_asked_for() -> None:
    session, everything = session_of(10)
    session.joined(SLOW, ANN, runs((0, 1)), now=0.0)
    fast = granted(session.joined(FAST, BOB, runs((0, 2)), now=0.0), FAST)
    session.verified(FAST, fast, MIB, now=0.2)
    _, now = after(session, 1.4, begin=0.2)
    session.verified(FAST, runs((0, 1)), MIB, now=now)
    session.held(SLOW, everything, now=now)
    assert granted(session.cancelled(SLOW, runs((0, 1)), runs((0, 1)), now=now), SLOW)


def test_bytes_that_come_in_vain_are_counted_apart() -> None:
    session, _, began = late_session()
    _, now = after(session, 1.0, begin=began)
    session.verified(FAST, runs((0, 1)), MIB, now=now)
    session.cancelled(SLOW, runs((0, 1)), RangeSet(), now=now)
    session.verified(SLOW, RangeSet(), MIB, now=now)
    assert session.bytes_duplicate == MIB
    assert session.bytes_verified == 2 * MIB
    assert session.received == {ANN: MIB, BOB: 2 * MIB}


def test_a_link_gets_nothing_new_before_what_comes_in_vain_has_come() -> None:
    session, everything = session_of(10)
    session.joined(SLOW, ANN, runs((0, 1)), now=0.0)
    fast = granted(session.joined(FAST, BOB, runs((0, 2)), now=0.0), FAST)
    assert Revoke(SLOW) in session.verified(FAST, fast, MIB, now=0.2) + session.tick(now=0.6)
    _, now = after(session, 1.0, begin=0.6)
    session.returned(SLOW, RangeSet(), now=now)
    _, now = after(session, 1.0, begin=now)
    session.verified(FAST, runs((0, 1)), MIB, now=now)
    session.cancelled(SLOW, runs((0, 1)), RangeSet(), now=now)
    assert not granted(session.held(SLOW, everything, now=now), SLOW)
    assert granted(session.verified(SLOW, RangeSet(), MIB, now=now), SLOW) == runs((2, 4))


@covers("T35")
def test_a_link_that_is_silent_with_what_was_cancelled_is_dropped_in_time() -> None:
    session, everything = session_of(400)
    session.joined(SLOW, ANN, runs((0, 1)), now=0.0)
    session.joined(FAST, BOB, runs((0, 1)), now=0.0)
    _, now = after(session, 2.0, begin=0.0)
    session.joined(OTHER, CY, everything, now=now)
    session.closed(FAST, None, RangeSet(), now=now)
    actions, _ = after(session, limits.STALL_S, begin=now)
    assert isinstance(dropped(actions)[SLOW], PeerStalled)


def test_what_one_of_two_gives_back_stays_with_the_other() -> None:
    session, _, began = late_session()
    _, now = after(session, 1.0, begin=began)
    actions = session.closed(FAST, PeerGone("gone"), runs((0, 1)), now=now)
    assert not granted(actions, SLOW)
    assert granted(session.joined(OTHER, CY, runs((0, 2)), now=now), OTHER) == RangeSet()  # Ann has it.
    actions = session.closed(SLOW, PeerGone("gone"), RangeSet(), now=now)
    assert granted(actions, OTHER) == runs((0, 1))


def test_no_chunk_is_asked_of_three() -> None:
    session, everything = session_of(2)
    session.joined(SLOW, ANN, runs((0, 1)), now=0.0)
    fast = granted(session.joined(FAST, BOB, everything, now=0.0), FAST)
    session.verified(FAST, fast, MIB, now=0.1)
    session.joined(OTHER, CY, everything, now=0.1)
    actions, _ = after(session, 4.0, begin=0.1)
    assert sum(isinstance(each, Grant) for each in actions) == 1


def test_nothing_is_asked_again_of_the_same_peer() -> None:
    session, everything = session_of(2)
    session.joined(SLOW, ANN, runs((0, 1)), now=0.0)
    fast = granted(session.joined(FAST, ANN, everything, now=0.0), FAST)
    session.verified(FAST, fast, MIB, now=0.1)
    actions, _ = after(session, 4.0, begin=0.1)
    assert not granted(actions, FAST)


def test_no_more_than_a_bound_is_asked_of_two_at_once() -> None:
    table = megabytes(96)
    everything = RangeSet.whole(96)
    silent = [Provider(number, everything, 20e6, "stalls") for number in range(3, 7)]
    swarm = Swarm(table, [Provider(1, everything, 20e6), Provider(2, everything, 20e6), *silent])
    swarm.run()
    assert 6 * MIB < swarm.twice_bytes_most <= TWICE_BYTES_MAX + MIB


@pytest.mark.parametrize("capped", [True, False])
def test_while_our_own_cap_bounds_all_nobody_who_gives_a_sign_of_life_is_behind(capped: bool) -> None:
    session, everything = session_of(3)
    session.capped = capped
    session.joined(SLOW, ANN, runs((0, 2)), now=0.0)
    fast = granted(session.joined(FAST, BOB, everything, now=0.0), FAST)
    session.verified(SLOW, runs((0, 1)), MIB, now=1.0)
    actions, now = session.verified(FAST, fast, MIB, now=1.0), 1.0
    while now < 60.0 and not granted(actions, FAST):
        now += 2.0
        actions += session.verified(SLOW, RangeSet(), 0, now=now)  # Bytes come, says its link; no chunk is whole yet.
        actions += session.tick(now=now)
        actions += session.returned(SLOW, RangeSet(), now=now)
    assert bool(granted(actions, FAST)) is not capped
    assert not dropped(actions)


@covers("T35")
def test_one_that_has_never_given_anything_does_not_help_before_one_that_has() -> None:
    session, everything = session_of(2)
    session.joined(SLOW, ANN, runs((0, 1)), now=0.0)
    fast = granted(session.joined(FAST, BOB, everything, now=0.0), FAST)
    session.joined(OTHER, CY, runs((0, 1)), now=0.0)
    session.verified(FAST, fast, len(fast) * MIB, now=0.2)
    assert Revoke(SLOW) in session.tick(now=0.4)
    actions = session.returned(SLOW, RangeSet(), now=0.4)
    more, _ = after(session, 1.5, begin=0.4)
    assert granted(actions + more, FAST) == runs((0, 1))
    assert not granted(actions + more, OTHER)


@covers("T35")
def test_what_only_a_silent_one_has_does_not_keep_an_idle_link_from_asking_for_the_rest() -> None:
    """Bob, who is silent, was asked for chunk 1; chunk 0, which only he has, is leased to him, comes back, and goes to
    him again. Ann has chunk 1, too."""
    session, _ = session_of(3)
    lease, in_flight = runs((0, 2)), runs((1, 2))
    session.joined(SLOW, BOB, lease, now=0.0)
    session.joined(FAST, ANN, runs((1, 3)), now=0.0)
    actions, now = list(session.verified(FAST, runs((2, 3)), MIB, now=0.1)), 0.1
    while not granted(actions, FAST) and now < 5:
        for action in actions:
            if isinstance(action, Revoke):
                back, lease = lease - in_flight, in_flight
                actions = list(session.returned(SLOW, back, now=now))
                lease = lease | granted(actions, SLOW)
                break
        else:
            due = session.deadline()
            assert due is not None
            now = max(due, now + 0.001)
            actions = list(session.tick(now=now))
    assert granted(actions, FAST) == in_flight
    assert now < 1
