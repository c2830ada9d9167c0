"""Candidates of all finders as one stream: none twice, those that have proved themselves first.

Within a rank, peers on the same network come before those far away, and each peer's first address before anybody's
second, so that a peer with sixteen addresses does not hold up the others. Source: proto/discovery.md §7.
"""

from __future__ import annotations

import heapq

from p2phub import limits
from p2phub.discovery.candidate import Candidate
from p2phub.identity import PeerAddress, PeerId

_VIA_ORDER = {"direct": 0, "lan": 1, "dht": 2, "exchange": 3}


class CandidateQueue:
    """What was found for one manifest and is not tried yet. `proven`: peers that served us before."""

    def __init__(self, proven: frozenset[PeerId] = frozenset()) -> None:
        self._proven = set(proven)
        self._seen: set[PeerAddress] = set()
        self._addresses: dict[PeerId, int] = {}
        self._heap: list[tuple[tuple[int, int, int, int], Candidate]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, candidate: Candidate) -> bool:
        """Take `candidate` in unless it was here before or its peer has ADDRESSES_PER_PEER_MAX already. Of neighbours
        there is a bounded number, and they find room whatever else was said."""
        provider = candidate.provider
        tried = self._addresses.get(provider.peer, 0)
        full = tried >= limits.ADDRESSES_PER_PEER_MAX or len(self._seen) >= limits.CANDIDATES_MAX
        if provider in self._seen or (full and candidate.via != "lan"):
            return False
        self._seen.add(provider)
        self._addresses[provider.peer] = tried + 1
        rank = (
            0 if provider.peer in self._proven else 1,
            tried,
            _VIA_ORDER.get(candidate.via, len(_VIA_ORDER)),
            len(self._seen),
        )
        heapq.heappush(self._heap, (rank, candidate))
        return True

    def take(self) -> Candidate | None:
        """Return the best candidate left, or None."""
        return heapq.heappop(self._heap)[1] if self._heap else None
