"""Many that fetch the same thing at once share out what only the provider has."""

from __future__ import annotations

import math
from hashlib import sha256
from random import Random

import pytest

from p2phub import limits
from p2phub.content import RangeSet
from p2phub.errors import PeerGone
from p2phub.identity import PeerId
from p2phub.transfer import Drop, Grant, Revoke, Session
from p2phub.transfer.crowd import WAIT_S
from p2phub.transfer.shares import OTHERS_MAX, PARTS_MAX, RANKS, Shares, beginnings
from tests.support.covers import covers
from tests.support.crowd import Crowd
from tests.support.swarm import Provider, Swarm, megabytes, peer

MB = 10**6


def ids(count: int) -> list[PeerId]:
    return [PeerId(sha256(b"%d" % number).digest()) for number in range(count)]


# --- shares ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("total", [0, 1, 7, PARTS_MAX, 5000])
def test_the_first_shares_of_all_cover_everything_once(total: int) -> None:
    peers = ids(9)
    first = [Shares(total, own, peers).ranks[0] for own in peers]
    assert sum(map(len, first)) == total
    assert RangeSet.of(run for each in first for run in each.runs) == RangeSet.whole(total)


def test_the_ranks_of_one_peer_cover_everything_once() -> None:
    ranks = Shares(1000, ids(9)[4], ids(9)).ranks
    assert len(ranks) == RANKS
    assert sum(map(len, ranks)) == 1000
    assert RangeSet.of(run for each in ranks for run in each.runs) == RangeSet.whole(1000)


