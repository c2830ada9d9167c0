"""How near a source is, by the address at which it is dialled, or the name of a mirror's host: an ordered class.

Only the address that we dial counts, never what a peer says of itself. The user's labels say what this node cannot
know: which networks are this rack or site, and which lines cost money. Of several that hold an address the smallest
decides. What no label says: loopback is this machine, a network of one of our own interfaces or a private one is this
LAN, and all else is far. Nobody is told of labels. Source: docs/decisions/0066.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from enum import IntEnum

from p2phub.identity import Address, IpNumber, MirrorId

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Nearness(IntEnum):
    """The nearest is the least. Its name in lower case is what users read."""

    MACHINE = 0
    RACK = 1
    SITE = 2
    LAN = 3
    FAR = 4
    METERED = 5  # However near: each byte costs.

    def __str__(self) -> str:
        return self.name.lower()


LABELS: tuple[Nearness, ...] = (Nearness.RACK, Nearness.SITE, Nearness.METERED)
"""Those that a user may give."""


class Surroundings:
    """What is near this node. `networks` and `hosts` are labelled; `learn` adds what its own interfaces tell."""

    def __init__(
        self, networks: Mapping[Network, Nearness] | None = None, hosts: Mapping[str, Nearness] | None = None
    ) -> None:
        labelled = (networks or {}).items()
        self._labelled = sorted(labelled, key=lambda each: each[0].prefixlen, reverse=True)
        self._hosts = dict(hosts or {})
        self.has_metered = any(label is Nearness.METERED for _, label in labelled)
        """Whether any network is labelled as metered."""
        self._own: tuple[Network, ...] = ()
        self._known: dict[str, Nearness] = {}  # Of addresses that were looked at: the same few are, again and again.

    def learn(self, own: Iterable[Network]) -> None:
        """Take in the networks that this machine's interfaces are in now."""
        self._own = tuple(own)
        self._known.clear()

    def of(self, address: Address) -> Nearness:
        """Return how near whoever is dialled at `address` is."""
        if (known := self._known.get(address.ip)) is not None:
            return known
        if len(self._known) >= _KNOWN_MAX:
            self._known.clear()
        found = self._known[address.ip] = self._of_number(ipaddress.ip_address(address.ip))
        return found

    def of_mirror(self, mirror: MirrorId) -> Nearness:
        """Return how near a mirror is: by its host as the user spelt it, which is not looked up for that."""
        host = mirror.url.host
        if (number := mirror.url.ip) is not None:
            return self._of_number(number)
        if (label := self._hosts.get(host)) is not None:
            return label
        return Nearness.MACHINE if host == "localhost" else Nearness.FAR

    def _of_number(self, number: IpNumber) -> Nearness:
        for network, label in self._labelled:
            # A label for everything, such as that of a whole line, does not mean this machine itself.
            if number in network and (not number.is_loopback or network.is_loopback):
                return label
        if number.is_loopback:
            return Nearness.MACHINE
        if number.is_private or number.is_link_local or any(number in network for network in self._own):
            return Nearness.LAN
        return Nearness.FAR


_KNOWN_MAX = 4096
