"""Who gives way when all places are taken: one of a crowd, for somebody from elsewhere."""

from __future__ import annotations

from p2phub.net.giving_way import gives_way, in_reach
from tests.support.covers import covers


def places(networks: str) -> dict[int, str | None]:
    """A place for each letter, the oldest first; `.` is this machine or a private network."""
    return {number: None if network == "." else network for number, network in enumerate(networks)}


@covers("T37")
def test_the_oldest_of_the_largest_crowd_gives_way_to_who_comes_from_elsewhere() -> None:
    assert gives_way(places("baaab"), "c") == 1
    assert gives_way(places("aaaa"), "b") == 0


def test_who_would_hold_as_much_is_no_better() -> None:
    assert gives_way(places("aaaa"), "a") is None
    assert gives_way(places("aabb"), "c") == 0
    assert gives_way(places("ab"), "c") is None
    assert gives_way(places("aaabb"), "b") is None
    assert gives_way(places(""), "a") is None


def test_the_users_own_machines_keep_their_places_and_get_those_of_strangers() -> None:
    assert gives_way(places("......"), "a") is None
    assert gives_way(places("...aa"), "b") == 3
    assert gives_way(places("aaaa"), None) == 0


def test_a_crowd_ends_as_large_as_what_others_hold() -> None:
    held = places("a" * 64)
    for number in range(100, 200):
        leaves = gives_way(held, "b")
        if leaves is None:
            break
        del held[leaves]
        held[number] = "b"
    assert sorted(held.values(), key=str).count("a") == 32


@covers("T37")
def test_other_reasons_move_places_within_a_network_and_from_those_that_hold_more() -> None:
    assert in_reach(places("abab"), "a") == [0, 2]
    assert in_reach(places("abb"), "a") == [0, 1, 2]
    assert in_reach(places("abb"), "c") == [0, 1, 2]


@covers("T37")
def test_the_users_own_machines_keep_their_places_whatever_the_reason() -> None:
    assert in_reach(places("..a.."), "b") == [2]
    assert in_reach(places(".aa"), None) == [0, 1, 2]
    assert in_reach(places("..a"), None) == [0, 1]
