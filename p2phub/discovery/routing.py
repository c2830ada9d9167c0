"""Which peers of the DHT we remember: Kademlia's buckets, filled only with peers that we have reached ourselves.

A peer that merely asked us something, or was named by another, is not in the table until a dial to its address proved
its identity (threats T03 and T41): a table of hearsay would send every neighbour to dead or hostile addresses. Old
entries stay while they answer; one network fills at most two places of a bucket and three of the table.
Source: proto/discovery.md §3; Maymounkov and Mazières 2002 §2.2.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import msgspec

from p2phub import limits
from p2phub.discovery.candidate import Contact
from p2phub.discovery.keyspace import network_of, peer_position
from p2phub.identity import PeerAddress, PeerId


class _Entry(msgspec.Struct):
    contact: Contact
    position: int  # Of its peer: a hash that every question would cost anew.
    proven_at: float
    failures: int = 0


class RoutingTable:
    """Proven peers by distance from `own`. Times are seconds of one steady clock."""

    def __init__(self, own: PeerId) -> None:
        self._own = own
        self._own_position = peer_position(own)
        self._buckets: dict[int, dict[PeerId, _Entry]] = {}

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self._buckets.values())

    def __contains__(self, peer: PeerId) -> bool:
        return peer in self._bucket_of(peer)

    def proved(self, contact: Contact, *, now: float) -> bool:
        """Note that a dial reached `contact` at its first address. Returns whether it stands in the table now."""
        if contact.peer == self._own or not contact.addresses:
            return False
        position = peer_position(contact.peer)
        bucket = self._buckets.setdefault(self._index(position), {})
        if contact.peer in bucket:
            bucket[contact.peer] = _Entry(contact, position, now)
            return True
        network = network_of(contact.addresses[0].ip)
        if network is not None:
            if self._count(bucket.values(), network) >= limits.ROUTING_PER_SUBNET_MAX:
                return False
            entries = (entry for each in self._buckets.values() for entry in each.values())
            if self._count(entries, network) > limits.ROUTING_PER_SUBNET_MAX:
                return False
        if len(bucket) >= limits.DHT_REPLICATION:
            worst = max(bucket.values(), key=lambda entry: (entry.failures, -entry.proven_at))
            if worst.failures == 0:
                return False  # An old peer that answers is worth more than a new one: it will stay longer.
            del bucket[worst.contact.peer]
        bucket[contact.peer] = _Entry(contact, position, now)
        return True

    def failed(self, peer: PeerId) -> None:
        """Note that `peer` could not be reached or did not answer: out after the second time in a row."""
        bucket = self._bucket_of(peer)
        entry = bucket.get(peer)
        if entry is None:
            return
        entry.failures += 1
        if entry.failures >= 2:
            del bucket[peer]

    def closest(self, target: int, count: int) -> tuple[Contact, ...]:
        """Return the `count` peers closest to the position `target`, closest first."""
        entries = (entry for bucket in self._buckets.values() for entry in bucket.values())
        nearest = heapq.nsmallest(count, entries, key=lambda entry: entry.position ^ target)
        return tuple(entry.contact for entry in nearest)

    def known(self, count: int) -> tuple[PeerAddress, ...]:
        """Return addresses that were reached, the latest first, one a peer: what to keep for the next start."""
        entries = [entry for bucket in self._buckets.values() for entry in bucket.values()]
        entries.sort(key=lambda entry: entry.proven_at, reverse=True)
        return tuple(PeerAddress(each.contact.peer, each.contact.addresses[0]) for each in entries[:count])

    def _index(self, position: int) -> int:
        return 256 - (position ^ self._own_position).bit_length()

    def _bucket_of(self, peer: PeerId) -> dict[PeerId, _Entry]:
        return self._buckets.get(self._index(peer_position(peer)), {})

    @staticmethod
    def _count(entries: Iterable[_Entry], network: str) -> int:
        return sum(1 for entry in entries if network_of(entry.contact.addresses[0].ip) == network)
