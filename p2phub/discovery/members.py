"""Who was seen in which swarm: what peers of a swarm tell each other of one another.

Only what this node saw itself is told: peers that proved their key to it in the last MEMBER_S, under an address where
they were dialled or from which they came. Which of many are told depends on who asks and on a secret, so that a crowd
does not all know the same few, and nobody can choose to be the one that is told. Source: proto/transfer.md §6.
Times are seconds of one steady clock.
"""

from __future__ import annotations

import ipaddress
from collections import Counter, OrderedDict
from hashlib import blake2b
from typing import NamedTuple

from p2phub import limits
from p2phub.content import Digest
from p2phub.discovery.keyspace import network_of
from p2phub.identity import Address, PeerAddress, PeerId


class _Seen(NamedTuple):
    """Where a member was seen last, and when; and its number among all that came."""

    address: Address
    at: float
    number: int


class Members:
    """The members of every swarm that this node has to do with. `seed`: a secret that others cannot guess."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed[:32]
        self._swarms: OrderedDict[Digest, OrderedDict[PeerId, _Seen]] = OrderedDict()
        self._count = 0  # Of members that came, in all swarms.

    def saw(self, manifest: Digest, member: PeerAddress, *, now: float) -> bool:
        """Note a member that proved its key. Returns whether it was not known yet."""
        swarm = self._swarms.setdefault(manifest, OrderedDict())
        self._swarms.move_to_end(manifest)
        while len(self._swarms) > limits.SWARMS_KNOWN_MAX:
            self._swarms.popitem(last=False)
        before = swarm.get(member.peer)
        self._count += before is None
        number = self._count if before is None else before.number
        swarm[member.peer] = _Seen(member.address, now, number)
        swarm.move_to_end(member.peer)
        if before is None:
            self._make_room(swarm, network_of(member.address.ip))
        return before is None

    def newest(self, manifest: Digest) -> int:
        """Return the number of the member of a swarm that came last: they are numbered from 1, in the order in which
        they came; 0 if there is none."""
        swarm = self._swarms.get(manifest)
        return max((seen.number for seen in swarm.values()), default=0) if swarm else 0

    def of(self, manifest: Digest, *, now: float) -> tuple[PeerAddress, ...]:
        """Return the members of a swarm that were seen in the last MEMBER_S, the latest last."""
        swarm = self._swarms.get(manifest)
        if swarm is None:
            return ()
        for peer, seen in list(swarm.items()):
            if now - seen.at < limits.MEMBER_S:
                break  # Those that follow were seen later.
            del swarm[peer]
        return tuple(PeerAddress(peer, seen.address) for peer, seen in swarm.items())

    def told_to(self, asker: PeerAddress, manifest: Digest, *, now: float, after: int = 0) -> tuple[PeerAddress, ...]:
        """Return whom to tell `asker` of, who comes from that address: at most PEERS_TOLD_MAX, never itself. Of these
        only those numbered after `after`, of whom it has not been told."""
        may = [
            member
            for member in self.of(manifest, now=now)
            if member.peer != asker.peer and may_tell(member.address, to=asker.address)
        ]
        may.sort(key=lambda member: self._rank(asker.peer, member.peer))
        told = may[: limits.PEERS_TOLD_MAX]
        return tuple(member for member in told if self._swarms[manifest][member.peer].number > after)

    def _rank(self, asker: PeerId, member: PeerId) -> bytes:
        return blake2b(asker.public_key + member.public_key, key=self._seed, digest_size=16).digest()

    def _make_room(self, swarm: OrderedDict[PeerId, _Seen], network: str | None) -> None:
        """Let the oldest go, of one network first: many identities there are one attacker's, or one household's."""
        networks = Counter(network_of(seen.address.ip) for seen in swarm.values())
        if network is not None and networks[network] > limits.MEMBERS_PER_NETWORK_MAX:
            del swarm[next(peer for peer, seen in swarm.items() if network_of(seen.address.ip) == network)]
        elif len(swarm) > limits.SWARM_MEMBERS_MAX:
            swarm.popitem(last=False)


def may_tell(address: Address, *, to: Address) -> bool:
    """Whether somebody at `to` may be told of `address`: not beyond the machine or the private network that it means
    something in."""
    if address.is_public:
        return True
    asker = ipaddress.ip_address(to.ip)
    if asker.is_loopback:
        return True
    return not address.is_loopback and not asker.is_global
