"""Where a mirror's host is: which of the addresses that a name has may be dialled.

A name is another's word: its owner could point it at a machine of this network that trusts its neighbours (threat T42).
So a name is looked up once, every address that comes back is checked, one that is not public refuses them all, and what
was checked is what is dialled. Private addresses are for who spells them out: the user, in the URL of the mirror.
A redirect is the mirror's word, so its host is checked as a name is, spelt out or not. Source: proto/mirror.md §3.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence

import trio

from p2phub import limits
from p2phub.discovery import dialable
from p2phub.errors import MirrorUnusable, PeerGone
from p2phub.identity import Address, IpNumber, MirrorId, WebUrl, is_public_ip

LookUp = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a name, as text. Raises OSError."""

_ANY_PUBLIC = "1.1.1.1"  # Whoever redirects us is treated as a stranger of the internet.


async def look_up(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver. Raises OSError."""
    found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for _, _, _, _, address in found]


def check_addresses(url: WebUrl, found: Iterable[str], *, given: bool) -> tuple[Address, ...]:
    """Return the addresses to dial for `url`. `given`: its host is the one that the user spelt, not a redirect's.

    Raises MirrorUnusable if any of them may not be dialled, for then the name as a whole is not trusted.
    """
    addresses: list[Address] = []
    for text in list(found)[: limits.MIRROR_ADDRESSES_MAX]:
        number = _number(text)
        if not _allowed(url, number, given=given):
            raise MirrorUnusable(
                f"{url.host} is at {number}, which is not an address of the public internet"
                + ("" if given else ", and a mirror may not send us there")
            )
        address = Address(str(number), url.port)
        if address not in addresses:
            addresses.append(address)
    if not given and not dialable(addresses, heard_from=_ANY_PUBLIC):
        raise MirrorUnusable(f"a mirror may not send us to port {url.port}")
    if not addresses:
        raise PeerGone(f"{url.host} has no address")
    return tuple(addresses)


def _number(text: str) -> IpNumber:
    """Read an address, without its zone; an IPv4 address that is written as IPv6 is what is dialled then."""
    number = ipaddress.ip_address(text.partition("%")[0])
    return number if isinstance(number, ipaddress.IPv4Address) else number.ipv4_mapped or number


def _allowed(url: WebUrl, number: IpNumber, *, given: bool) -> bool:
    if given and url.host == "localhost":
        return number.is_loopback
    if given and url.ip is not None:
        return not (number.is_multicast or number.is_unspecified)
    return is_public_ip(number)


class Hosts:
    """Where the hosts are that a mirror and its redirects name: each looked up once, and checked."""

    def __init__(self, mirror: MirrorId, look_up: LookUp) -> None:
        self._own = mirror.url
        self._look_up = look_up
        self._known: dict[tuple[str, int], tuple[Address, ...]] = {}

    async def find(self, url: WebUrl) -> tuple[Address, ...]:
        """Return the addresses to dial, in order. Raises PeerGone, MirrorUnusable."""
        key = (url.host, url.port)
        if key in self._known:
            return self._known[key]
        given = key == (self._own.host, self._own.port)
        try:
            with trio.fail_after(limits.DIAL_S):
                found = [url.host] if url.ip is not None else await self._look_up(*key)
        except (OSError, UnicodeError, trio.TooSlowError) as exc:
            raise PeerGone(f"cannot find where {url.host} is: {str(exc) or 'no answer'}") from exc
        addresses = check_addresses(url, found, given=given)
        if len(self._known) < limits.MIRROR_ADDRESSES_MAX:  # A mirror may redirect to ever new hosts.
            self._known[key] = addresses
        return addresses
