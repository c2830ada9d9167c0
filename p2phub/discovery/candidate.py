"""A peer that may have what we want, and how we heard of it."""

from __future__ import annotations

import msgspec

from p2phub.content import Digest
from p2phub.identity import Address, PeerAddress, PeerId


class Candidate(msgspec.Struct, frozen=True):
    """`provider` may hold the manifest: a claim until it has served a chunk. `via`: "lan", "direct", "dht" or
    "exchange" (another peer of the swarm named it). `kin`: it was found to hold this one instead, which has chunks
    of it."""

    provider: PeerAddress
    via: str
    kin: Digest | None = None


class Contact(msgspec.Struct, frozen=True):
    """A peer and where it says it can be reached, best first; at most ADDRESSES_PER_PEER_MAX. No port is 0."""

    peer: PeerId
    addresses: tuple[Address, ...]


class Asked(msgspec.Struct, frozen=True):
    """Who was asked in a search, for the message that nobody had it: text forms of peers, in the order asked."""

    via: str
    answered: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One sentence part, such as `dht: 3 peers answered, 1 could not be reached (12D3…)`."""
        text = f"{self.via}: {len(self.answered)} {'peer' if len(self.answered) == 1 else 'peers'} answered"
        if self.failed:
            text += f", {len(self.failed)} could not be reached ({', '.join(self.failed[:3])})"
        return text
