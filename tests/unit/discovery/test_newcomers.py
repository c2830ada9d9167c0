"""Whose turn it is to be dialled for the routing table, and who gives way where too many wait."""

from __future__ import annotations

from hashlib import sha256

from p2phub import limits
from p2phub.discovery import Newcomers
from p2phub.identity import Address, PeerAddress, PeerId
from tests.support.covers import covers


def at(ip: str, name: str = "") -> PeerAddress:
    return PeerAddress(PeerId(sha256(f"{ip} {name}".encode()).digest()), Address(ip, 4717))


def waiting(*each: PeerAddress) -> Newcomers:
    newcomers = Newcomers()
    for one in each:
        newcomers.add(one)
    return newcomers


@covers("T03")
def test_of_one_network_one_at_a_time_is_looked_at_and_meanwhile_others_are() -> None:
    first, second, other = at("8.8.8.1"), at("8.8.8.2"), at("9.9.9.9")
    newcomers = waiting(first, second, other)
    assert newcomers.take() == first
    assert newcomers.take() == other
    assert newcomers.take() is None
    newcomers.done(first)
    assert newcomers.take() == second


def test_private_networks_are_exempt() -> None:
    neighbours = [at(f"192.168.0.{number}") for number in range(9)]
    newcomers = waiting(*neighbours)
    assert [newcomers.take() for _ in neighbours] == neighbours


def test_who_asks_again_keeps_its_place_and_is_looked_for_where_it_was_last() -> None:
    moved = PeerAddress(at("8.8.8.1").peer, Address("8.8.4.1", 4718))
    newcomers = waiting(at("8.8.8.1"), at("9.9.9.9"), moved)
    assert newcomers.take() == moved
    assert len(newcomers) == 1


@covers("T03")
def test_when_too_many_wait_the_network_of_most_gives_way_to_others_and_to_nobody_of_its_own() -> None:
    crowd = [at("8.8.8.8", str(number)) for number in range(limits.NEWCOMERS_WAITING_MAX)]
    others = [at(f"9.9.{number}.9") for number in range(100)]
    newcomers = waiting(*crowd, *others, at("8.8.8.8", "one more"))
    assert len(newcomers) == limits.NEWCOMERS_WAITING_MAX
    assert newcomers.take() == crowd[100], "the oldest went first"
    assert [newcomers.take() for _ in others] == others
    assert newcomers.take() is None
