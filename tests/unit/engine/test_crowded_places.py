"""Which link gives its place to one that waits, and after how long."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import cast

import pytest

from p2phub import limits
from p2phub.engine.giving_place import HOPED_S, TRY_NEW_IN_CROWD_S, TRY_NEW_S, USELESS_S, kept, knock_s, make_place
from p2phub.engine.job import Job
from p2phub.engine.providers import RETRY_S, Provider
from p2phub.engine.sparing import Sparing
from p2phub.errors import PeerRefused
from p2phub.identity import Address, PeerId
from p2phub.transfer import Standings
from tests.support.covers import covers
from tests.support.hosts import key_of

ANN, BOB = key_of("ann").peer_id, key_of("bob").peer_id
OWN = key_of("own").peer_id
NOBODY = frozenset[object]()


class FullJob:
    """All places are taken by two links to Ann, and Bob waits. Ann has nothing for us, or she `hardly_moves`, or is
    `busy`, or does well (`good`); Bob may have so much of what is `hoped` for. `several`: whether both links are to
    Ann alone, as the session counts them."""

    def __init__(
        self,
        *,
        hoped: int = 0,
        hardly_moves: bool = False,
        busy: bool = False,
        good: bool = False,
        several: bool = False,
        crowd: frozenset[object] = NOBODY,
        tried_at: float = -math.inf,
        failures: int = 0,
    ) -> None:
        self.dropped: list[SimpleNamespace] = []
        self.now = 10.0
        self.crowd = crowd
        self.tried_at = self.now
        self.ann = Provider(ANN, "direct", [Address("192.0.2.1", 1)], links={0, 1})
        bob = Provider(BOB, "direct", [Address("192.0.2.2", 1)], linked_at=tried_at, failures=failures)
        self.links = {number: _link(self.ann) for number in (0, 1)}
        self.providers = _Book(self.ann, bob)
        self.session = SimpleNamespace(
            links_max=2,
            holds_missing=lambda peer: hardly_moves or busy or good,
            holds_all=lambda peer: False,  # But as a test has it.
            says_busy=lambda link: busy,
            slowest=lambda now, of_several: 1 if good and (several or not of_several) else None,
            hardly_moves=lambda link, now: hardly_moves,
            hoped_from=lambda peer: hoped if peer == BOB else 0,
        )
        self.standings = Standings()
        self.means = SimpleNamespace(down=SimpleNamespace(links_max=lambda manifest: 16), own=OWN)
        self.wish = SimpleNamespace(manifest=b"")
        self.sparing = Sparing(began=self.now)

    def drop(self, state: SimpleNamespace, error: object) -> None:
        self.dropped.append(state)

    def dropped_within(self, seconds: float) -> int:
        """Look at the places as often as a fetch does; return how many links were let go of by then."""
        began = self.now
        for tenth in range(round(seconds * 10) + 1):
            self.now = began + tenth / 10
            make_place(cast(Job, self), self.now)
        return len(self.dropped)


def _link(provider: Provider) -> SimpleNamespace:
    return SimpleNamespace(
        link=SimpleNamespace(peer=provider.peer),
        provider=provider,
        held=object(),
        busy=False,
        useless_since=math.inf,
        leaving=False,
    )


class _Book(list[Provider]):
    links, dialling = 2, 0

    def __init__(self, *providers: Provider) -> None:
        super().__init__(providers)


@pytest.mark.parametrize(("hoped", "after_s"), [(0, USELESS_S), (3, HOPED_S)])
def test_a_link_of_no_use_gives_way_sooner_to_one_that_may_have_what_is_seen_at_nobody(
    hoped: int, after_s: float
) -> None:
    job = FullJob(hoped=hoped, crowd=frozenset((ANN, BOB)))
    assert not job.dropped_within(after_s - 0.1)
    assert job.dropped_within(0.1) == 1
    assert job.ann.retry_at > job.now


@covers("T35", "T39")
def test_one_that_hardly_moves_gives_its_place_to_one_that_was_never_tried() -> None:
    assert FullJob(hardly_moves=True).dropped_within(USELESS_S)
    assert not FullJob(hardly_moves=True, tried_at=5.0).dropped_within(60)
    assert not FullJob(hardly_moves=True, failures=1).dropped_within(60)  # Nobody answered there.


@covers("T35", "T39")
@pytest.mark.parametrize("crowd", [NOBODY, frozenset((ANN, BOB))])
def test_one_that_is_busy_whatever_it_is_asked_for_gives_its_place_to_whoever_waits(crowd: frozenset[object]) -> None:
    assert FullJob(busy=True, crowd=crowd).dropped_within(USELESS_S)
    assert FullJob(busy=True, crowd=crowd, failures=1).dropped_within(USELESS_S)


@covers("T35")
def test_the_slowest_gives_its_place_now_and_then_to_one_that_was_never_tried_though_all_are_alike() -> None:
    assert not FullJob(good=True).dropped_within(TRY_NEW_S - 0.1)
    assert FullJob(good=True).dropped_within(TRY_NEW_S) == 1
    assert not FullJob(good=True, tried_at=5.0).dropped_within(60)


@covers("T35", "T39")
def test_in_a_crowd_the_slowest_gives_its_place_too_and_more_seldom() -> None:
    """Whoever names one more that fetches makes a crowd, in which none of its own would go otherwise."""
    crowd = frozenset((ANN, BOB))
    assert not FullJob(good=True, crowd=crowd).dropped_within(TRY_NEW_IN_CROWD_S - 0.1)
    assert FullJob(good=True, crowd=crowd).dropped_within(TRY_NEW_IN_CROWD_S) == 1
    assert not FullJob(good=True, crowd=crowd, tried_at=5.0).dropped_within(60)


@covers("T35")
def test_one_that_has_several_gives_one_of_its_places_now_and_then_to_whoever_waits() -> None:
    for there_before in ({"tried_at": 5.0}, {"failures": 1}):
        assert not FullJob(good=True, several=True, **there_before).dropped_within(TRY_NEW_S - 0.1)
        assert FullJob(good=True, several=True, **there_before).dropped_within(TRY_NEW_S) == 1


def test_in_a_crowd_where_all_are_slow_nobody_is_let_go_of_for_that() -> None:
    assert not FullJob(hardly_moves=True, crowd=frozenset((ANN, BOB))).dropped_within(60)


def test_one_that_had_its_turn_just_now_is_no_reason_to_hurry() -> None:
    crowd = frozenset((ANN, BOB))
    assert not FullJob(hoped=3, crowd=crowd, tried_at=9.0).dropped_within(HOPED_S)


def test_only_the_time_counts_in_which_somebody_waits() -> None:
    job = FullJob()
    assert not job.dropped_within(USELESS_S / 2)
    bob = job.providers.pop()
    assert not job.dropped_within(60)
    job.providers.append(bob)
    assert not job.dropped_within(USELESS_S / 2)


def test_no_more_are_let_go_of_than_wait() -> None:
    assert FullJob(hardly_moves=True).dropped_within(60) == 1


# --- one that has all and no place for us -----------------------------------------------------------------------------


def turned_away(crowd: frozenset[object] = frozenset((ANN, BOB)), reason: str = "busy") -> FullJob:
    """Bob, whom we found ourselves, had no place for us."""
    job = FullJob(crowd=crowd)
    job.providers[1].last_error = PeerRefused("it is full", reason=reason)
    return job


def test_in_a_crowd_a_place_is_kept_for_one_that_had_none_for_us() -> None:
    assert kept(cast(Job, turned_away())) == 1
    assert kept(cast(Job, turned_away(NOBODY))) == 0
    assert kept(cast(Job, turned_away(reason="not-held"))) == 0


def test_no_place_is_kept_while_another_gives_us_all_there_is() -> None:
    job = turned_away()
    job.session.holds_all = lambda peer: peer == ANN
    assert kept(cast(Job, job)) == 0


def test_no_place_is_kept_where_a_cap_leaves_one_alone() -> None:
    job = turned_away()
    job.session.links_max = 1
    assert kept(cast(Job, job)) == 0


@covers("T39")
def test_no_place_is_kept_for_one_that_we_know_by_the_word_of_others_alone() -> None:
    job = turned_away()
    bob = job.providers[1]
    bob.told_by_others, bob.hearsay = True, set(bob.addresses)
    assert kept(cast(Job, job)) == 0


def test_a_kept_place_is_made_free_by_one_of_no_use() -> None:
    job = turned_away()
    job.session.links_max = 3  # Two are taken, and the third is kept.
    assert job.dropped_within(USELESS_S) == 1


@covers("T37")
def test_a_crowd_knocks_as_often_as_there_are_places_whatever_its_number() -> None:
    def knocks_a_second(count: int, hoped: int = 1) -> float:
        job = FullJob(crowd=frozenset(PeerId(number.to_bytes(32, "big")) for number in range(count)))
        job.session.hoped_from = lambda peer: hoped if peer == OWN else 0
        return count / knock_s(cast(Job, job))

    assert knocks_a_second(8) == 8 / RETRY_S[0]
    assert knocks_a_second(100) == pytest.approx(limits.DATA_CONNECTIONS_MAX)
    assert knocks_a_second(1000) == pytest.approx(limits.DATA_CONNECTIONS_MAX)
    assert knocks_a_second(8, hoped=0) == 0  # Its share came: it knocks as anybody does elsewhere.
