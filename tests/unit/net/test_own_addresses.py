"""What this machine's interfaces say of themselves."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from p2phub.net.own_addresses import own_addresses


def test_each_address_comes_with_its_network() -> None:
    own = own_addresses()
    assert all(each.ip in each.network for each in own)
    loopback = next(each for each in own if each.ip == ip_address("127.0.0.1"))
    assert loopback.network == ip_network("127.0.0.0/8")
