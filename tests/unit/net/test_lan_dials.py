"""Whom neighbours can have us dial: their own network, a few addresses each, within the budget, and not for long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from ipaddress import ip_address, ip_network
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from trio.testing import MockClock
from zeroconf import ServiceInfo
from zeroconf._cache import DNSCache

from p2phub import limits
from p2phub.discovery import DialBudget
from p2phub.errors import PeerGone
from p2phub.identity import Address, PeerAddress, PeerId
from p2phub.net import Control, Link
from p2phub.net.lan import SERVICE, Browser, Lan, Names
from p2phub.wire import ControlAnswer, ControlRequest, ReleaseIs
from tests.support.covers import covers
from tests.support.hosts import key_of

OWN, BOB = key_of("own").peer_id, key_of("bob").peer_id
OURS = [ip_network("192.168.7.0/24"), ip_network("8.8.8.0/24"), ip_network("2a01:4f8:1:2::/64")]


class Answers:
    """A control connection to who knows a release."""

    def __init__(self, peer: PeerId, address: Address) -> None:
        self.peer, self.address = peer, address

    async def ask(self, request: ControlRequest) -> ControlAnswer:
        return ReleaseIs(b"signed")

    async def aclose(self) -> None:
        """Nothing is open."""


class Dialler:
    """Reaches nobody but at the address of `there`, is refused at once at others, or finds them silent.

    `is_at`: where whoever is reached really is, if that is another matter.
    """

    def __init__(self, *, there: str = "", silent: bool = False, is_at: Address | None = None) -> None:
        self.there, self.is_at = there, is_at
        self.silent = silent
        self.dials: Counter[str] = Counter()

    async def open_link(self, *args: object, **options: object) -> Link:
        raise AssertionError("a question needs no link")

    async def open_control(self, peer: PeerAddress) -> Control:
        self.dials[peer.address.ip] += 1
        await trio.lowlevel.checkpoint()
        if peer.address.ip != self.there:
            if self.silent:
                await trio.sleep_forever()
            raise PeerGone("nobody there")
        return Answers(peer.peer, self.is_at or peer.address)


def lan_of(dialler: Dialler, neighbours: Sequence[Sequence[str]], budget: DialBudget | None = None) -> Lan:
    """Return a network whose neighbours say that they are at these addresses."""
    lan = Lan(OWN, dialler, budget)
    for number, ips in enumerate(neighbours):
        hear(lan, key_of(str(number)).peer_id, ips)
    return lan


def hear(lan: Lan, peer: PeerId, ips: Sequence[str]) -> None:
    def at_once(call: Callable[..., None], *args: object) -> None:
        call(*args)

    name = f"{len(lan.peers())}-{str(peer)[-8:].lower()}.{SERVICE}"
    said = ServiceInfo(
        SERVICE,
        name,
        addresses=[ip_address(ip).packed for ip in ips],
        port=4717,
        properties={b"peer": str(peer)},
        server=f"{name.partition('.')[0]}.local.",
    )
    zeroconf: Any = SimpleNamespace(cache=DNSCache())
    zeroconf.cache.async_add_records([said.dns_service(), said.dns_text(), *said.dns_addresses()])
    Browser(Names(lan, lambda name: ()), at_once, OURS).add_service(zeroconf, SERVICE, name)


async def ask(lan: Lan) -> tuple[bytes, ...]:
    return await lan.release(BOB, "model", "latest")


@covers("T41")
@pytest.mark.parametrize(
    ("ip", "taken"),
    [
        ("192.168.7.9", True),
        ("10.1.2.3", True),
        ("100.64.0.9", True),
        ("fd00::9", True),
        ("8.8.8.9", True),
        ("2a01:4f8:1:2::9", True),
        ("8.8.4.4", False),
        ("2a01:4f8:1:3::9", False),
        ("64:ff9b::808:404", False),
        ("127.0.0.1", False),
        ("169.254.1.1", False),
        ("fe80::1", False),
        ("224.0.0.1", False),
    ],
)
async def test_a_neighbour_is_at_a_private_address_or_in_our_own_network(ip: str, taken: bool) -> None:
    assert bool(lan_of(Dialler(), [[ip]]).peers()) is taken


@covers("T41")
async def test_few_addresses_of_one_neighbour_are_taken_and_those_of_our_networks_first() -> None:
    elsewhere = [f"10.0.0.{number}" for number in range(1, 13)]
    said = [*elsewhere[:6], "8.8.8.9", "192.168.7.9", *elsewhere[6:]]
    (first, second, *others) = lan_of(Dialler(), [said]).peers()
    assert {first.address.ip, second.address.ip} == {"8.8.8.9", "192.168.7.9"}
    assert len(others) == limits.LAN_ADDRESSES_MAX - 2


@covers("T41")
@pytest.mark.parametrize(
    ("ip", "dials"), [("8.8.8.9", limits.DIALS_PER_ADDRESS_MAX), ("10.0.0.9", 2 * limits.LAN_PEERS_PER_ADDRESS_MAX)]
)
async def test_a_victim_that_made_up_neighbours_are_said_to_live_at_is_dialled_a_few_times(
    ip: str, dials: int, autojump_clock: MockClock
) -> None:
    dialler = Dialler()
    lan = lan_of(dialler, [[ip]] * limits.LAN_PEERS_MAX)
    for _ in range(2):
        await ask(lan)
    assert dialler.dials == {ip: dials}


@covers("T41")
async def test_one_question_has_us_dial_a_few_addresses_of_each_neighbour(autojump_clock: MockClock) -> None:
    dialler = Dialler()
    await ask(lan_of(dialler, [[f"10.0.{number}.{host}" for host in range(1, 17)] for number in range(100)]))
    assert dialler.dials.total() == limits.LAN_PEERS_MAX * limits.LAN_ADDRESSES_MAX


async def test_neighbours_that_answer_are_asked_as_often_as_one_likes(autojump_clock: MockClock) -> None:
    dialler, budget = Dialler(there="8.8.8.9"), DialBudget()
    lan = lan_of(dialler, [["8.8.8.9"]], budget)
    for _ in range(10):
        assert await ask(lan) == (b"signed",)
    assert budget.allow(Address("8.8.8.9", 4717), now=trio.current_time())


@covers("T41")
async def test_who_is_reached_another_way_proves_nothing_of_where_it_says_it_is(autojump_clock: MockClock) -> None:
    """It came to us over libp2p, for one, and its connection is used where nobody answers."""
    dialler = Dialler(there="8.8.8.9", is_at=Address("192.168.7.66", 4717))
    lan = lan_of(dialler, [["8.8.8.9"]])
    for _ in range(10):
        await ask(lan)
    assert dialler.dials["8.8.8.9"] == limits.DIALS_PER_ADDRESS_MAX


async def test_a_silent_neighbour_takes_no_longer_however_many_addresses_it_has(autojump_clock: MockClock) -> None:
    lan = lan_of(Dialler(silent=True), [[f"10.0.0.{number}" for number in range(1, 17)]])
    began = trio.current_time()
    assert await ask(lan) == ()
    assert trio.current_time() - began == pytest.approx(max(limits.LAN_ASK_S, limits.LAN_LOOK_S))


async def test_a_silent_address_does_not_keep_a_neighbour_from_being_asked_at_another(
    autojump_clock: MockClock,
) -> None:
    lan = lan_of(Dialler(there="10.0.0.2", silent=True), [["10.0.0.1", "10.0.0.2", "10.0.0.3"]])
    assert await ask(lan) == (b"signed",)


@covers("T05", "T41")
async def test_inventions_take_no_place_of_an_honest_neighbour(autojump_clock: MockClock) -> None:
    """Without: one machine that made up 64 neighbours before it came kept it from ever being asked."""
    dialler = Dialler(there="192.168.7.9")
    lan = lan_of(dialler, [[f"192.168.7.{number}"] for number in range(100, 100 + limits.LAN_PEERS_MAX)])
    hear(lan, BOB, ["192.168.7.9"])
    await ask(lan)  # Those who came first were not looked for yet.
    assert await ask(lan) == (b"signed",)


@covers("T05")
async def test_a_machine_that_says_to_be_many_is_asked_as_a_few(autojump_clock: MockClock) -> None:
    dialler = Dialler(there="192.168.7.9")
    lan = lan_of(dialler, [["192.168.7.66"]] * 300)
    hear(lan, BOB, ["192.168.7.9"])
    assert await ask(lan) == (b"signed",)
    assert dialler.dials == {"192.168.7.66": limits.LAN_PEERS_PER_ADDRESS_MAX, "192.168.7.9": 1}


@covers("T05")
async def test_who_says_to_be_a_neighbour_and_is_not_keeps_nobody_from_asking_it(autojump_clock: MockClock) -> None:
    """Of those who said to be one peer the first alone was asked."""
    dialler = Dialler(there="192.168.7.9")
    lan = lan_of(dialler, [])
    for ip in ("192.168.7.66", "192.168.7.9", "192.168.7.9"):
        hear(lan, BOB, [ip])
    assert await ask(lan) == (b"signed",)
    assert dialler.dials == {"192.168.7.66": 1, "192.168.7.9": 1}
