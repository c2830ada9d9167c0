"""Who is left alone because nearer sources do the work, until when, and who never."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from p2phub.discovery import Nearness
from p2phub.engine.sparing import (
    CREDIT_S,
    DRY_S,
    ENOUGH,
    LACK_S,
    LOOK_AROUND_S,
    MEASURE_S,
    REST_S,
    SHORT_S,
    TRY_FAR_S,
    Facts,
    Seen,
    Sparing,
)
from p2phub.identity import SourceId
from p2phub.limits import CHUNK_BYTES_MAX, STALL_S
from tests.support.covers import covers
from tests.support.hosts import key_of

MB = 1e6
LOOK_S = 0.1
PEERS = {key_of(name).peer_id: name for name in ("near", "other", "far", "farther", "third", "dear")}
ID = {name: peer for peer, name in PEERS.items()}
LAN, FAR, METERED = Nearness.LAN, Nearness.FAR, Nearness.METERED


def seen(
    name: str,
    nearness: Nearness,
    rate: float = 0.0,
    *,
    linked: bool = True,
    coming: bool = False,
    best: float = 0.0,
    owes_since: float | None = None,
    brought: int = 0,
    dear: bool = False,
) -> Seen:
    return Seen(ID[name], nearness, linked, coming, rate, best, owes_since, brought, dear)


class Fetch:
    """A fetch of which everybody holds all, but for those who `lack` something."""

    def __init__(self) -> None:
        self.sparing = Sparing(began=0.0)
        self.now = LOOK_AROUND_S
        self.lack: set[str] = set()
        self.missing = 10**12
        self.silent_s = 0.0
        self.searching = False
        self.known = True
        self.brought: dict[SourceId, float] = {}

    def hold_missing(self, sources: Iterable[SourceId]) -> bool:
        return any(PEERS[source] not in self.lack for source in sources)  # type: ignore[index]

    def look(self, *sources: Seen) -> list[str]:
        facts = Facts(self.hold_missing if self.known else None, self.missing, self.silent_s, self.searching)
        return [PEERS[each.source] for each in self.sparing.look(sources, facts, now=self.now)]  # type: ignore[index]

    def passes(self, seconds: float, *sources: Seen) -> list[str]:
        """Look as often as a fetch does; return who was let go of meanwhile, and is no longer linked then."""
        gone: list[str] = []
        there = list(sources)
        for _ in range(round(seconds / LOOK_S) + 1):
            for each in there:
                self.brought[each.source] = self.brought.get(each.source, 0.0) + each.rate * LOOK_S
            there = [replace(each, brought=int(self.brought[each.source])) for each in there]
            for name in self.look(*there):
                gone.append(name)
                there = [each for each in there if each.source != ID[name]]
            self.now += LOOK_S
        return gone

    @property
    def held_back(self) -> set[str]:
        return {PEERS[source] for source in self.sparing.held_back}  # type: ignore[index]


def resting(near_rate: float = 40 * MB, far_rate: float = 5 * MB) -> Fetch:
    """Return a fetch in which a far one was just let go of."""
    fetch = Fetch()
    assert fetch.passes(MEASURE_S, seen("near", LAN, near_rate), seen("far", FAR, far_rate)) == ["far"]
    assert fetch.held_back == {"far"}
    return fetch


def test_a_far_one_is_let_go_of_when_near_ones_bring_four_times_as_much_for_a_while() -> None:
    fetch = Fetch()
    sources = seen("near", LAN, 10 * MB), seen("other", LAN, 10 * MB), seen("far", FAR, 4.9 * MB)
    assert not fetch.passes(MEASURE_S - 2 * LOOK_S, *sources)
    assert fetch.passes(2 * LOOK_S, *sources) == ["far"]


def test_one_that_brings_more_than_a_fourth_keeps_its_line() -> None:
    assert not Fetch().passes(60, seen("near", LAN, 20 * MB), seen("far", FAR, 5.1 * MB))


def test_all_that_are_let_go_of_count_together_so_that_no_more_than_a_fifth_is_given_up() -> None:
    fetch = Fetch()
    near = seen("near", LAN, 20 * MB)
    far = seen("far", FAR, 3 * MB), seen("farther", FAR, 1 * MB), seen("third", FAR, 2 * MB)
    assert fetch.passes(59, near, *far) == ["farther", "third"]  # The slowest first: 1 + 2 + 3 would be more.
    assert fetch.sparing.given_up <= 20 * MB / 4


def test_what_nobody_nearer_holds_keeps_a_line() -> None:
    fetch = Fetch()
    fetch.lack = {"near"}
    assert not fetch.passes(60, seen("near", LAN, 40 * MB), seen("far", FAR, 1 * MB))


def test_where_all_are_as_far_nobody_is_let_go_of_or_held_back() -> None:
    fetch = Fetch()
    assert not fetch.passes(60, seen("far", FAR, 40 * MB), seen("farther", FAR, 0.1 * MB))
    assert not fetch.held_back


def test_a_pause_of_the_near_ones_begins_the_measuring_anew() -> None:
    fetch = Fetch()
    far = seen("far", FAR, 5 * MB)
    assert not fetch.passes(MEASURE_S - 2 * LOOK_S, seen("near", LAN, 40 * MB), far)
    assert not fetch.passes(0, seen("near", LAN, 1 * MB), far)
    assert not fetch.passes(MEASURE_S - 2 * LOOK_S, seen("near", LAN, 40 * MB), far)


def test_one_whose_first_chunk_is_still_coming_is_not_called_slow_by_that() -> None:
    fetch = Fetch()
    near = seen("near", LAN, 1 * MB)
    assert not fetch.passes(3.0, near, seen("far", FAR, owes_since=fetch.now))  # A MiB in 3 s would be a third.
    assert fetch.passes(6.0, near, seen("far", FAR, owes_since=fetch.now - 3.0)) == ["far"]


def test_what_is_over_in_a_moment_changes_nothing() -> None:
    fetch = Fetch()
    fetch.missing = int(10 * MB)
    assert not fetch.passes(60, seen("near", LAN, 40 * MB), seen("far", FAR, 1 * MB))


def test_one_that_was_let_go_of_rests_for_a_minute_while_the_near_do_well() -> None:
    fetch = resting()
    idle = seen("far", FAR, linked=False, coming=True)
    fetch.passes(REST_S - 3 * LOOK_S, seen("near", LAN, 40 * MB), idle)
    assert fetch.held_back == {"far"}
    fetch.passes(3 * LOOK_S, seen("near", LAN, 40 * MB), idle)
    assert not fetch.held_back


def test_one_that_rests_is_wanted_at_once_when_the_near_are_gone_or_lack_something() -> None:
    fetch = resting()
    fetch.passes(0, seen("near", LAN, linked=False), seen("far", FAR, linked=False, coming=True))
    assert not fetch.held_back
    fetch = resting()
    fetch.lack = {"near"}
    fetch.passes(0, seen("near", LAN, 40 * MB), seen("far", FAR, linked=False, coming=True))
    assert not fetch.held_back


def test_one_that_rests_is_wanted_when_the_near_bring_too_little_for_a_moment() -> None:
    fetch = resting()
    idle = seen("far", FAR, linked=False, coming=True)
    fetch.passes(SHORT_S - 2 * LOOK_S, seen("near", LAN, 1 * MB), idle)
    assert fetch.held_back == {"far"}
    fetch.passes(0, seen("near", LAN, 40 * MB), idle)  # It was but a pause.
    fetch.passes(SHORT_S - 2 * LOOK_S, seen("near", LAN, 1 * MB), idle)
    assert fetch.held_back == {"far"}
    fetch.passes(3 * LOOK_S, seen("near", LAN, 1 * MB), idle)
    assert not fetch.held_back


@covers("T35")
def test_one_that_brought_nothing_is_wanted_again_when_all_that_the_near_owe_is_overdue() -> None:
    """Perhaps the near one says that it holds a chunk, and never gives it."""
    fetch = Fetch()
    idle = seen("far", FAR, linked=False, coming=True)
    assert fetch.passes(MEASURE_S, seen("near", LAN, 40 * MB), seen("far", FAR)) == ["far"]
    fetch.passes(SHORT_S + LOOK_S, seen("near", LAN, best=40 * MB), idle)
    assert not fetch.held_back


def test_one_that_was_never_asked_is_wanted_again_when_the_near_bring_less_than_a_fourth_of_what_they_did() -> None:
    fetch = Fetch()
    idle = seen("far", FAR, linked=False, coming=True)
    assert fetch.passes(MEASURE_S, seen("near", LAN, 40 * MB), seen("far", FAR)) == ["far"]
    fetch.passes(SHORT_S + LOOK_S, seen("near", LAN, 11 * MB), idle)
    assert fetch.held_back == {"far"}
    fetch.passes(SHORT_S + LOOK_S, seen("near", LAN, 9 * MB), idle)
    assert not fetch.held_back


def test_nobody_is_let_go_of_for_one_that_brings_nothing() -> None:
    assert not Fetch().passes(60, seen("near", LAN, best=40 * MB), seen("far", FAR))


def test_while_some_rest_others_as_far_are_tried_one_at_a_time() -> None:
    fetch = resting()
    near = seen("near", LAN, 40 * MB)
    others = [seen(name, FAR, linked=False, coming=True) for name in ("far", "farther", "third")]
    fetch.passes(TRY_FAR_S - 3 * LOOK_S, near, *others)
    assert fetch.held_back == {"far", "farther", "third"}
    tried = 0
    for _ in range(round(3 * TRY_FAR_S / LOOK_S)):
        fetch.passes(0, near, *others)
        tried += "farther" not in fetch.held_back
        assert {"far", "third"} <= fetch.held_back
    assert tried == 3


# --- metered ------------------------------------------------------------------------------------------------------


def test_a_metered_one_waits_while_others_are_on_their_way_or_do_it() -> None:
    fetch = Fetch()
    dear = seen("dear", METERED, linked=False, coming=True)
    fetch.passes(1.0, seen("far", FAR, linked=False, coming=True), dear)
    assert fetch.held_back == {"dear"}
    fetch.passes(60.0, seen("far", FAR, 2 * ENOUGH), dear)
    assert fetch.held_back == {"dear"}


def test_a_metered_one_is_dialled_at_once_when_there_is_nobody_else() -> None:
    fetch = Fetch()
    dear = seen("dear", METERED, linked=False, coming=True)
    fetch.passes(0, dear)
    assert not fetch.held_back
    fetch.passes(0, seen("far", FAR, linked=False), dear)
    assert not fetch.held_back


def test_a_metered_one_waits_a_moment_for_others_to_be_named() -> None:
    fetch = Fetch()
    fetch.now, fetch.searching, fetch.known = 0.0, True, False
    dear = seen("dear", METERED, linked=False, coming=True)
    fetch.passes(LOOK_AROUND_S - 2 * LOOK_S, dear)
    assert fetch.held_back == {"dear"}
    fetch.passes(3 * LOOK_S, dear)
    assert not fetch.held_back


def test_a_metered_one_is_dialled_for_what_the_others_lack() -> None:
    fetch = Fetch()
    fetch.lack = {"far"}
    sources = seen("far", FAR, 40 * MB), seen("dear", METERED, linked=False, coming=True)
    fetch.passes(LACK_S - 2 * LOOK_S, *sources)
    assert fetch.held_back == {"dear"}  # Perhaps it holds it in a moment.
    fetch.passes(3 * LOOK_S, *sources)
    assert not fetch.held_back


def test_a_metered_one_is_dialled_when_the_others_stand_still() -> None:
    fetch = Fetch()
    sources = seen("far", FAR, ENOUGH / 2), seen("dear", METERED, linked=False, coming=True)
    fetch.passes(DRY_S - 2 * LOOK_S, *sources)
    assert fetch.held_back == {"dear"}
    fetch.passes(3 * LOOK_S, *sources)
    assert not fetch.held_back


def test_a_metered_one_waits_for_what_describes_the_manifest_as_long_as_that_comes() -> None:
    fetch = Fetch()
    fetch.known = False
    sources = seen("far", FAR, ENOUGH), seen("dear", METERED, linked=False, coming=True)
    fetch.passes(60.0, *sources)
    assert fetch.held_back == {"dear"}
    fetch.silent_s = DRY_S
    fetch.passes(DRY_S + LOOK_S, *sources)
    assert not fetch.held_back


def test_a_metered_one_waits_for_a_first_chunk_that_comes_slowly_but_not_for_ever() -> None:
    fetch = Fetch()
    sources = seen("far", FAR, owes_since=fetch.now), seen("dear", METERED, linked=False, coming=True)
    fetch.passes(9.0, *sources)
    assert fetch.held_back == {"dear"}
    fetch.passes(5.0, *sources)
    assert not fetch.held_back


@covers("T35")
@pytest.mark.parametrize("known", [True, False])
def test_a_metered_one_waits_no_longer_than_others_live_on_what_they_brought(known: bool) -> None:
    """Whoever comes back whenever a chunk is nearly whole was always asked but a moment ago."""
    fetch = Fetch()
    fetch.known = known
    dear = seen("dear", METERED, linked=False, coming=True)
    for _ in range(int((STALL_S - 1) / LOOK_S)):
        fetch.passes(0, seen("far", FAR, owes_since=fetch.now, coming=True), dear)
        assert fetch.held_back == {"dear"}
    for _ in range(int(2 / LOOK_S)):
        fetch.passes(0, seen("far", FAR, owes_since=fetch.now, coming=True), dear)
    assert not fetch.held_back


@covers("T35")
@pytest.mark.parametrize("rate", [0.0, ENOUGH])
def test_small_chunks_now_and_then_keep_no_metered_one_waiting_however_soon_they_come(rate: float) -> None:
    fetch = Fetch()
    dear = seen("dear", METERED, linked=False, coming=True)
    for look in range(int((STALL_S + DRY_S + 4) / LOOK_S)):
        far = seen("far", FAR, rate, owes_since=None if rate else fetch.now, coming=True, brought=look // 50 * 4096)
        fetch.look(far, dear)
        fetch.now += LOOK_S
    assert not fetch.held_back
    assert not fetch.passes(MEASURE_S, seen("far", FAR, 0.0), seen("dear", METERED, MB))


def test_one_that_brings_just_enough_in_chunks_as_large_as_they_may_be_keeps_a_metered_one_waiting() -> None:
    fetch = Fetch()
    dear = seen("dear", METERED, linked=False, coming=True)
    fetch.look(seen("far", FAR, ENOUGH, brought=CHUNK_BYTES_MAX), dear)
    for chunks in range(1, 5):
        for _ in range(int(CREDIT_S / LOOK_S)):
            fetch.look(seen("far", FAR, ENOUGH, brought=chunks * CHUNK_BYTES_MAX), dear)
            assert fetch.held_back == {"dear"}
            fetch.now += LOOK_S


def test_a_metered_address_waits_as_a_metered_one_does() -> None:
    """While it is not linked it counts as near; where it is metered it shall not be dialled, all the same."""
    fetch = Fetch()
    both = seen("dear", LAN, linked=False, coming=True, dear=True)
    fetch.passes(0, seen("near", LAN, linked=False, coming=True), both)
    assert fetch.sparing.metered_waits
    fetch.passes(60.0, seen("near", LAN, MB), both)
    assert fetch.sparing.metered_waits
    assert not fetch.held_back  # Where it is near it may be dialled.
    fetch.passes(DRY_S + LOOK_S, seen("near", LAN, best=MB), both)
    assert not fetch.sparing.metered_waits


def test_one_that_is_near_and_metered_does_not_wait_for_itself() -> None:
    fetch = Fetch()
    fetch.passes(0, seen("dear", LAN, linked=False, coming=True, dear=True))
    assert not fetch.sparing.metered_waits
    fetch.passes(0, seen("dear", LAN, MB, dear=True))
    assert fetch.sparing.metered_waits  # Over the LAN it does.


def test_a_metered_one_is_let_go_of_when_others_do_it_again_at_any_speed() -> None:
    fetch = Fetch()
    assert fetch.passes(MEASURE_S, seen("far", FAR, 2 * ENOUGH), seen("dear", METERED, 40 * MB)) == ["dear"]
    assert not fetch.sparing.resting  # What it brought is not missed: the user has said so.


@pytest.mark.parametrize("rate", [0.0, ENOUGH / 2])
def test_a_metered_one_stays_while_the_others_bring_next_to_nothing(rate: float) -> None:
    assert not Fetch().passes(60, seen("far", FAR, rate), seen("dear", METERED, 40 * MB))


def test_it_is_said_why_somebody_is_not_dialled() -> None:
    fetch = resting()
    fetch.look(
        seen("near", LAN, 40 * MB),
        seen("third", FAR, linked=False, coming=True),
        seen("dear", METERED, linked=False, coming=True),
    )
    why = {name: fetch.sparing.why_not(ID[name], now=fetch.now) for name in ID}
    assert (why["near"], why["other"]) == (None, None)
    assert "let go of" in str(why["far"])
    assert "one by one" in str(why["third"])
    assert "metered" in str(why["dear"])
