"""How near an address is: what the user says of it first, then what the machine's own interfaces tell."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from p2phub.discovery import LABELS, Nearness, Surroundings
from p2phub.identity import Address, parse_mirror

LABELLED = Surroundings(
    {
        ip_network("10.1.7.0/24"): Nearness.RACK,
        ip_network("10.1.0.0/16"): Nearness.SITE,
        ip_network("10.1.7.9/32"): Nearness.METERED,
        ip_network("2001:db8:7::/48"): Nearness.SITE,
        ip_network("127.9.0.0/16"): Nearness.METERED,
    },
    {"mirror.example.org": Nearness.METERED, "near.example.org": Nearness.RACK},
)


def near(surroundings: Surroundings, ip: str) -> str:
    return str(surroundings.of(Address(ip, 4717)))


def test_the_classes_are_in_order() -> None:
    assert [str(each) for each in sorted(Nearness)] == ["machine", "rack", "site", "lan", "far", "metered"]
    assert {str(label) for label in LABELS} == {"rack", "site", "metered"}


@pytest.mark.parametrize(
    ("ip", "nearness"),
    [
        ("127.0.0.1", "machine"),
        ("::1", "machine"),
        ("10.1.2.3", "lan"),
        ("172.16.9.9", "lan"),
        ("192.168.1.7", "lan"),
        ("fd00::5", "lan"),
        ("fe80::5", "lan"),
        ("100.64.1.1", "far"),  # Of a carrier, or an overlay: others' lines.
        ("172.32.0.1", "far"),
        ("8.8.8.8", "far"),
        ("2600::1", "far"),
    ],
)
def test_what_has_no_label_is_near_if_it_is_private(ip: str, nearness: str) -> None:
    assert near(Surroundings(), ip) == nearness


@pytest.mark.parametrize(
    ("ip", "nearness"),
    [
        ("10.1.7.3", "rack"),
        ("10.1.8.3", "site"),
        ("10.1.7.9", "metered"),
        ("10.2.0.1", "lan"),
        ("2001:db8:7::1", "site"),
        ("127.9.1.1", "metered"),
        ("127.0.0.1", "machine"),
    ],
)
def test_the_smallest_network_that_is_labelled_decides(ip: str, nearness: str) -> None:
    assert near(LABELLED, ip) == nearness


def test_a_public_address_in_a_network_of_our_own_interfaces_is_of_this_lan() -> None:
    surroundings = Surroundings()
    assert near(surroundings, "2600::1:5") == "far"
    surroundings.learn([ip_network("2600::1:0/112"), ip_network("198.18.0.0/15")])
    assert near(surroundings, "2600::1:5") == "lan"
    assert near(surroundings, "2600::2:5") == "far"
    surroundings.learn([])
    assert near(surroundings, "2600::1:5") == "far"


def test_a_label_for_everything_leaves_this_machine_as_near_as_it_is() -> None:
    surroundings = Surroundings({ip_network("0.0.0.0/0"): Nearness.METERED, ip_network("::/0"): Nearness.METERED})
    surroundings.learn([ip_network("192.168.0.0/16")])
    assert [near(surroundings, ip) for ip in ("127.0.0.1", "::1")] == ["machine", "machine"]
    assert [near(surroundings, ip) for ip in ("8.8.8.8", "2600::1", "192.168.1.1")] == ["metered"] * 3


@pytest.mark.parametrize(
    ("url", "nearness"),
    [
        ("https://mirror.example.org/x", "metered"),
        ("https://near.example.org:8443/x", "rack"),
        ("https://other.example.org", "far"),
        ("https://10.1.7.3/x", "rack"),
        ("https://192.168.1.1/x", "lan"),
        ("http://localhost:80/x", "machine"),
        ("http://127.0.0.1:80/x", "machine"),
    ],
)
def test_a_mirror_is_as_near_as_its_host_and_far_if_nothing_is_known_of_that(url: str, nearness: str) -> None:
    assert str(LABELLED.of_mirror(parse_mirror(url))) == nearness


def test_no_more_is_remembered_than_is_useful() -> None:
    surroundings = Surroundings()
    for number in range(5000):
        surroundings.of(Address(f"8.8.{number // 250}.{number % 250}", 1))
    assert len(surroundings._known) <= 4096
