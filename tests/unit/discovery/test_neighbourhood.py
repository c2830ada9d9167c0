"""Whoever makes up neighbours costs an honest one some questions at most, and never its place."""

from __future__ import annotations

import pytest

from p2phub import limits
from p2phub.discovery import DialBudget, Neighbourhood
from p2phub.identity import Address, PeerAddress
from tests.support.covers import covers
from tests.support.hosts import key_of

HONEST = PeerAddress(key_of("honest").peer_id, Address("192.168.7.9", 4717))
LIAR = key_of("liar").peer_id


class Scene:
    """A network on which nobody but the honest is found where it says."""

    def __init__(self) -> None:
        self.budget = DialBudget()
        self.neighbourhood = Neighbourhood(self.budget)

    def say(self, *ips: str) -> None:
        """Have a liar make up one neighbour at each of `ips`."""
        for ip in ips:
            service = f"liar-{len(list(self.neighbourhood))}-{ip}"
            self.neighbourhood.add(service, (PeerAddress(LIAR, Address(ip, 4717)),), now=0.0)

    def honest(self) -> bool:
        return self.neighbourhood.add("honest", (HONEST,), now=0.0)

    def ask(self) -> list[PeerAddress]:
        """Put one question, and dial those to whom it goes."""
        asked = [address for (address,) in self.neighbourhood.to_ask({}, now=1.0)]
        for each in asked:
            self.budget.allow(each.address, now=1.0)
            if each == HONEST:
                self.budget.proved(each.address)
        return asked


def everywhere(count: int) -> list[str]:
    return [f"10.1.{number // 250}.{number % 250 + 1}" for number in range(count)]


@covers("T05")
def test_an_honest_neighbour_is_asked_after_as_many_questions_as_inventions_fill() -> None:
    scene = Scene()
    scene.say(*everywhere(limits.LAN_SAID_MAX - 1))
    assert scene.honest()
    assert any(HONEST in scene.ask() for _ in range(limits.LAN_SAID_MAX // limits.LAN_PEERS_MAX))
    for _ in range(3):
        assert HONEST in scene.ask(), "once it was found it is asked each time"


@covers("T05")
def test_inventions_at_the_very_address_of_an_honest_neighbour_take_turns_with_it() -> None:
    scene = Scene()
    scene.say(*[HONEST.address.ip] * 100)
    assert scene.honest()
    assert any(HONEST in scene.ask() for _ in range(100 // limits.LAN_PEERS_PER_ADDRESS_MAX + 1))


@covers("T05")
@pytest.mark.parametrize("asked", [False, True])
def test_where_all_is_taken_inventions_give_way(asked: bool) -> None:
    """Those of an address that many say to be at, or such as were looked for and not found."""
    scene = Scene()
    scene.say(*(everywhere(limits.LAN_SAID_MAX) if asked else ["10.1.0.1"] * limits.LAN_SAID_MAX))
    if asked:
        scene.ask()
    assert scene.honest()
    assert any(HONEST in scene.ask() for _ in range(limits.LAN_SAID_MAX // limits.LAN_PEERS_MAX))
    assert len(list(scene.neighbourhood)) == limits.LAN_SAID_MAX


@covers("T05")
def test_machines_that_prove_keys_leave_half_of_the_places_to_others() -> None:
    scene = Scene()
    liars = everywhere(limits.LAN_PEERS_MAX)
    scene.say(*liars)
    for ip in liars:
        scene.budget.proved(Address(ip, 4717))
    scene.ask()
    assert scene.honest()
    assert HONEST in scene.ask()


def test_who_comes_while_a_question_is_put_is_asked_too_within_its_bounds() -> None:
    scene = Scene()
    scene.say("10.1.0.1")
    told: dict[str, str] = {}
    assert len(scene.neighbourhood.to_ask(told, now=0.0)) == 1
    scene.honest()
    assert scene.neighbourhood.to_ask(told, now=0.0) == [(HONEST,)]
    scene.say(*everywhere(limits.LAN_PEERS_MAX))
    assert len(scene.neighbourhood.to_ask(told, now=0.0)) == limits.LAN_PEERS_MAX - 2
    assert scene.neighbourhood.to_ask(told, now=0.0) == []