@pytest.mark.parametrize(("total", "peers"), [(4096, 8), (128, 32), (100, 7), (3, 8)])
def test_nobody_asks_first_for_more_than_its_part(total: int, peers: int) -> None:
    """A requester serves what it asks first to all others: who had twice as much would hold up everybody."""
    parts = min(total, PARTS_MAX)
    sizes = [len(Shares(total, own, ids(peers)).ranks[0]) for own in ids(peers)]
    assert max(sizes) <= -(-parts // peers) * total // parts


def test_who_comes_or_goes_changes_little_but_its_own_share() -> None:
    peers = ids(8)
    before, after = Shares(4096, peers[0], peers[:7]).ranks[0], Shares(4096, peers[0], peers).ranks[0]
    assert len(after - before) < 0.2 * len(after)


def test_all_agree_on_what_each_asks_for_first() -> None:
    peers = ids(9)
    seen_by_one = Shares(1000, peers[0], peers)
    assert [seen_by_one.first[each] for each in peers] == [Shares(1000, each, peers).ranks[0] for each in peers]
    assert ids(10)[9] not in seen_by_one.first


def test_two_hundred_agree_too() -> None:
    """Who looked at some of them only would believe that what is theirs is its own."""
    peers = ids(200)
    seen = [Shares(PARTS_MAX, each, peers) for each in peers[:2]]
    assert seen[0].first == seen[1].first
    assert sum(map(len, seen[0].first.values())) == PARTS_MAX


@pytest.mark.parametrize("total", [0, 1, 7, PARTS_MAX, 5000])
def test_each_has_an_order_of_all_parts_to_begin_at(total: int) -> None:
    own, other = ids(2)
    parts = min(total, PARTS_MAX)
    assert sorted(beginnings(total, own)) == [part * total // parts for part in range(parts)]
    if total > 7:
        assert beginnings(total, own) != beginnings(total, other)


def test_who_knows_nobody_yet_begins_with_what_is_likely_its_own() -> None:
    peers = ids(32)
    its_own = [beginnings(128, each)[0] in Shares(128, each, peers).ranks[0] for each in peers]
    assert sum(its_own) >= 16  # By chance it would be one of them.


def test_no_number_of_others_makes_shares_slow() -> None:
    in_order = sorted(ids(500), key=lambda each: each.public_key)
    assert Shares(100, ids(1)[0], ids(500)).ranks == Shares(100, ids(1)[0], in_order).ranks
    assert OTHERS_MAX <= limits.PROVIDERS_PER_FETCH_MAX


# --- crowds in simulated time ----------------------------------------------------------------------------------------


def test_eight_requesters_take_little_more_than_one_copy_of_the_provider() -> None:
    crowd = Crowd(megabytes(256), 8, up=25 * MB, peer_up=250 * MB)
    crowd.run()
    assert crowd.copies <= 1.1
    assert crowd.seconds <= 1.25 * crowd.table.bytes_total / crowd.up


def test_more_of_them_than_each_has_links_take_little_more_than_one_copy_too() -> None:
    crowd = Crowd(megabytes(128), 12, up=16 * MB, peer_up=16 * MB, have_s=0.2)
    crowd.run()
    assert crowd.copies <= 1.05
    assert crowd.seconds <= 1.4 * crowd.table.bytes_total / crowd.up


def test_half_as_many_requesters_as_chunks_do_not_take_two_copies() -> None:
    """Each asks for one before it knows the others: mostly for one that is its own to ask for first."""
    crowd = Crowd(megabytes(64), 32, up=25 * MB, peer_up=25 * MB)
    crowd.run()
    assert crowd.copies <= 1.6


def test_without_shares_they_would_all_ask_for_the_same() -> None:
    crowd = Crowd(megabytes(32), 4, up=25 * MB, peer_up=250 * MB, spread=False)
    crowd.run()
    assert crowd.copies > 3.5


@covers("T38")
def test_those_who_give_nothing_cost_the_others_a_moment_and_not_the_fetch() -> None:
    crowd = Crowd(megabytes(64), 4, up=25 * MB, peer_up=0.0)
    crowd.run()
    assert crowd.seconds < 4 * crowd.table.bytes_total / crowd.up + 4  # It sends four copies.


@covers("T35", "T39")
@pytest.mark.parametrize("fault", ["stalls", "not-held"])
def test_one_who_claims_to_hold_nearly_all_and_gives_nothing_costs_some_seconds(fault: str) -> None:
    table = megabytes(600)
    everything = RangeSet.whole(600)
    alone = Swarm(table, [Provider(1, everything, 50e6)])
    alone.run()
    liar = Provider(2, RangeSet.of([(0, 599)]), 50e6, fault)
    both = Swarm(table, [Provider(1, everything, 50e6), liar])
    both.session.spread(peer(9), [liar.id])
    both.run()
    assert both.session.complete
    assert both.now < alone.now + limits.STALL_S + 4


@covers("T39")
@pytest.mark.parametrize("trick", ["what is had already", "busy"])
def test_one_who_claims_a_chunk_now_and_then_and_gives_nothing_costs_a_moment(trick: str) -> None:
    table, everything = megabytes(600), RangeSet.whole(600)
    liar = Provider(2, RangeSet(), 50e6, fault="busy" if trick == "busy" else "stalls", busy_times=10**6)
    swarm = Swarm(table, [Provider(1, everything, 50e6), liar])
    swarm.session.spread(peer(9), [liar.id])
    second = [swarm.join(each) for each in swarm.providers.values()][1]
    while not swarm.session.complete and swarm.now < 300:
        swarm.step()
        claims = swarm.have if trick == "what is had already" else everything.first(599)
        if second in swarm.links and round(swarm.now / 0.05) % 8 == 0 and (new := claims - liar.held):
            liar.held = liar.held | new.first(1)
            swarm.carry_out(swarm.session.held(second, liar.held, now=swarm.now))
    assert swarm.session.complete
    assert swarm.now < table.bytes_total / 50e6 + 5


@pytest.mark.parametrize("chunks_per_s", [1.0, 2.5, 5.0])
def test_one_who_is_slow_to_bring_its_share_is_not_waited_for(chunks_per_s: float) -> None:
    """Nobody lies: this node has a fast line, and the other one has not."""
    table = megabytes(600)
    fellow = Provider(2, RangeSet(), chunks_per_s * limits.MIB)
    swarm = Swarm(table, [Provider(1, RangeSet.whole(600), 50e6), fellow])
    swarm.session.spread(peer(9), [fellow.id])
    second = [swarm.join(each) for each in swarm.providers.values()][1]
    its_share = Shares(600, fellow.id, [peer(9)]).ranks[0]
    while not swarm.session.complete and swarm.now < 600:
        swarm.step()
        due = its_share.first(int(swarm.now * chunks_per_s))
        if second in swarm.links and due != fellow.held:
            fellow.held = due
            swarm.carry_out(swarm.session.held(second, due, now=swarm.now))
    assert swarm.session.complete
    assert swarm.now < 1.2 * table.bytes_total / 50e6


def test_what_comes_in_a_moment_is_not_left_to_others_whom_nobody_dials() -> None:
    session, steps = in_a_crowd(8)
    now, asked = 0.0, granted(list(session.joined(0, peer(1), RangeSet.whole(8), now=0.0)))
    while not session.complete and now < 10:
        now += 0.05
        left = asked - session.have
        actions = session.verified(0, left.first(1), limits.MIB, now=now) if left else session.tick(now=now)
        asked = asked | granted(list(actions))
    assert now < 8 * 0.05 + WAIT_S
    assert len(steps[0]) < 8


def test_a_crowd_in_which_somebody_comes_and_goes_all_the_time_does_not_keep_the_others_waiting() -> None:
    table, rate = megabytes(100), 20e6
    swarm = Swarm(table, [Provider(1, RangeSet.whole(100), rate)])
    fellows = [peer(number) for number in range(20, 30)]
    swarm.session.spread(peer(9), fellows)
    swarm.join(swarm.providers[peer(1)])
    while not swarm.session.complete and swarm.now < 60:
        swarm.step()
        if round(swarm.now / 0.05) % 8 == 0:
            fellows = fellows[:-1] if len(fellows) == 10 else [*fellows, peer(29)]
            swarm.carry_out(swarm.session.spread(peer(9), fellows))
    assert swarm.session.complete
    assert swarm.now < 2 * table.bytes_total / rate + 5


# --- one session -----------------------------------------------------------------------------------------------------


def in_a_crowd(table_chunks: int, *, others: int = 3) -> tuple[Session, list[RangeSet]]:
    """A session with one link (0) to a provider that has all, among others; and its steps."""
    session = Session(megabytes(table_chunks), RangeSet(), now=0.0)
    own, *rest = ids(others + 1)
    session.spread(own, rest)
    return session, [*Shares(table_chunks, own, rest).ranks]


def granted(actions: list[Grant | Revoke] | list[object]) -> RangeSet:
    return RangeSet.of(run for action in actions if isinstance(action, Grant) for run in action.chunks.runs)


def test_a_provider_that_has_all_is_first_asked_for_the_own_share_alone() -> None:
    session, steps = in_a_crowd(40)
    now, asked = 0.0, granted(list(session.joined(0, peer(1), RangeSet.whole(40), now=0.0)))
    while (left := asked - session.have) and now < 100:
        now += 0.05
        asked = asked | granted(list(session.verified(0, left.first(1), limits.MIB, now=now)))
    assert asked == steps[0]


def test_what_is_anothers_share_is_asked_for_after_a_moment_step_by_step() -> None:
    session, steps = in_a_crowd(40)
    now, asked = 0.0, granted(list(session.joined(0, peer(1), RangeSet.whole(40), now=0.0)))
    order: list[int] = []
    while not session.complete and now < 200:
        now += 1.5
        left = asked - session.have
        actions = session.verified(0, left.first(1), limits.MIB, now=now) if left else session.tick(now=now)
        more = granted(list(actions))
        order += [next(step for step, share in enumerate(steps) if chunk in share) for chunk in more]
        asked = asked | more
    assert session.complete
    assert order == sorted(order)
    assert now >= WAIT_S * (RANKS - 1)


def test_what_a_fellow_holds_is_left_to_the_fellow_until_all_steps_are_waited_for() -> None:
    session, steps = in_a_crowd(40)
    session.joined(1, peer(2), steps[0], now=0.0)  # A fellow that has our share, and is slow to give it.
    assert not granted(list(session.joined(0, peer(1), RangeSet.whole(40), now=0.0))) & steps[0]


def asked_at(session: Session, news: dict[float, RangeSet], *, until: float = 20.0) -> float:
    """Let time pass; return when something is granted to link 0. `news`: what a fellow at link 1 says it holds when."""
    now = 0.0
    while now < until:
        now = round(now + 0.1, 3)
        actions = [*session.held(1, news[now], now=now)] if now in news else []
        actions += session.tick(now=now)
        if any(isinstance(each, Grant) and each.link == 0 for each in actions):
            return now
    return math.inf


def with_own_share_done() -> tuple[Session, RangeSet]:
    """A session that has its share, with links to one that has all (0) and to a fellow that has nothing yet (1); and
    what it misses."""
    own, *rest = ids(4)
    share = Shares(40, own, rest).ranks[0]
    session = Session(megabytes(40), share, now=0.0)
    session.spread(own, rest)
    session.joined(1, rest[0], RangeSet(), now=0.0)
    assert not granted(list(session.joined(0, peer(1), RangeSet.whole(40), now=0.0)))
    return session, session.missing


def test_what_is_anothers_is_left_to_it_for_as_long_as_the_others_come_forward() -> None:
    session, missing = with_own_share_done()
    alone = asked_at(session, {})
    assert alone <= WAIT_S + 0.1
    session, missing = with_own_share_done()
    news = {round(0.4 * count, 3): missing.first(count) for count in range(1, 11)}
    # What the fellow has is asked of the fellow; what nobody has yet stays with those whose share it is.
    assert asked_at(session, news) >= 4.0 + WAIT_S


def test_a_fellow_that_has_all_by_now_is_asked_for_anything_at_once() -> None:
    session, _ = with_own_share_done()
    actions = session.held(1, RangeSet.whole(40), now=0.1)
    assert granted([each for each in actions if isinstance(each, Grant) and each.link == 1])


def test_what_was_granted_before_the_others_were_known_is_taken_back() -> None:
    own, *rest = ids(4)
    session = Session(megabytes(400), RangeSet(), now=0.0)
    session.spread(own, ())
    first = granted(list(session.joined(0, peer(1), RangeSet.whole(400), now=0.0)))
    assert session.spread(own, rest) == [Revoke(0)]
    again = granted(list(session.returned(0, first, now=0.1)))
    assert again
    assert not again - Shares(400, own, rest).ranks[0]
    assert not session.spread(own, rest)  # What is left is its own share: nothing to take back.


def test_what_a_fellow_has_got_by_now_is_taken_back_from_the_one_that_many_ask() -> None:
    own, *rest = ids(4)
    session = Session(megabytes(40), RangeSet(), now=0.0)
    session.spread(own, rest)
    session.joined(1, rest[0], RangeSet(), now=0.0)
    leased = granted(list(session.joined(0, peer(1), RangeSet.whole(40), now=0.0)))
    elsewhere = (RangeSet.whole(40) - leased).first(1)
    assert Revoke(0) not in session.held(1, elsewhere, now=0.1)
    assert Revoke(0) in session.held(1, elsewhere | leased, now=0.2)
    again = session.returned(0, leased - leased.first(1), now=0.3)
    assert granted([each for each in again if isinstance(each, Grant) and each.link == 1]) & leased


def test_where_as_many_have_all_as_ask_nobody_waits() -> None:
    own, *rest = ids(4)
    session = Session(megabytes(40), Shares(40, own, rest).ranks[0], now=0.0)
    session.spread(own, rest)
    for link in range(len(rest)):
        assert not granted(list(session.joined(link, peer(10 + link), RangeSet.whole(40), now=0.0)))
    assert granted(list(session.joined(len(rest), peer(20), RangeSet.whole(40), now=0.0)))


def test_nobody_waits_less_than_the_first_chunk_takes() -> None:
    session, steps = in_a_crowd(40, others=39)
    asked = granted(list(session.joined(0, peer(1), RangeSet.whole(40), now=0.0)))
    for now in range(1, 8):
        asked = asked | granted(list(session.tick(now=float(now))))
    assert not asked - steps[0]
    for now in range(8, 60):
        left = asked - session.have
        actions = session.verified(0, left, limits.MIB * len(left), now=now) if left else session.tick(now=now)
        asked = asked | granted(list(actions))
    assert session.complete


def test_who_takes_back_what_it_said_and_says_it_again_does_not_keep_the_others_waiting() -> None:
    session, missing = with_own_share_done()
    claims = {round(0.2 * count, 3): missing.first(1) if count % 2 else RangeSet() for count in range(1, 60)}
    assert asked_at(session, claims) <= 0.2 + WAIT_S + 0.2


def test_when_the_others_are_gone_the_rest_is_asked_for_at_once() -> None:
    session, missing = with_own_share_done()
    assert not granted(list(session.tick(now=0.0)))
    session.spread(ids(1)[0], ())
    assert granted(list(session.tick(now=0.0))) & missing


def test_hope_is_for_those_whose_share_nobody_has_come_forward_with() -> None:
    own, *rest = ids(4)
    session = Session(megabytes(40), RangeSet(), now=0.0)
    assert not session.hoped_from(rest[0])  # Nobody is known.
    session.spread(own, rest)
    theirs = Shares(40, rest[0], [own, *rest[1:]]).ranks[0]
    assert session.hoped_from(rest[0]) == len(theirs)
    session.joined(1, rest[1], theirs.first(2), now=0.0)
    assert session.hoped_from(rest[0]) == len(theirs) - 2
    assert session.hoped_from(rest[1])  # Joined or not.
    assert not session.hoped_from(peer(9))


def test_nobody_without_a_link_is_worth_more_than_a_stranger() -> None:
    """Whoever dials in a crowd asks for a stranger first, and looks at all others only if it is worth a link."""
    worth = [each for seed in range(20) for each in worth_of_strangers(Random(seed))]
    assert {0, 1} <= set(worth)


def worth_of_strangers(chance: Random) -> list[int]:
    """Return how many links to a stranger are wanted while others come and go, which are worth no more without one."""
    own, *rest = ids(80)
    session = Session(megabytes(40), RangeSet(), now=0.0)
    session.spread(own, rest)
    worth: list[int] = []
    links: dict[int, PeerId] = {}
    for number in range(60):
        now = number / 4
        if links and chance.random() < 0.3:
            gone = chance.choice(list(links))
            session.closed(gone, PeerGone("gone") if chance.random() < 0.5 else None, RangeSet(), now=now)
            del links[gone]
        else:
            links[number] = chance.choice([each for each in rest if each not in links.values()])
            held = RangeSet.of([(0, chance.choice([0, 7, 40]))])
            actions = session.joined(number, links[number], held, now=now)
            for grant in (each for each in actions if isinstance(each, Grant)):
                session.verified(number, grant.chunks, 1_000_000 * len(grant.chunks), now=now + 0.1)
                session.closed(number, None, RangeSet(), now=now + 0.1)
                links.pop(number, None)
        worth.append(session.links_wanted(own))
        assert all(session.links_wanted(each) <= worth[-1] for each in rest if each not in links.values())
    return worth


def test_one_that_has_all_and_is_asked_by_many_is_not_given_up_as_too_slow() -> None:
    own, *rest = ids(4)
    last = Shares(40, own, rest).ranks[0].first(1)
    session = Session(megabytes(40), RangeSet.whole(40) - last, now=0.0)
    session.spread(own, rest)
    session.joined(1, rest[0], RangeSet(), now=0.0)
    session.verified(1, RangeSet(), limits.MIB, now=0.1)  # The fellow is fast,
    assert granted(list(session.joined(0, peer(1), RangeSet.whole(40), now=0.1))) == last
    now, actions = 0.2, session.held(1, RangeSet.whole(40), now=0.2)  # and has the last chunk, too, by now.
    while now < limits.STALL_S:
        actions = [*actions, *session.tick(now=now)]
        assert not [each for each in actions if isinstance(each, Drop)]
        asked = [each.link for each in actions if isinstance(each, Revoke)]
        actions = [each for link in asked for each in session.returned(link, RangeSet(), now=now)]
        now += 0.3


def test_a_link_whose_rest_helps_nobody_is_not_revoked_over_and_over() -> None:
    """What comes back is given to it again; to ask once more at once would go on for ever."""
    table = megabytes(8)
    session = Session(table, RangeSet(), now=0.0)
    session.joined(0, peer(1), RangeSet.whole(8), now=0.0)
    # Another that holds only what is under way: chunk 0, of which nothing can come back.
    actions = [*session.joined(1, peer(2), RangeSet.of([(0, 1)]), now=1.0), *session.tick(now=2.0)]
    revokes = [each for each in actions if isinstance(each, Revoke)]
    count = 0
    while revokes and count < 10:
        count += 1
        actions = session.returned(0, RangeSet.of([(1, 4)]), now=2.0)
        revokes = [each for each in actions if isinstance(each, Revoke)]
    assert count == 1
