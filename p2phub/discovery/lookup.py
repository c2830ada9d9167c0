"""Find the peers closest to a position by asking ever closer ones: Kademlia's iterative lookup, as a state machine.

The driver asks whom `next_to_ask` names and reports `answered` or `failed`. The lookup ends when the DHT_REPLICATION
closest peers that can be reached have all answered: never earlier because many providers were named (threat T02: a
liar could end it with inventions). A peer that names others names at most so many of them, and those that cannot be
reached do not count, so inventions cost time, not truth.
Source: proto/discovery.md §4.
"""

from __future__ import annotations

from collections.abc import Iterable

from p2phub import limits
from p2phub.discovery.candidate import Contact
from p2phub.discovery.keyspace import peer_position
from p2phub.identity import PeerId


class Lookup:
    """One search for the peers closest to `target`, for the node `own`."""

    def __init__(self, target: int, own: PeerId, seeds: Iterable[Contact]) -> None:
        self.target = target
        self._own = own
        self._known: dict[PeerId, Contact] = {}
        self._distance: dict[PeerId, int] = {}  # Of all of them: a position costs a hash, and is looked at often.
        self._order: list[Contact] | None = None  # All of them, closest first; None: they have changed.
        self._waiting: set[PeerId] = set()
        self._asked: set[PeerId] = set()
        self._answered: set[PeerId] = set()
        self._failed: set[PeerId] = set()
        self._ended = False
        self._learn(seeds)

    def next_to_ask(self) -> tuple[Contact, ...]:
        """Return whom to ask now, closest first: as many as keep DHT_PARALLEL questions under way."""
        if self._ended:
            return ()
        room = limits.DHT_PARALLEL - len(self._waiting)
        chosen = [contact for contact in self._front() if contact.peer not in self._asked][: max(0, room)]
        for contact in chosen:
            self._asked.add(contact.peer)
            self._waiting.add(contact.peer)
        return tuple(chosen)

    def answered(self, peer: PeerId, closer: Iterable[Contact]) -> None:
        """Note that `peer` answered and named `closer`."""
        self._waiting.discard(peer)
        self._answered.add(peer)
        self._learn(list(closer)[: limits.DHT_REPLICATION])

    def failed(self, peer: PeerId) -> None:
        """Note that `peer` could not be reached or did not answer."""
        self._waiting.discard(peer)
        self._failed.add(peer)
        self._forget(peer)

    def end(self) -> None:
        """Ask nobody else: what was sought is known well enough."""
        self._ended = True

    @property
    def done(self) -> bool:
        """Whether nothing is under way and nobody is left to ask."""
        return not self._waiting and (self._ended or all(each.peer in self._asked for each in self._front()))

    def closest(self) -> tuple[Contact, ...]:
        """Return the closest peers that answered, closest first."""
        return tuple(contact for contact in self._sorted() if contact.peer in self._answered)[: limits.DHT_REPLICATION]

    def _front(self) -> list[Contact]:
        return self._sorted()[: limits.DHT_REPLICATION]

    def _sorted(self) -> list[Contact]:
        if self._order is None:
            self._order = sorted(self._known.values(), key=lambda contact: self._distance[contact.peer])
        return self._order

    def _learn(self, contacts: Iterable[Contact]) -> None:
        for contact in contacts:
            # Who was heard of first keeps its addresses: a later liar must not redirect a good contact.
            known = contact.peer in self._known or contact.peer in self._failed
            if not known and contact.peer != self._own and contact.addresses:
                self._known[contact.peer] = contact
                self._distance[contact.peer] = peer_position(contact.peer) ^ self.target
                self._order = None
        if len(self._known) > limits.LOOKUP_CANDIDATES_MAX:
            for contact in self._sorted()[limits.LOOKUP_CANDIDATES_MAX :]:
                if contact.peer not in self._waiting:
                    self._forget(contact.peer)

    def _forget(self, peer: PeerId) -> None:
        if self._known.pop(peer, None) is not None:
            del self._distance[peer]
            self._order = None
