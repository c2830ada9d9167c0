"""Who was seen in which swarm: what peers of a swarm tell each other of one another.

Only what this node saw itself is told: peers that proved their key to it in the last MEMBER_S, under an address where
they were dialled or from which they came. Which of many are told depends on who asks and on a secret, so that a crowd
does not all know the same few, and nobody can choose to be the one that is told. Source: proto/transfer.md §6.
Times are seconds of one steady clock.
"""

from __future__ import annotations

import ipaddress
from collections import Counter, OrderedDict
from functools import lru_cache
from hashlib import blake2b

import msgspec
from msgspec.structs import replace

from p2phub import limits
from p2phub.content import Digest
from p2phub.discovery.keyspace import network_of
from p2phub.identity import Address, PeerAddress, PeerId

_PRIME = (1 << 61) - 1


class _Seen(msgspec.Struct, frozen=True):
    """A member where it was seen last, and when; its number among all that came, where it was and when it got that;
    its network, who may be told, and what it is ranked by."""

    member: PeerAddress
    at: float
    number: int
    numbered: PeerAddress
    numbered_at: float
    network: str | None
    reach: int
    drawn: int


class _Swarm:
    """Its members, who was seen last the last; and how many have come."""

    __slots__ = ("count", "seen")

    def __init__(self) -> None:
        self.seen: OrderedDict[PeerId, _Seen] = OrderedDict()
        self.count = 0


class Members:
    """The members of every swarm that this node has to do with. `seed`: a secret that others cannot guess."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed[:32]
        self._swarms: OrderedDict[Digest, _Swarm] = OrderedDict()

    def saw(self, manifest: Digest, member: PeerAddress, *, now: float) -> bool:
        """Note a member that proved its key. Returns whether that is news: it was not known yet, or elsewhere.

        Who is at another port or address of its network is news once in MEMBER_MOVES_S at most, for all who wait are
        told of it; until then it is noted, and told to those who come meanwhile.
        """
        swarm = self._swarms.setdefault(manifest, _Swarm())
        self._swarms.move_to_end(manifest)
        while len(self._swarms) > limits.SWARMS_KNOWN_MAX:
            self._swarms.popitem(last=False)
        before, address = swarm.seen.get(member.peer), member.address
        network = network_of(address.ip)
        is_news = before is None or before.numbered != member
        if before is not None and (before.network or before.member.address.ip) == (network or address.ip):
            is_news = is_news and now - before.numbered_at >= limits.MEMBER_MOVES_S
        if before is None or is_news:
            swarm.count += 1
            drawn = self._draw(member.peer)
            swarm.seen[member.peer] = _Seen(member, now, swarm.count, member, now, network, _reach(address), drawn)
        else:
            swarm.seen[member.peer] = replace(before, member=member, at=now)
        swarm.seen.move_to_end(member.peer)
        if is_news:
            _make_room(swarm.seen, network)
        return is_news

    def newest(self, manifest: Digest) -> int:
        """Return the number of the member of a swarm that came last: each swarm numbers them from 1, in the order in
        which they came, and anew who comes from elsewhere; 0 if there was none."""
        swarm = self._swarms.get(manifest)
        return swarm.count if swarm else 0

    def of(self, manifest: Digest, *, now: float) -> tuple[PeerAddress, ...]:
        """Return the members of a swarm that were seen in the last MEMBER_S, the latest last."""
        return tuple(each.member for each in self._seen(manifest, now=now))

    def told_to(self, asker: PeerAddress, manifest: Digest, *, now: float, after: int = 0) -> tuple[PeerAddress, ...]:
        """Return whom to tell `asker` of, who comes from that address: at most PEERS_TOLD_MAX, never itself. Of these
        only those numbered after `after`, of whom it has not been told."""
        # Each newcomer has this looked up for all who wait, so it first looks whether there is anybody to tell of.
        seen = self._seen(manifest, now=now)
        if after > self.newest(manifest):
            after = 0  # The swarm was forgotten meanwhile, and its numbers began again.
        least = _least_reach(asker.address)
        new = [each for each in seen if each.number > after and each.reach >= least and each.member.peer != asker.peer]
        if new and len(seen) > limits.PEERS_TOLD_MAX:
            may = [each for each in seen if each.reach >= least and each.member.peer != asker.peer]
            drawn = self._draw(asker.peer)
            may.sort(key=lambda each: drawn * each.drawn % _PRIME)
            told = {each.number for each in may[: limits.PEERS_TOLD_MAX]}
            new = [each for each in new if each.number in told]
        return tuple(each.member for each in new)

    def _seen(self, manifest: Digest, *, now: float) -> list[_Seen]:
        swarm = self._swarms.get(manifest)
        if swarm is None:
            return []
        while swarm.seen:
            peer, oldest = next(iter(swarm.seen.items()))
            if now - oldest.at < limits.MEMBER_S:
                break  # Those that follow were seen later.
            del swarm.seen[peer]
        return list(swarm.seen.values())

    def _draw(self, peer: PeerId) -> int:
        """Return a number that only this node knows. The product of two, modulo _PRIME, ranks a member for an asker:
        each asker has another order, no member comes first in many, and it costs no hash for each pair."""
        drawn = blake2b(peer.public_key, key=self._seed, digest_size=16).digest()
        return 1 + int.from_bytes(drawn, "big") % (_PRIME - 1)


def _make_room(seen: OrderedDict[PeerId, _Seen], network: str | None) -> None:
    """Let the oldest go, of one network first: many identities there are one attacker's, or one household's."""
    networks = Counter(each.network for each in seen.values())
    if network is not None and networks[network] > limits.MEMBERS_PER_NETWORK_MAX:
        del seen[next(peer for peer, each in seen.items() if each.network == network)]
    elif len(seen) > limits.SWARM_MEMBERS_MAX:
        seen.popitem(last=False)


def _reach(address: Address) -> int:
    """Return where `address` means something: 0 on this machine, 1 in a private network, 2 everywhere."""
    if address.is_public:
        return 2
    return 0 if address.is_loopback else 1


@lru_cache(maxsize=4096)  # Who waits is told again and again, and reading an address is slow.
def _least_reach(asker: Address) -> int:
    """Return how far an address must reach that somebody at `asker` may be told."""
    number = ipaddress.ip_address(asker.ip)
    if number.is_loopback:
        return 0
    return 2 if number.is_global else 1
