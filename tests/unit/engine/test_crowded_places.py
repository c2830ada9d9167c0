"""Which link gives its place to one that waits, and after how long."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import cast

import pytest

from p2phub.engine.job import Job
from p2phub.engine.places import HOPED_S, TRY_S, USELESS_S, make_place
from p2phub.engine.providers import Provider
from p2phub.engine.sparing import Sparing
from p2phub.identity import Address
from p2phub.transfer import Standings
from tests.support.covers import covers
from tests.support.hosts import key_of

ANN, BOB = key_of("ann").peer_id, key_of("bob").peer_id
NOBODY = frozenset[object]()


class FullJob:
    """All places are taken by two links to Ann, and Bob waits. Ann has nothing for us, or she `hardly_moves`, or is
    `busy`, or does well (`good`); Bob may have so much of what is `hoped` for."""

    def __init__(
        self,
        *,
        hoped: int = 0,
        hardly_moves: bool = False,
        busy: bool = False,
        good: bool = False,
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
            says_busy=lambda link: busy,
            slowest=lambda now: 1 if good else None,
            hardly_moves=lambda link, now: hardly_moves,
            hoped_from=lambda peer: hoped if peer == BOB else 0,
        )
        self.standings = Standings()
        self.means = SimpleNamespace(down=SimpleNamespace(links_max=lambda manifest: 16))
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
    assert not FullJob(good=True).dropped_within(TRY_S - 0.1)
    assert FullJob(good=True).dropped_within(TRY_S) == 1
    assert not FullJob(good=True, tried_at=5.0).dropped_within(60)
    assert not FullJob(good=True, crowd=frozenset((ANN, BOB))).dropped_within(60)


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
