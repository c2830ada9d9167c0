"""The network that holds most gives way, and nobody takes from who holds no more than it does itself."""

from __future__ import annotations

from p2phub.discovery.shares import Shares
from tests.support.covers import covers


def shares(*records: tuple[str, str | None]) -> Shares[str]:
    made: Shares[str] = Shares()
    for record, network in records:
        made.came(record, network)
    return made


@covers("T08")
def test_the_oldest_of_who_holds_most_gives_way_to_another_network() -> None:
    held = shares(("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b"), ("own", None))
    assert held.surplus("c") == "a1"
    assert held.surplus(None) == "a1"
    assert held.surplus("a") is None


@covers("T08")
def test_nobody_has_the_place_of_who_holds_no_more_or_of_the_users_own_machines() -> None:
    held = shares(("a1", "a"), ("a2", "a"), ("b1", "b"), ("own", None))
    assert not held.may_have("a", "b1")
    assert not held.may_have("c", "own")
    assert held.may_have("a", "a1")
    assert held.may_have("c", "b1")
    assert held.may_have(None, "own")


@covers("T08")
def test_who_repeats_what_is_anothers_does_not_have_it_counted_as_its_own() -> None:
    held = shares(("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b"), ("own", None))
    held.came("b1", "a")
    held.came("own", "a")
    assert (held.held("a"), held.held("b")) == (3, 1)
    held.came("a1", "b")  # It may be b's, which a said first.
    assert (held.held("a"), held.held("b")) == (2, 2)
    held.came("a2", None)
    assert held.held("a") == 1


def test_what_went_is_counted_no_more() -> None:
    held = shares(("a1", "a"), ("own", None))
    for record in ("a1", "own", "never"):
        held.went(record)
    assert len(held) == held.held("a") == 0
    assert held.surplus("b") is None
