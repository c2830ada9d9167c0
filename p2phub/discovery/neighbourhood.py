"""Who says to be a neighbour on the local network, and which of them are asked next.

Anybody there can say so, in any number and of any address: multicast DNS proves nothing. So many are remembered, and a
question goes to a few: half of its places to such as are where somebody proved a key, the others first to those who
were not looked for of late, last to those who were not found; of one address to some at most, and of those alike to
whom it is longest ago that they were asked. So inventions cost an honest neighbour some questions, never its place.
Pure. Source: proto/discovery.md §8; threat T41.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

import msgspec

from p2phub import limits
from p2phub.discovery.budget import DialBudget
from p2phub.identity import Address, PeerAddress


class _Said(msgspec.Struct):
    addresses: tuple[PeerAddress, ...]
    turn: int = 0  # When it was asked last: higher is later.

    @property
    def place(self) -> str:
        return self.addresses[0].address.ip


class Neighbourhood:
    """What neighbours say of themselves, by the name of their service. Times are seconds of one steady clock."""

    def __init__(self, budget: DialBudget) -> None:
        """`budget` knows where somebody proved a key, and where nobody was found."""
        self._budget = budget
        self._said: dict[str, _Said] = {}
        self._turns = itertools.count(1)

    def __iter__(self) -> Iterator[PeerAddress]:
        return (address for said in self._said.values() for address in said.addresses)

    def add(self, service: str, addresses: tuple[PeerAddress, ...], *, now: float) -> bool:
        """Note where the owner of `service` says that it is; return whether there is room for it."""
        known = self._said.get(service)
        if known is None and len(self._said) >= limits.LAN_SAID_MAX:
            goes = self._gives_way(addresses[0].address, now=now)
            if goes is None:
                return False
            del self._said[goes]
        self._said[service] = _Said(addresses, known.turn if known else 0)
        return True

    def remove(self, service: str) -> None:
        """Note that the owner of `service` is gone."""
        self._said.pop(service, None)

    def to_ask(self, told: dict[str, str], *, now: float) -> list[tuple[PeerAddress, ...]]:
        """Return to whom a question goes that went to those `told` already (services, and where they are), and add
        them there: LAN_PEERS_MAX in all, LAN_PEERS_PER_ADDRESS_MAX of one address."""
        chosen: list[tuple[PeerAddress, ...]] = []
        if len(told) >= limits.LAN_PEERS_MAX:
            return chosen
        held = Counter(told.values())

        def choose(services: list[str], places: int) -> None:
            for service in services:
                said = self._said[service]
                has_room = len(told) < places and held[said.place] < limits.LAN_PEERS_PER_ADDRESS_MAX
                if has_room and service not in told:
                    held[said.place] += 1
                    told[service] = said.place
                    said.turn = next(self._turns)
                    chosen.append(said.addresses)

        by_turn = sorted(self._said, key=lambda each: self._said[each].turn)
        choose([each for each in by_turn if self._is_proved(self._said[each])], limits.LAN_PEERS_MAX // 2)
        choose(sorted(by_turn, key=lambda each: self._is_in_vain(self._said[each], now)), limits.LAN_PEERS_MAX)
        return chosen

    def _is_proved(self, said: _Said) -> bool:
        return any(self._budget.is_proved(each.address) for each in said.addresses)

    def _is_in_vain(self, said: _Said, now: float) -> bool:
        return all(self._budget.is_in_vain(each.address, now=now) for each in said.addresses)

    def _gives_way(self, newcomer: Address, *, now: float) -> str | None:
        """Return whose place goes to who is at `newcomer`: the latest of the address that most say to be at, and if
        none is said so often, one who was not found; None if all were, or were not looked for."""
        held = Counter(said.place for said in self._said.values())
        place, most = held.most_common(1)[0]
        if most > held[newcomer.ip] + 1:
            return next(each for each, said in reversed(self._said.items()) if said.place == place)
        return next((each for each, said in self._said.items() if self._is_in_vain(said, now)), None)
