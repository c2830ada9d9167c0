"""Peers that asked us something and say that they serve: who of them is looked at next, and who gives way.

Anybody can say so and then not answer, so a look may take its whole time. Several are under way at once, of one network
one at a time; and where too many wait, the network of which most wait gives way to one of which fewer do. Loopback and
private networks are exempt from both: `network_of` says why. Source: proto/discovery.md §3.
"""

from __future__ import annotations

from collections import Counter

from p2phub import limits
from p2phub.discovery.keyspace import network_of
from p2phub.identity import PeerAddress, PeerId


class Newcomers:
    """Those who wait, the oldest first, and the networks that are looked at now."""

    def __init__(self) -> None:
        self._waiting: dict[PeerId, tuple[PeerAddress, str | None]] = {}
        self._under_way: set[str] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, newcomer: PeerAddress) -> None:
        """Have `newcomer` wait. One that waits already keeps its place, and is looked for where it was last."""
        network = network_of(newcomer.address.ip)
        if newcomer.peer not in self._waiting and len(self._waiting) >= limits.NEWCOMERS_WAITING_MAX:
            held = Counter(each for _, each in self._waiting.values())
            most = max(held, key=lambda each: held[each])
            if held[most] <= held[network] + 1:
                return  # It will ask us again.
            del self._waiting[next(peer for peer, (_, each) in self._waiting.items() if each == most)]
        self._waiting[newcomer.peer] = newcomer, network

    def take(self) -> PeerAddress | None:
        """Return whom to look at now, None if there is nobody. Call `done` of it after that."""
        for newcomer, network in self._waiting.values():
            if network not in self._under_way:
                del self._waiting[newcomer.peer]
                if network is not None:
                    self._under_way.add(network)
                return newcomer
        return None

    def done(self, newcomer: PeerAddress) -> None:
        """The look at `newcomer` is over."""
        network = network_of(newcomer.address.ip)
        if network is not None:
            self._under_way.discard(network)
