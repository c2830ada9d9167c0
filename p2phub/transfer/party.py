"""Who is behind an address: all that comes from one counts as one, whatever the number of its keys and connections.

Keys cost nothing, addresses do; though many who mean well may share one. So a party shares places and merits
(`slots`, `credit`) and is judged together when one of it has lied (`standing`), and nobody is banned for another.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Hashable

from p2phub.identity import Address, PeerId

Party = Hashable


def party_of(peer: PeerId, address: Address) -> Party:
    """Return whose share `peer` at `address` has: that of an IPv4 address, or an IPv6 /56. On loopback every peer is a
    party: they are all the user's own."""
    if address.is_loopback:
        return peer
    if ":" not in address.ip:
        return address.ip
    return str(ipaddress.ip_network((address.ip, 56), strict=False))
