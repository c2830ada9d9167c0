"""When each manifest is to be announced again.

Records live 48 hours with those who hold them and are renewed every ANNOUNCE_S by our own timer. An announcement that
nobody kept is tried again after ANNOUNCE_RETRY_S, then ever later. Each interval is shortened by up to a tenth, by a
seed, so that what was published together is not announced together for ever.

`now` may be any clock in seconds. If it jumps back, what was due in ten minutes is still due in ten minutes; if it
jumps ahead, everything is announced once more: harmless both.
Source: proto/discovery.md §6.
"""

from __future__ import annotations

from hashlib import sha256

import msgspec

from p2phub import limits
from p2phub.content import Digest

_JITTER = 0.1


class _Due(msgspec.Struct):
    at: float
    failures: int = 0
    round: int = 0
    under_way: bool = False


class AnnounceSchedule:
    """The manifests that this node provides, and when each is due. `seed`: any bytes, of this node alone."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._due: dict[Digest, _Due] = {}
        self._latest = float("-inf")

    def __len__(self) -> int:
        return len(self._due)

    def manifests(self) -> frozenset[Digest]:
        """Return what is announced, due or not."""
        return frozenset(self._due)

    def add(self, manifest: Digest, *, now: float) -> None:
        """Announce `manifest` from now on, at once; one that is here already keeps its time."""
        self._watch_clock(now)
        self._due.setdefault(manifest, _Due(now))

    def remove(self, manifest: Digest) -> None:
        """Announce `manifest` no longer; what others hold ends by itself."""
        self._due.pop(manifest, None)

    def take_due(self, *, now: float) -> Digest | None:
        """Return the manifest to announce now, the longest due, if any is; report it by `announced`."""
        self._watch_clock(now)
        waiting = [(due.at, manifest) for manifest, due in self._due.items() if due.at <= now and not due.under_way]
        if not waiting:
            return None
        _, chosen = min(waiting)
        self._due[chosen].under_way = True
        return chosen

    def announced(self, manifest: Digest, holders: int, *, now: float) -> None:
        """Note that `holders` peers keep the record now; with none it is tried again soon."""
        self._watch_clock(now)
        due = self._due.get(manifest)
        if due is None:
            return
        due.under_way = False
        due.round += 1
        if holders > 0:
            due.failures = 0
            wait = limits.ANNOUNCE_S
        else:
            wait = min(limits.ANNOUNCE_RETRY_S * 2.0 ** min(due.failures, 16), limits.ANNOUNCE_S)
            due.failures += 1
        due.at = now + wait * (1 - _JITTER * self._chance(manifest, due.round))

    def hurry(self, *, now: float) -> None:
        """Make everything that failed last time due at once: the network has come back."""
        self._watch_clock(now)
        for due in self._due.values():
            if due.failures:
                due.at = min(due.at, now)

    def next_due(self) -> float | None:
        """Return when `take_due` will next have something, or None if there is nothing to wait for."""
        return min((due.at for due in self._due.values() if not due.under_way), default=None)

    def _watch_clock(self, now: float) -> None:
        if now < self._latest:
            back = self._latest - now
            for due in self._due.values():
                due.at -= back
        self._latest = now

    def _chance(self, manifest: Digest, count: int) -> float:
        drawn = sha256(self._seed + manifest.raw + count.to_bytes(8, "big")).digest()
        return int.from_bytes(drawn[:8], "big") / 2**64
