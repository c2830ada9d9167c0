"""The peers of the DHT that this node knows: whom to begin with, who answered, who is down, who is yet to be proven.

Only who was reached at an address enters the routing table. Who asked us something and says that it serves is dialled
for that, several at once and each for a short time; whose turn it is `discovery.Newcomers` decides.
Source: proto/discovery.md §3.
"""

from __future__ import annotations

import logging
import random
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence

import trio

from p2phub import limits
from p2phub.discovery import Contact, Newcomers, RoutingTable
from p2phub.errors import PeerError
from p2phub.identity import Address, PeerAddress, PeerId
from p2phub.net.libp2p_host import Host

log = logging.getLogger("p2phub.dht")
_KNOWN_ASKED = 2 * limits.DHT_PARALLEL  # In one lookup: who is silent takes 10 s, and bootstrap nodes must get a turn.
_KNOWN_FAILURES = 2  # While others answer, of one of last time; then it is forgotten.
_DOWN_S = 60.0  # A peer that could not be reached is not asked again so soon, unless there is nobody else.


class Neighbours:
    """The routing table, and how peers come into it and out of it."""

    def __init__(
        self,
        host: Host,
        *,
        bootstrap: Sequence[PeerAddress],
        known: Sequence[PeerAddress],
        on_proved: Callable[[PeerId], None],
    ) -> None:
        """`bootstrap`: where to begin; `known`: what `known_peers` returned last time; `on_proved` is told of each peer
        that enters the table."""
        self.table = RoutingTable(host.peer_id)
        self.joined = trio.Event()
        """Set when somebody answered for the first time."""
        self._host = host
        self._on_proved = on_proved
        self._bootstrap = _contacts(bootstrap)
        self._known = {each.peer: each for each in _contacts(known[: limits.KNOWN_PEERS_MAX])}
        self._known_failures: Counter[PeerId] = Counter()
        self._down: OrderedDict[PeerId, float] = OrderedDict()
        self._newcomers = Newcomers()
        self._arrived = trio.lowlevel.ParkingLot()

    def known_peers(self) -> tuple[PeerAddress, ...]:
        """Return peers to start from next time, at most KNOWN_PEERS_MAX: those reached now, then those of last time."""
        reached = self.reached()
        peers = {each.peer for each in reached}
        earlier = [PeerAddress(each.peer, each.addresses[0]) for each in self._known.values() if each.peer not in peers]
        return (*reached, *earlier)[: limits.KNOWN_PEERS_MAX]

    def reached(self) -> tuple[PeerAddress, ...]:
        """Return the peers that proved their keys since this node started, the latest first."""
        return self.table.known(limits.KNOWN_PEERS_MAX)

    def seeds(self, target: int) -> tuple[Contact, ...]:
        """Return whom to ask first for `target`; those that are down only if there is nobody else.

        Of last time a few, by chance: 512 that are silent now would take every lookup's time, and bootstrap nodes,
        who may be farther from `target`, would have no turn for an hour.
        """
        near = self.table.closest(target, limits.DHT_REPLICATION)
        if len(near) < limits.DHT_REPLICATION:
            of_last_time = [each for each in self._known.values() if not self._is_down(each.peer)]
            few = random.sample(of_last_time, min(_KNOWN_ASKED, len(of_last_time)))
            near = (*near, *self._bootstrap, *few)
        up = tuple(contact for contact in near if not self._is_down(contact.peer))
        return up or near or tuple(self._known.values())[:_KNOWN_ASKED]

    def answered(self, contact: Contact) -> None:
        """`contact` answered a question; it enters the table if we dialled it, with the address where it was reached:
        the others are somebody's word."""
        self.joined.set()
        self._down.pop(contact.peer, None)
        address = self._host.dialled(contact.peer)
        if address is not None:
            self._proved(Contact(contact.peer, (address,)))

    def failed(self, peer: PeerId) -> None:
        """`peer` could not be reached, or did not answer."""
        self.table.failed(peer)
        if peer in self._known and self.joined.is_set() and not self._is_down(peer):
            self._known_failures[peer] += 1
            if self._known_failures[peer] >= _KNOWN_FAILURES:
                del self._known[peer], self._known_failures[peer]
        self._down[peer] = trio.current_time() + _DOWN_S
        self._down.move_to_end(peer)
        if len(self._down) > 4 * limits.KNOWN_PEERS_MAX:
            self._down.popitem(last=False)

    def consider(self, newcomer: PeerAddress) -> None:
        """Have `newcomer`, who asked us something, dialled, to see whether it may enter the table."""
        if newcomer.peer in self.table or self._is_down(newcomer.peer):
            return
        self._newcomers.add(newcomer)
        self._arrived.unpark()

    async def prove_newcomers(self) -> None:
        """Dial those that are to be considered, a few at once, until cancelled."""
        async with trio.open_nursery() as nursery:
            for _ in range(limits.NEWCOMERS_AT_ONCE):
                nursery.start_soon(self._prove_one_after_the_other)

    async def _prove_one_after_the_other(self) -> None:
        while True:
            while (newcomer := self._newcomers.take()) is None:
                await self._arrived.park()
            try:
                await self._prove(newcomer)
            except Exception:  # What strangers do must not end the node, whatever we make of it.
                log.exception("a fault of our own ended a look at %s", newcomer)
            finally:
                self._newcomers.done(newcomer)

    async def _prove(self, newcomer: PeerAddress) -> None:
        if newcomer.peer in self.table:
            return
        try:
            with trio.fail_after(limits.NEWCOMER_S):
                address = await self._host.prove(newcomer.peer, (newcomer.address,), heard_from=newcomer.address.ip)
        except (PeerError, trio.TooSlowError) as exc:
            log.debug("%s cannot be reached: %s", newcomer, exc)
            self.failed(newcomer.peer)
        else:
            self._proved(Contact(newcomer.peer, (address,)))

    def _is_down(self, peer: PeerId) -> bool:
        return self._down.get(peer, 0.0) > trio.current_time()

    def _proved(self, contact: Contact) -> None:
        self.table.proved(contact, now=trio.current_time())
        self._on_proved(contact.peer)


def _contacts(addresses: Iterable[PeerAddress]) -> tuple[Contact, ...]:
    """Return one contact a peer."""
    found: dict[PeerId, tuple[Address, ...]] = {}
    for each in addresses:
        found[each.peer] = (*found.get(each.peer, ()), each.address)
    return tuple(Contact(peer, of_peer[: limits.ADDRESSES_PER_PEER_MAX]) for peer, of_peer in found.items())
