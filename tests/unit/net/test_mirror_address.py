"""Which addresses a mirror's host may have, and that what was checked is what is dialled."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from p2phub import limits
from p2phub.errors import MirrorUnusable, PeerGone
from p2phub.identity import Address, parse_mirror, parse_web_url
from p2phub.net.mirror_address import Hosts, check_addresses
from tests.support.covers import covers

PUBLIC, PUBLIC6 = "8.8.8.8", "2606:4700::1111"
NOT_PUBLIC = [
    "127.0.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "192.0.2.7",
    "198.18.0.1",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::1",
    "2002:a00:1::1",
]


@covers("T42")
@pytest.mark.parametrize("given", [True, False], ids=["the user's", "a redirect's"])
@pytest.mark.parametrize("ip", NOT_PUBLIC)
def test_a_name_may_not_lead_into_this_network(ip: str, given: bool) -> None:
    with pytest.raises(MirrorUnusable, match="public internet"):
        check_addresses(parse_web_url("https://models.example.org/x"), [ip], given=given)


@covers("T42")
@pytest.mark.parametrize("ip", NOT_PUBLIC)
@pytest.mark.parametrize("first", [True, False])
def test_one_address_that_is_not_public_refuses_them_all(ip: str, first: bool) -> None:
    found = [ip, PUBLIC] if first else [PUBLIC, PUBLIC6, ip]
    with pytest.raises(MirrorUnusable):
        check_addresses(parse_web_url("https://models.example.org/x"), found, given=True)


def test_public_addresses_are_dialled_in_their_order_each_once() -> None:
    url = parse_web_url("https://models.example.org:8443/x")
    assert check_addresses(url, [PUBLIC6, PUBLIC, PUBLIC6, f"::ffff:{PUBLIC}"], given=True) == (
        Address(PUBLIC6, 8443),
        Address(PUBLIC, 8443),
    )


def test_where_the_network_has_ipv6_alone_a_name_may_lead_through_its_translator() -> None:
    url = parse_web_url("https://models.example.org/x")
    assert check_addresses(url, [f"64:ff9b::{PUBLIC}"], given=True) == (Address("64:ff9b::808:808", 443),)


@pytest.mark.parametrize("ip", ["10.0.0.1", "127.0.0.1", "169.254.1.1", "100.64.0.1", "fc00::1", "fe80::1"])
def test_a_private_address_is_for_who_spells_it_out(ip: str) -> None:
    url = parse_web_url(f"https://[{ip}]/x" if ":" in ip else f"https://{ip}/x")
    assert check_addresses(url, [ip], given=True) == (Address(ip, 443),)
    with pytest.raises(MirrorUnusable, match="may not send us there"):  # A redirect that spells it out is not the user.
        check_addresses(url, [ip], given=False)


@pytest.mark.parametrize("ip", ["224.0.0.1", "0.0.0.0", "ff02::1", "::"])
def test_an_address_of_no_one_host_is_for_nobody(ip: str) -> None:
    url = parse_web_url(f"https://[{ip}]/x" if ":" in ip else f"https://{ip}/x")
    with pytest.raises(MirrorUnusable):
        check_addresses(url, [ip], given=True)


@covers("T42")
def test_localhost_is_this_machine_whatever_a_resolver_says() -> None:
    url = parse_web_url("http://localhost:8000/x")
    assert check_addresses(url, ["::1", "127.0.0.1"], given=True) == (Address("::1", 8000), Address("127.0.0.1", 8000))
    for elsewhere in (PUBLIC, "10.0.0.1"):
        with pytest.raises(MirrorUnusable):
            check_addresses(url, ["127.0.0.1", elsewhere], given=True)


@covers("T42")
@pytest.mark.parametrize("port", [22, 25, 6379])
def test_a_mirror_cannot_send_us_to_the_port_of_another_service(port: int) -> None:
    url = parse_web_url(f"https://models.example.org:{port}/x")
    assert check_addresses(url, [PUBLIC], given=True) == (Address(PUBLIC, port),)
    with pytest.raises(MirrorUnusable, match="port"):
        check_addresses(url, [PUBLIC], given=False)


def test_a_name_without_an_address_is_gone() -> None:
    with pytest.raises(PeerGone, match="no address"):
        check_addresses(parse_web_url("https://models.example.org/x"), [], given=True)


class Resolver:
    """Answers each question with the next of its answers: as a name that is rebound would."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        if not self.answers:
            raise OSError("no such name")
        return self.answers.pop(0)


@covers("T42")
async def test_a_name_is_looked_up_once_so_that_it_cannot_be_rebound() -> None:
    resolver = Resolver([PUBLIC], ["127.0.0.1"])
    mirror = parse_mirror("https://models.example.org/x")
    hosts = Hosts(mirror, resolver)
    for _ in range(3):
        assert await hosts.find(mirror.url) == (Address(PUBLIC, 443),)
    assert resolver.asked == [("models.example.org", 443)]


@covers("T42")
async def test_only_the_users_own_host_and_port_may_be_private() -> None:
    mirror = parse_mirror("https://10.0.0.1/x")
    hosts = Hosts(mirror, Resolver())
    assert await hosts.find(mirror.url) == (Address("10.0.0.1", 443),)
    for elsewhere in ("https://10.0.0.1:8443/x", "https://10.0.0.2/x", "http://127.0.0.1/x"):
        with pytest.raises(MirrorUnusable):
            await hosts.find(parse_web_url(elsewhere))


async def test_a_literal_is_not_looked_up() -> None:
    resolver = Resolver()
    mirror = parse_mirror("https://[2606:4700::1111]/x")
    assert await Hosts(mirror, resolver).find(mirror.url) == (Address(PUBLIC6, 443),)
    assert resolver.asked == []


async def test_a_name_that_is_not_found_is_gone() -> None:
    mirror = parse_mirror("https://models.example.org/x")
    with pytest.raises(PeerGone, match="no such name"):
        await Hosts(mirror, Resolver()).find(mirror.url)


async def test_what_is_remembered_of_hosts_is_bounded() -> None:
    mirror = parse_mirror("https://models.example.org/x")
    hosts = Hosts(mirror, Resolver(*[[PUBLIC]] * 100))
    for number in range(100):
        await hosts.find(parse_web_url(f"https://cdn{number}.example/x"))
    assert len(hosts._known) == limits.MIRROR_ADDRESSES_MAX
