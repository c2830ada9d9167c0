"""Decide how much of our upload each requester gets, and who has a place when there are not enough.

Nothing is decided where there is enough for all: a weight counts only among those who wait for the same cap, a place
only when all are taken. A provider keeps a tab for each party and manifest: what it gave, and what the party was seen
to give to others of the swarm (`credit` says what counts as seen). The weight of a party is what it gave against what
it took:

    weight = (CREDIT_BYTES + GENEROSITY * shown) / due, within WEIGHT_MIN ..= 1

What was given comes due over DUE_S: sooner nobody can have passed it on and have had that told. So all begin alike, one
who passes on what it gets stays at 1, and one who only takes sinks to WEIGHT_MIN, which is its optimistic share: enough
to begin with for a newcomer, and to keep a connection alive. Nobody is measured by others, so a boast raises one weight
and lowers none; where nobody can give anything all sink alike, and share equally.

A party is all that comes from one address (`party`). A place is a connection that is served. When all are taken a
newcomer gets that of a party that has several, else one that was had for TURN_S: of whoever weighs less than it, or one
of the optimistic places, which are the least deserving part of all and go round by chance. Which places are looked at
is said by who asks: networks come first (`net.giving_way`).

Source: docs/decisions/0062. Lengths are bytes, times seconds of any one clock that does not go back.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Collection, Hashable, Mapping
from hashlib import blake2b
from math import exp

import msgspec

from p2phub import limits
from p2phub.identity import PeerId
from p2phub.transfer.party import Party

CREDIT_BYTES = 256 * limits.KIB  # Little: it is given again to each address that one can have.
GENEROSITY = 2.0  # A crowd is told of late, and not of all: who passes on half of what it takes is no free rider.
WEIGHT_MIN = 1 / 16
LIVES_ON = 1.25 * limits.RATE_MIN  # Bytes/s that a weight leaves in any case, so that nobody is taken for dead.
DUE_S = 2.0  # A chunk is asked for, sent, told of, asked for by another, sent, and thanked for: some rounds of NEWS_S.
FORGOTTEN_S = limits.MEMBER_S  # Who has taken nothing for so long begins anew.
TURN_S = 20.0  # A place is had for so long: whoever takes it can fetch something with it.
OPTIMISTIC = 8  # One in so many places, at least one, goes to whoever comes.


class _Tab:
    """What one party took of one manifest, and the peers that came from there."""

    __slots__ = ("_at", "_given", "_young", "peers")

    def __init__(self) -> None:
        self._given = 0.0
        self._young = 0.0  # Of that, what was not due yet at `_at`.
        self._at = 0.0
        self.peers: dict[PeerId, None] = {}

    def gave(self, count: int, *, now: float) -> None:
        if now - self._at > FORGOTTEN_S:
            self._given = 0.0
        self._young = self._not_due(now) + count
        self._given += count
        self._at = now

    def due(self, *, now: float) -> float:
        return self._given - self._not_due(now)

    def _not_due(self, now: float) -> float:
        return self._young * exp(min(0.0, self._at - now) / DUE_S)


class Place(msgspec.Struct, frozen=True, eq=False):
    """A connection that is served, or wants to be. `since`: when it began."""

    manifest: Hashable
    party: Party
    since: float


class Slots:
    """The tabs and places of one node. `seed`: a secret, so that nobody can tell whose turn it is next."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed[:32]
        self._draws = 0
        self._places: dict[Place, None] = {}
        self._had: Counter[Party] = Counter()  # Of the places; no zeros, so that its length counts parties.
        self._tabs: OrderedDict[tuple[Hashable, Party], _Tab] = OrderedDict()
        self._shown: OrderedDict[tuple[Hashable, PeerId], int] = OrderedDict()

    # --- what happens ---------------------------------------------------------------------------------------------

    def enter(self, manifest: Hashable, party: Party, peer: PeerId, *, now: float) -> Place:
        """A connection of `peer`, who is of `party`, is served."""
        peers = self._tab(manifest, party).peers
        if len(peers) < limits.PEERS_PER_PARTY_MAX:
            peers[peer] = None
        place = Place(manifest, party, now)
        self._places[place] = None
        self._had[party] += 1
        return place

    def leave(self, place: Place) -> None:
        """The connection ended, or is being ended. Any number of times."""
        if place in self._places:
            del self._places[place]
            self._had[place.party] -= 1
            if not self._had[place.party]:
                del self._had[place.party]

    def gave(self, manifest: Hashable, party: Party, count: int, *, now: float) -> None:
        """`count` bytes of `manifest` go to `party`."""
        self._tab(manifest, party).gave(count, now=now)

    def show(self, manifest: Hashable, shown: Mapping[PeerId, int]) -> None:
        """Peers are now known to have given so much of `manifest` to others, in all."""
        for peer, count in shown.items():
            self._shown[manifest, peer] = max(count, self._shown.get((manifest, peer), 0))
            self._shown.move_to_end((manifest, peer))
        while len(self._shown) > limits.TABS_MAX:
            self._shown.popitem(last=False)

    def shown(self) -> list[tuple[Hashable, PeerId, int]]:
        """Return all that was shown, for one who keeps the same tabs elsewhere."""
        return [(manifest, peer, count) for (manifest, peer), count in self._shown.items()]

    # --- what follows ---------------------------------------------------------------------------------------------

    def weight(self, manifest: Hashable, party: Party, *, rate: float | None = None, now: float) -> float:
        """Return the weight of `party`. Under a cap of `rate` none is so low that its connections would not live."""
        tab = self._tabs.get((manifest, party))
        if tab is None:
            return 1.0
        shown = sum(self._shown.get((manifest, peer), 0) for peer in tab.peers)
        weight = (CREDIT_BYTES + GENEROSITY * shown) / max(tab.due(now=now), 1.0)
        least = LIVES_ON * self._had[party] * len(self._had) / rate if rate else 0.0
        return min(1.0, max(weight, WEIGHT_MIN, least))

    def gives_way(self, manifest: Hashable, party: Party, among: Collection[Place], *, now: float) -> Place | None:
        """Return which place of `among` is to be that of a newcomer, now that all are taken; None: it has to wait."""
        most = max((self._had[place.party] for place in among), default=0)
        if most > self._had[party] + 1:
            return max((place for place in among if self._had[place.party] == most), key=_age)
        if self._had[party]:
            return None  # It has its place already.
        weights = {place: self.weight(place.manifest, place.party, now=now) for place in among}
        ranked = sorted(among, key=weights.__getitem__)
        turned = [place for place in ranked if now - place.since >= TURN_S]
        if turned and weights[turned[0]] < self.weight(manifest, party, now=now):
            return turned[0]
        optimistic = frozenset(ranked[: max(1, len(ranked) // OPTIMISTIC)])
        turned = [place for place in turned if place in optimistic]
        return turned[self._draw(len(turned))] if turned else None

    def _draw(self, below: int) -> int:
        self._draws += 1
        drawn = blake2b(self._draws.to_bytes(8, "big"), key=self._seed, digest_size=8).digest()
        return int.from_bytes(drawn, "big") % below

    def _tab(self, manifest: Hashable, party: Party) -> _Tab:
        """Return the tab, remembered as the one that was used last."""
        tab = self._tabs.get((manifest, party))
        if tab is None:
            tab = self._tabs[manifest, party] = _Tab()
            if len(self._tabs) > limits.TABS_MAX:
                self._tabs.popitem(last=False)
        else:
            self._tabs.move_to_end((manifest, party))
        return tab


def _age(place: Place) -> float:
    return place.since
