"""Which peers say that they hold what: the records a DHT server keeps for others.

A record is about who sent it, never about a third party (threat T05): identity comes from the connection. A list has
PROVIDERS_PER_KEY_MAX places, two for one network. When it is full a stranger may take one place a minute, chosen by a
secret seed among those that were never reached, so that squatters who announce for ever neither keep honest providers
out nor wash them away (threat T07). Over all keys the network that holds most gives way first (T08). What others told
us in answers is kept apart in `HeardProviders`, for our own next search alone: serving hearsay would let one lie spread
and live for ever (threat T06).
Source: proto/discovery.md §5. Times are seconds of one steady clock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from hashlib import sha256

import msgspec

from p2phub import limits
from p2phub.discovery.candidate import Contact
from p2phub.discovery.farthest import Farthest
from p2phub.discovery.keyspace import network_of
from p2phub.discovery.shares import Shares
from p2phub.identity import PeerId

_GIVEN_UP_AT_ONCE = 16  # Records, for one key to be gone: others may have it, too.


class _Record(msgspec.Struct):
    contact: Contact
    stored_at: float
    network: str | None


class _List(msgspec.Struct):
    records: dict[PeerId, _Record]
    replaced_at: float = float("-inf")


class ProviderRecords:
    """The provider lists of the node `own`. `seed`: secret bytes, so that nobody can foresee which record gives way."""

    def __init__(self, own: PeerId, seed: bytes) -> None:
        self._seed = seed
        self._lists: dict[bytes, _List] = {}
        self._farthest = Farthest(own, self._lists)
        self._keys_of: dict[PeerId, int] = {}
        self._proven: OrderedDict[PeerId, None] = OrderedDict()
        self._shares: Shares[tuple[bytes, PeerId]] = Shares()

    def __len__(self) -> int:
        return len(self._shares)

    def add(self, key: bytes, contact: Contact, *, seen_ip: str, now: float) -> bool:
        """Store that `contact` provides `key`; it was seen at `seen_ip`. Returns whether the record stands now."""
        if not contact.addresses:
            return False
        contact = Contact(contact.peer, contact.addresses[: limits.PROVIDER_ADDRESSES_MAX])
        listed = self._lists.get(key)
        if listed is not None:
            self._forget_old(key, listed, now)
            listed = self._lists.get(key)
        if listed is not None and contact.peer in listed.records:
            listed.records[contact.peer] = _Record(contact, now, network_of(seen_ip))
            self._shares.came((key, contact.peer), network_of(seen_ip))
            return True
        if self._keys_of.get(contact.peer, 0) >= limits.PROVIDER_KEYS_PER_PEER_MAX:
            return False
        if listed is None:
            listed = _List({})
        network = network_of(seen_ip)
        if network is not None:
            neighbours = sum(1 for each in listed.records.values() if each.network == network)
            if neighbours >= limits.PROVIDER_PER_SUBNET_MAX:
                return False
        if len(listed.records) >= limits.PROVIDERS_PER_KEY_MAX and not self._make_place(key, listed, contact, now):
            return False
        if key not in self._lists:
            if len(self._lists) >= limits.PROVIDER_KEYS_MAX and not self._make_room(key, network, key_goes=True):
                return False
            self._lists[key] = listed
            self._farthest.came(key)
        if len(self) >= limits.PROVIDER_RECORDS_MAX and not self._make_room(key, network, key_goes=False):
            if not listed.records:
                del self._lists[key]
            return False
        if key not in self._lists:  # Its last record made room.
            self._lists[key] = listed
            self._farthest.came(key)
        listed.records[contact.peer] = _Record(contact, now, network)
        self._shares.came((key, contact.peer), network)
        self._keys_of[contact.peer] = self._keys_of.get(contact.peer, 0) + 1
        return True

    def get(self, key: bytes, *, now: float) -> tuple[Contact, ...]:
        """Return the providers of `key` that announced themselves lately: those we have reached first, then newest."""
        listed = self._lists.get(key)
        if listed is None:
            return ()
        self._forget_old(key, listed, now)
        records = sorted(
            listed.records.values(), key=lambda each: (each.contact.peer not in self._proven, -each.stored_at)
        )
        return tuple(each.contact for each in records)

    def proved(self, peer: PeerId) -> None:
        """Note that we reached `peer` at an address of its own: its records do not give way to strangers."""
        self._proven[peer] = None
        self._proven.move_to_end(peer)
        if len(self._proven) > limits.PROVIDER_KEYS_MAX:
            self._proven.popitem(last=False)

    def remove(self, key: bytes, peer: PeerId) -> None:
        """Forget that `peer` provides `key`."""
        listed = self._lists.get(key)
        if listed is not None and peer in listed.records:
            self._drop(key, listed, peer)

    def expire(self, *, now: float) -> None:
        """Forget all records older than PROVIDER_RECORD_S. Call now and then."""
        for key, listed in list(self._lists.items()):
            self._forget_old(key, listed, now)

    def _make_place(self, key: bytes, listed: _List, newcomer: Contact, now: float) -> bool:
        if now - listed.replaced_at < limits.PROVIDER_REPLACE_S:
            return False
        unproven = [peer for peer in listed.records if peer not in self._proven]
        # If all were reached they all give way alike: an attacker with many real peers must not own the list either.
        losers = unproven or list(listed.records)
        salt = self._seed + key + newcomer.peer.raw
        loser = min(losers, key=lambda peer: sha256(salt + peer.raw).digest())
        self._drop(key, listed, loser)
        self._lists[key] = listed
        listed.replaced_at = now
        return True

    def _make_room(self, newcomer: bytes, network: str | None, *, key_goes: bool) -> bool:
        """Give up what the network that holds most announced first, else the list farthest from us, if that is not the
        newcomer's own and nobody's whose network holds less. `key_goes`: until a whole list is gone."""
        for _ in range(_GIVEN_UP_AT_ONCE):
            record = self._shares.surplus(network)
            if record is None:
                break
            key, peer = record
            self._drop(key, self._lists[key], peer)
            if not key_goes or key not in self._lists:
                return True
        far = self._farthest.beyond(newcomer)
        if far is None:
            return False
        listed = self._lists[far]
        if not all(self._shares.may_have(network, (far, peer)) for peer in listed.records):
            return False
        for peer in list(listed.records):
            self._drop(far, listed, peer)
        return True

    def _forget_old(self, key: bytes, listed: _List, now: float) -> None:
        for peer, record in list(listed.records.items()):
            if now - record.stored_at >= limits.PROVIDER_RECORD_S:
                self._drop(key, listed, peer)

    def _drop(self, key: bytes, listed: _List, peer: PeerId) -> None:
        del listed.records[peer]
        self._shares.went((key, peer))
        self._keys_of[peer] -= 1
        if not self._keys_of[peer]:
            del self._keys_of[peer]
        if not listed.records:
            self._lists.pop(key, None)


class HeardProviders:
    """What answers to our own searches named, for HEARD_PROVIDER_S; never told to anybody else."""

    _KEYS_MAX = 256

    def __init__(self) -> None:
        self._heard: OrderedDict[bytes, dict[PeerId, tuple[Contact, float]]] = OrderedDict()

    def hear(self, key: bytes, contacts: Iterable[Contact], *, now: float) -> None:
        """Remember that somebody named `contacts` as providers of `key`."""
        # What is too old makes room: who answered first once could otherwise take all places for good.
        heard = self._heard.get(key, {})
        listed = {peer: each for peer, each in heard.items() if now - each[1] < limits.HEARD_PROVIDER_S}
        self._heard[key] = listed
        self._heard.move_to_end(key)
        for contact in contacts:
            if contact.peer in listed or len(listed) < limits.PROVIDERS_PER_KEY_MAX:
                listed[contact.peer] = (contact, now)
        if len(self._heard) > self._KEYS_MAX:
            self._heard.popitem(last=False)

    def get(self, key: bytes, *, now: float) -> tuple[Contact, ...]:
        """Return what was heard of `key` in the last HEARD_PROVIDER_S, newest first."""
        fresh = [
            (at, contact) for contact, at in self._heard.get(key, {}).values() if now - at < limits.HEARD_PROVIDER_S
        ]
        fresh.sort(key=lambda each: each[0], reverse=True)
        return tuple(contact for _, contact in fresh)
