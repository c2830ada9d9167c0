"""Which of the keys that a node keeps records for lies farthest from it, and so gives way to a nearer one. Pure.

A heap, whose entries stay behind when their key goes: keys come and go for ever, and who may put records decides how
fast (a release that runs out within a second can be put again and again). So it is made anew of what is kept whenever
most of it is of keys that are gone, which costs each key that came a bounded share.
Source: proto/discovery.md §5.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection

from p2phub.discovery.keyspace import peer_position, position
from p2phub.identity import PeerId

GONE_MAX = 1024  # Entries of keys that are gone, beside as many as are kept.


class Farthest:
    """The keys in `kept`, which the owner changes, by distance from `own`."""

    def __init__(self, own: PeerId, kept: Collection[bytes]) -> None:
        self._own_position = peer_position(own)
        self._kept = kept
        self._heap: list[tuple[int, bytes]] = []  # (-distance, key)

    def __len__(self) -> int:
        """Return how many entries there are, of keys that are gone, too."""
        return len(self._heap)

    def came(self, key: bytes) -> None:
        """Note that `key`, which was not kept before, is among those that are by now."""
        heapq.heappush(self._heap, (-self._distance(key), key))
        if len(self._heap) > 2 * len(self._kept) + GONE_MAX:
            self._heap = [(-self._distance(each), each) for each in self._kept]
            heapq.heapify(self._heap)

    def beyond(self, newcomer: bytes) -> bytes | None:
        """Return the key that lies farthest, if that is farther than `newcomer` lies, else None."""
        while self._heap:
            distance, key = self._heap[0]
            if key in self._kept:
                return key if -distance > self._distance(newcomer) else None
            heapq.heappop(self._heap)
        return None

    def _distance(self, key: bytes) -> int:
        return position(key) ^ self._own_position
