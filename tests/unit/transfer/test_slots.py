"""Who gets how much of a provider's upload, and whose place is it when there are not enough."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from p2phub import limits
from p2phub.identity import PeerId
from p2phub.transfer import Party, Place, Slots
from p2phub.transfer.slots import CREDIT_BYTES, DUE_S, FORGOTTEN_S, LIVES_ON, OPTIMISTIC, TURN_S, WEIGHT_MIN
from tests.support.covers import covers
from tests.support.swarm import peer

MIB = limits.MIB
LATER = 100.0  # By then all that was given at 0 is due.


def slots() -> Slots:
    return Slots(b"seed")


def served(slots: Slots, party: Party, *peers: PeerId, given: int = 0, shown: int = 0, now: float = 0.0) -> list[Place]:
    places = [slots.enter("m", party, each, now=now) for each in peers]
    if given:
        slots.gave("m", party, given, now=now)
    slots.show("m", {peers[0]: shown} if shown else {})
    return places


def weight(slots: Slots, party: Party, *, rate: float | None = None, now: float = LATER) -> float:
    return slots.weight("m", party, rate=rate, now=now)


def gives_way(slots: Slots, party: Party, *, now: float) -> Place | None:
    """Of all places."""
    return slots.gives_way("m", party, list(slots._places), now=now)


# --- weights ---------------------------------------------------------------------------------------------------------


def test_a_party_weighs_at_first_as_much_as_one_that_never_came() -> None:
    tabs = slots()
    served(tabs, "ann", peer(1))
    assert weight(tabs, "ann") == weight(tabs, "nobody yet") == 1.0


@covers("T38")
def test_who_only_takes_sinks_to_the_optimistic_share() -> None:
    tabs = slots()
    served(tabs, "rider", peer(1), given=CREDIT_BYTES)
    assert weight(tabs, "rider") == pytest.approx(1.0)
    tabs.gave("m", "rider", 3 * CREDIT_BYTES, now=0.0)
    assert weight(tabs, "rider") == pytest.approx(0.25)
    tabs.gave("m", "rider", 100 * MIB, now=0.0)
    assert weight(tabs, "rider") == WEIGHT_MIN


@covers("T38")
def test_who_passes_on_half_of_what_it_takes_keeps_the_full_share() -> None:
    tabs = slots()
    served(tabs, "ann", peer(1), given=100 * MIB, shown=50 * MIB)
    assert weight(tabs, "ann") == 1.0
    served(tabs, "bob", peer(2), given=100 * MIB, shown=10 * MIB)
    assert weight(tabs, "bob") == pytest.approx(0.2, rel=0.05)


def test_where_nobody_can_give_anything_all_sink_alike() -> None:
    tabs = slots()
    for number in range(4):
        served(tabs, number, peer(number), given=20 * MIB)
    assert len({weight(tabs, number) for number in range(4)}) == 1


def test_what_was_given_just_now_is_not_due_yet() -> None:
    tabs = slots()
    served(tabs, "ann", peer(1), given=100 * MIB)
    assert weight(tabs, "ann", now=0.0) == 1.0
    assert weight(tabs, "ann", now=DUE_S) == WEIGHT_MIN
    few = slots()
    served(few, "ann", peer(1), given=2 * MIB)
    passed = [weight(few, "ann", now=DUE_S * number) for number in (0.1, 0.2, 1, 3)]
    assert passed == sorted(passed, reverse=True)
    assert passed[-1] == pytest.approx(CREDIT_BYTES / (2 * MIB * (1 - math.exp(-3))))


@covers("T38")
def test_fifty_keys_behind_one_address_share_one_tab() -> None:
    tabs = slots()
    served(tabs, "192.0.2.1", *(peer(number) for number in range(50)), given=64 * MIB)
    slots_of_one = slots()
    served(slots_of_one, "192.0.2.1", peer(0), given=64 * MIB)
    assert weight(tabs, "192.0.2.1") == weight(slots_of_one, "192.0.2.1") == WEIGHT_MIN
    tabs.show("m", {peer(7): 32 * MIB})  # What one of a household gives counts for it all.
    assert weight(tabs, "192.0.2.1") == 1.0


def test_a_manifest_is_a_tab_of_its_own() -> None:
    tabs = slots()
    served(tabs, "ann", peer(1), given=100 * MIB)
    tabs.enter("other", "ann", peer(1), now=0.0)
    assert tabs.weight("other", "ann", now=LATER) == 1.0


@pytest.mark.parametrize("rate", [limits.CAP_MIN, 1e6, 8e6])
@pytest.mark.parametrize("others", [0, 1, 7])
def test_no_weight_is_so_low_that_a_connection_is_taken_for_dead(rate: float, others: int) -> None:
    tabs = slots()
    served(tabs, "rider", peer(1), peer(1), given=100 * MIB)
    for number in range(others):
        served(tabs, number, peer(2 + number))
    own = weight(tabs, "rider", rate=rate)
    assert rate * own / (own + others) >= min(2 * LIVES_ON, rate / (1 + others)) * 0.999


def test_who_has_taken_nothing_for_long_begins_anew() -> None:
    tabs = slots()
    served(tabs, "ann", peer(1), given=100 * MIB)
    now = FORGOTTEN_S + 1
    tabs.gave("m", "ann", 1, now=now)
    assert weight(tabs, "ann", now=now + LATER) == 1.0


def test_what_was_shown_never_shrinks() -> None:
    tabs = slots()
    served(tabs, "ann", peer(1), given=100 * MIB, shown=100 * MIB)
    tabs.show("m", {peer(1): 1})
    assert tabs.shown() == [("m", peer(1), 100 * MIB)]


def test_strangers_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TABS_MAX", 4)
    monkeypatch.setattr(limits, "PEERS_PER_PARTY_MAX", 2)
    tabs = slots()
    for number in range(10):
        for place in served(tabs, number, *(peer(each) for each in range(8)), given=100 * MIB):
            tabs.leave(place)
        tabs.show("m", {peer(number): 1})
    assert [weight(tabs, number) for number in range(10)] == [1.0] * 6 + [WEIGHT_MIN] * 4
    assert len(tabs.shown()) == 4


# --- places ----------------------------------------------------------------------------------------------------------


@covers("T37", "T38")
def test_a_newcomer_gets_a_place_of_a_party_that_has_several() -> None:
    tabs = slots()
    served(tabs, "ann", peer(1))
    many = served(tabs, "greedy", *(peer(number) for number in range(2, 9)))
    assert gives_way(tabs, "bob", now=0.0) in many
    for place in many[1:]:
        tabs.leave(place)
    assert gives_way(tabs, "bob", now=0.0) is None


def test_only_the_places_that_are_named_are_given_away() -> None:
    tabs = slots()
    greedy = served(tabs, "greedy", *(peer(number) for number in range(5)))
    ann, bob = served(tabs, "ann", peer(6)) + served(tabs, "bob", peer(7), given=100 * MIB)
    assert tabs.gives_way("m", "new", [ann, bob], now=0.0) is None
    assert tabs.gives_way("m", "new", [ann, bob], now=TURN_S) is bob
    assert tabs.gives_way("m", "new", [ann, *greedy], now=0.0) in greedy
    assert tabs.gives_way("m", "new", [], now=LATER) is None


def test_who_has_a_place_gets_no_second_one_of_others() -> None:
    tabs = slots()
    served(tabs, "ann", peer(1))
    served(tabs, "bob", peer(2), given=100 * MIB)
    assert gives_way(tabs, "ann", now=LATER) is None


@covers("T38")
def test_a_free_rider_gives_way_to_a_contributor_after_its_turn() -> None:
    tabs = slots()
    places = {number: served(tabs, number, peer(number))[0] for number in range(9)}
    tabs.gave("m", 4, 100 * MIB, now=0.0)
    assert gives_way(tabs, "new", now=TURN_S - 1) is None
    assert gives_way(tabs, "new", now=TURN_S) is places[4]


@covers("T38")
def test_places_of_contributors_do_not_go_to_free_riders_but_for_the_optimistic_part() -> None:
    tabs = slots()
    for number in range(16):
        served(tabs, number, peer(number), given=MIB * (20 + number), shown=20 * MIB * (number > 3))
    tabs.gave("m", "rider", 100 * MIB, now=0.0)
    asked = {getattr(gives_way(tabs, "rider", now=LATER), "party", None) for _ in range(100)}
    assert asked <= {0, 1, 2, 3}
    assert len(asked) == 16 // OPTIMISTIC


def test_everybody_has_a_turn_and_nobody_knows_when() -> None:
    tabs, turns = slots(), Counter[Party]()
    for number in range(8):
        served(tabs, number, peer(number), given=100 * MIB)
    waiting = list(range(8, 40))
    now = 0.0
    while waiting and now < 100 * TURN_S:
        now += TURN_S
        place = gives_way(tabs, waiting[0], now=now)
        if place is not None:
            tabs.leave(place)
            turns[waiting[0]] += 1
            served(tabs, waiting[0], peer(waiting.pop(0)), given=100 * MIB, now=now)
    assert not waiting
    assert max(turns.values()) == 1


def test_what_is_left_once_is_left() -> None:
    tabs = slots()
    ann, bob = served(tabs, "ann", peer(1), peer(1))
    tabs.leave(ann)
    tabs.leave(ann)
    assert gives_way(tabs, "new", now=LATER) is bob
    tabs.leave(bob)
    assert gives_way(tabs, "new", now=LATER) is None
