"""Peers of a swarm tell each other of one another: what this node tells, hears, and dares to dial.

One for a node, shared by its control desk and its fetches. Who asks about a manifest is a requester of it, and will
soon have something of it: so a fetch that runs here hears of it at once. Source: proto/transfer.md §6.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import msgspec

from p2phub.content import Digest
from p2phub.discovery import DialBudget, Members, dialable
from p2phub.identity import Address, PeerAddress, PeerId
from p2phub.wire import GetNews

Hear = Callable[[PeerAddress], None]
"""Told of each requester that comes to ask."""


class Told(msgspec.Struct, frozen=True):
    """`teller` knows of `peers`, members of the swarm."""

    teller: PeerId
    peers: tuple[PeerAddress, ...]


class Exchange:
    """The peers that this node has met, by swarm. `seed`: as `Members` has it."""

    def __init__(self, *, seed: bytes) -> None:
        self._members = Members(seed)
        self._listening: defaultdict[Digest, list[Hear]] = defaultdict(list)
        self.port_towards: Callable[[Address], int] = lambda address: 0
        """Returns where this node can be dialled by who is reached at an address; 0: nowhere."""
        self.budget = DialBudget()
        self.changed: Callable[[Digest], None] = lambda manifest: None
        """Told when there is one more to name in a swarm, or one at another address."""

    def meet(self, request: GetNews, asker: PeerId, observed: Address, *, now: float) -> None:
        """Remember `asker`, who may have the manifest and comes from `observed`, if it says that it can be dialled."""
        if request.port:
            # Where it comes from, at the port it names: nobody can name another's address.
            self.saw(request.manifest, PeerAddress(asker, Address(observed.ip, request.port)), now=now)

    def told_to(self, asker: PeerAddress, manifest: Digest, *, now: float, after: int = 0) -> tuple[PeerAddress, ...]:
        """Return whom `asker` may dial, of those that came after the member with number `after`."""
        return self._members.told_to(asker, manifest, now=now, after=after)

    def newest(self, manifest: Digest) -> int:
        """Return the number of the member of the swarm that came last."""
        return self._members.newest(manifest)

    def saw(self, manifest: Digest, member: PeerAddress, *, now: float) -> None:
        """Note that `member` proved its key to us at that address, as a provider or a requester of `manifest`."""
        if self._members.saw(manifest, member, now=now):
            self.changed(manifest)
            for hear in self._listening.get(manifest, ()):
                hear(member)

    @contextmanager
    def listening(self, manifest: Digest, hear: Hear, *, now: float) -> Iterator[None]:
        """Have `hear` told of the members that were seen lately, and of those that are seen meanwhile."""
        for member in self._members.of(manifest, now=now):
            hear(member)
        self._listening[manifest].append(hear)
        try:
            yield
        finally:
            self._listening[manifest].remove(hear)
            if not self._listening[manifest]:
                del self._listening[manifest]


def worth_dialling(peers: Iterable[PeerAddress], *, heard_from: Address) -> tuple[PeerAddress, ...]:
    """Return those of `peers`, named by who is reached at `heard_from`, that we are willing to dial at all."""
    return tuple(
        each
        for each in peers
        if dialable([each.address], heard_from=heard_from.ip)
        and (heard_from.is_loopback or not each.address.is_loopback)
    )
