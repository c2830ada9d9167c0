"""Which addresses that strangers name we are willing to dial, and how often (threat T41).

Anybody can say that a peer lives at somebody else's address. So an address heard from a peer on the public internet is
dialled only if it is public too, never at a port that mail, name and data servers use; and one IP address where nobody
has proved an identity is dialled three times in ten minutes, and beyond that once a minute, whatever the number of
peers said to live there: so little hurts nobody, and whoever was down for a moment is found when it is back.
Source: proto/discovery.md §7.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Iterable

from p2phub import limits
from p2phub.identity import Address, is_public_ip

# 80 and 443 are not among them: some networks let nothing else out, so nodes do listen there.
_SYSTEM_PORTS = (7, 9, 19, 21, 22, 23, 25, 53, 110, 111, 123, 135, 139, 143, 161, 389, 445, 465, 587, 993, 995)
_DATA_PORTS = (1433, 3306, 3389, 5432, 6379, 9200, 11211, 27017)
_PORTS_REFUSED = frozenset((*_SYSTEM_PORTS, *_DATA_PORTS))


def dialable(addresses: Iterable[Address], *, heard_from: str | None) -> tuple[Address, ...]:
    """Return those of `addresses` that may be dialled at all, at most ADDRESSES_PER_PEER_MAX, in their order.

    `heard_from` is the IP address of who named them, or None if the user did.
    """
    from_public = heard_from is not None and ipaddress.ip_address(heard_from).is_global
    chosen: dict[Address, None] = {}
    for address in addresses:
        if len(chosen) >= limits.ADDRESSES_PER_PEER_MAX:
            break
        if address.port == 0 or (heard_from is not None and _refused(address, from_public)):
            continue
        chosen[address] = None
    return tuple(chosen)


def _refused(address: Address, from_public: bool) -> bool:
    number = ipaddress.ip_address(address.ip)
    if number.is_multicast or number.is_unspecified or (number.is_reserved and number.version == 4):
        return True
    if address.port in _PORTS_REFUSED:
        return True
    return from_public and not is_public_ip(number)


class DialBudget:
    """Counts dials to IP addresses where nobody has proved an identity. Times are seconds of one steady clock."""

    def __init__(self) -> None:
        self._dials: OrderedDict[str, list[float]] = OrderedDict()
        self._proved: OrderedDict[str, None] = OrderedDict()

    def allow(self, address: Address, *, now: float) -> bool:
        """Return whether `address` may be dialled now, and count it. Loopback is exempt: nobody is hurt but us."""
        if address.is_loopback or address.ip in self._proved:
            return True
        most = limits.DIALS_PER_ADDRESS_MAX if address.is_public else limits.DIALS_PER_PRIVATE_ADDRESS_MAX
        recent = [at for at in self._dials.get(address.ip, ()) if now - at < limits.DIALS_WINDOW_S]
        if len(recent) >= most and now - recent[-1] < limits.DIAL_AGAIN_S:
            return False
        self._dials[address.ip] = [*recent, now]
        self._dials.move_to_end(address.ip)
        if len(self._dials) > limits.DIALS_REMEMBERED_MAX:
            self._dials.popitem(last=False)
        return True

    def is_proved(self, address: Address) -> bool:
        """Return whether a peer proved its identity at this IP address, whichever it was."""
        return address.ip in self._proved

    def is_in_vain(self, address: Address, *, now: float) -> bool:
        """Return whether this IP address was dialled of late, and nobody proved an identity there."""
        return any(now - at < limits.DIALS_WINDOW_S for at in self._dials.get(address.ip, ()))

    def proved(self, address: Address) -> None:
        """Note that a peer proved its identity there: dials are welcome from now on."""
        self._dials.pop(address.ip, None)
        self._proved[address.ip] = None
        self._proved.move_to_end(address.ip)
        if len(self._proved) > limits.DIALS_REMEMBERED_MAX:
            self._proved.popitem(last=False)
