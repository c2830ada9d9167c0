"""Where a peer can be reached: an IP address and a TCP port, in text a multiaddr.

Names are never looked up: an address is a number, so that what was checked is what is dialled.
Source: proto/identifiers.md §3.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

import msgspec

from p2phub.errors import Malformed
from p2phub.identity.peer_id import PeerId, parse_peer_id

_TEXT_MAX = 160
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

IpNumber = ipaddress.IPv4Address | ipaddress.IPv6Address

_number = lru_cache(maxsize=4096)(ipaddress.ip_address)  # The same few addresses are read again and again.


class Address(msgspec.Struct, frozen=True, order=True):
    """`ip` in canonical text (IPv4 or IPv6 without zone), `port` 1 ..= 65535 (0 only to listen)."""

    ip: str
    port: int

    def __post_init__(self) -> None:
        try:
            number = _number(self.ip)
        except ValueError as exc:
            raise Malformed("address", f"not an IP address: {self.ip[:80]!r}") from exc
        # One host has one spelling, so that caps and "is it public" cannot be had twice by writing IPv4 as IPv6.
        if number.version == 6 and number.ipv4_mapped is not None:
            raise Malformed("address", f"an IPv4 address written as IPv6: {self.ip!r}")
        canonical = str(number)
        if canonical != self.ip or "%" in self.ip or not 0 <= self.port <= 65535:
            raise Malformed("address", f"not an address: {self.ip[:80]!r} port {self.port}")

    def __str__(self) -> str:
        return f"/{'ip6' if ':' in self.ip else 'ip4'}/{self.ip}/tcp/{self.port}"

    @property
    def is_public(self) -> bool:
        """Whether strangers may be told of it, and may name it: see `is_public_ip`."""
        return is_public_ip(_number(self.ip))

    @property
    def is_loopback(self) -> bool:
        return _number(self.ip).is_loopback

    @property
    def is_wildcard(self) -> bool:
        """Whether to listen there is to listen at every address of this machine."""
        return _number(self.ip).is_unspecified


def is_public_ip(number: IpNumber) -> bool:
    """Whether an address is of the public internet: global, not multicast, reserved or documentation; and so are the
    IPv4 addresses that dialling an IPv6 address may end at (6to4, Teredo, NAT64, IPv4-mapped)."""
    if isinstance(number, ipaddress.IPv4Address):
        return number.is_global and not (number.is_multicast or number.is_reserved)
    if number.ipv4_mapped is not None:
        return is_public_ip(number.ipv4_mapped)
    if number in _NAT64:
        return is_public_ip(ipaddress.IPv4Address(int(number) & 0xFFFFFFFF))
    if not number.is_global or number.is_multicast or number.is_reserved or number.is_site_local:
        return False
    return all(is_public_ip(each) for each in (number.sixtofour, *(number.teredo or ())) if each is not None)


class PeerAddress(msgspec.Struct, frozen=True, order=True):
    """An address at which `peer` is expected: `/ip4/192.0.2.1/tcp/4717/p2p/12D3Koo…`."""

    peer: PeerId
    address: Address

    def __str__(self) -> str:
        return f"{self.address}/p2p/{self.peer}"


def parse_address(text: str) -> Address:
    """Read `/ip4|ip6/IP/tcp/PORT`. Raises Malformed("address")."""
    parts = text.split("/") if len(text) <= _TEXT_MAX else []
    if len(parts) != 5 or parts[0] != "" or parts[1] not in ("ip4", "ip6") or parts[3] != "tcp":
        raise Malformed("address", f"not /ip4|ip6/IP/tcp/PORT: {text[:80]!r}")
    if not (parts[4].isascii() and parts[4].isdigit() and len(parts[4]) <= 5):
        raise Malformed("address", f"not a port: {parts[4][:80]!r}")
    address = Address(parts[2], int(parts[4]))
    if str(address) != text:
        raise Malformed("address", f"not the canonical spelling of an address: {text[:80]!r}")
    return address


def parse_peer_address(text: str) -> PeerAddress:
    """Read an address that ends in `/p2p/PEER`. Raises Malformed("address" or "peer-id")."""
    head, found, tail = text.rpartition("/p2p/")
    if not found:
        raise Malformed("address", f"no /p2p/PEER at the end: {text[:80]!r}")
    return PeerAddress(parse_peer_id(tail), parse_address(head))
