"""What a node believes of who gave what to whom in a swarm: the part of `slots` that strangers have a say in.

Two things count as shown. What a peer gave *us* was checked by its digest and cannot be forged. What others say that
they were given is hearsay (`got` of proto/transfer.md §6), taken under these rules:
  - nobody speaks for itself, nor does any other peer of its party;
  - nobody speaks of a peer that has not come to us itself, from an address of its own; of the peers of one party the
    latest MEMBERS_PER_NETWORK_MAX are known, so that its keys make nobody else forgotten;
  - what one party says of all others together is never more than the content has bytes, since it needs each once;
  - totals only grow, so that what is said twice counts once.
Nobody can be slandered: a word only ever adds. Two addresses that vouch for each other get what an honest pair gets,
an equal share, and no more: that is the price of an address. Source: docs/decisions/0062.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import TypeVar

from p2phub import limits
from p2phub.content import Digest
from p2phub.identity import PeerId
from p2phub.transfer.party import Party


class _Swarm:
    """What is known of one manifest's requesters. Each dict forgets whom it heard of longest ago."""

    def __init__(self) -> None:
        self.parties: OrderedDict[PeerId, Party] = OrderedDict()
        self.gave_us: OrderedDict[PeerId, int] = OrderedDict()
        self.gave_others: OrderedDict[PeerId, int] = OrderedDict()
        self.said: OrderedDict[Party, dict[PeerId, int]] = OrderedDict()

    def came(self, peer: PeerId, party: Party) -> None:
        """`peer` came from `party`, of which only the latest few are known: keys cost nothing, so those of one address
        must not make all others forgotten."""
        _note(self.parties, peer, party)
        of_party = [each for each, its in self.parties.items() if its == party]
        if len(of_party) > limits.MEMBERS_PER_NETWORK_MAX:
            del self.parties[of_party[0]]

    def shown(self, peer: PeerId) -> int:
        return self.gave_us.get(peer, 0) + self.gave_others.get(peer, 0)


class Credit:
    """The swarms that this node has to do with."""

    def __init__(self) -> None:
        self._swarms: OrderedDict[Digest, _Swarm] = OrderedDict()

    def gave_us(self, manifest: Digest, totals: Mapping[PeerId, int]) -> dict[PeerId, int]:
        """Peers gave us so many verified bytes in all. Returns what is shown now of those of whom that is news."""
        swarm = self._swarm(manifest)
        news = {peer for peer, total in totals.items() if total > swarm.gave_us.get(peer, 0)}
        for peer in news:
            _note(swarm.gave_us, peer, totals[peer])
        return {peer: swarm.shown(peer) for peer in news}

    def told(
        self, manifest: Digest, teller: PeerId, party: Party, got: Mapping[PeerId, int], *, bytes_total: int
    ) -> dict[PeerId, int]:
        """`teller` came from `party` and says what it got in all, of a content of `bytes_total`; of nobody, if it only
        asks. Returns what is shown now of those of whom that is news."""
        swarm = self._swarm(manifest)
        swarm.came(teller, party)
        said = swarm.said.get(party, {})
        _note(swarm.said, party, said)
        left = bytes_total - sum(said.values())
        news: list[PeerId] = []
        for peer, total in got.items():
            where = swarm.parties.get(peer)
            more = min(total - said.get(peer, 0), left)
            if where is None or where == party or more <= 0:
                continue
            if peer not in said and len(said) == limits.SWARM_MEMBERS_MAX:
                continue
            said[peer] = said.get(peer, 0) + more
            left -= more
            _note(swarm.gave_others, peer, swarm.gave_others.get(peer, 0) + more)
            news.append(peer)
        return {peer: swarm.shown(peer) for peer in news}

    def _swarm(self, manifest: Digest) -> _Swarm:
        swarm = self._swarms.get(manifest) or _Swarm()
        _note(self._swarms, manifest, swarm, limits.SWARMS_KNOWN_MAX)
        return swarm


K = TypeVar("K")
V = TypeVar("V")


def _note(known: OrderedDict[K, V], key: K, value: V, most: int = limits.SWARM_MEMBERS_MAX) -> None:
    """Remember `value` as the newest."""
    known[key] = value
    known.move_to_end(key)
    if len(known) > most:
        known.popitem(last=False)
