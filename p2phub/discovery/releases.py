"""Signed releases that a DHT server keeps for others, and what it takes to be kept.

A release is taken only if it is what its key says, strictly signed, not from the future and not expired; of two the
higher sequence stays, and the same bytes put again live on (threats T10 to T12). When all places are taken, the network
that holds most gives way first (T08), else what lies farthest. So a holder can hide or delay a
release, never forge or turn it back. Source: proto/discovery.md §5, proto/release.md. Wall-clock seconds for releases,
steady seconds for how long a record is kept.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from p2phub import limits
from p2phub.content import Digest, digest_of
from p2phub.discovery.farthest import Farthest
from p2phub.discovery.keyspace import network_of
from p2phub.discovery.shares import Shares
from p2phub.errors import Malformed, NotTrusted
from p2phub.identity import PeerId
from p2phub.manifest import check_release, dht_key, read_release


class Judged(msgspec.Struct, frozen=True):
    """A release whose signature, key and dates hold: its signed bytes, and what ranks it."""

    signed: bytes
    sequence: int
    publisher: PeerId
    manifest: Digest


def judge_record(key: bytes, signed: bytes, *, wall_now: float) -> Judged:
    """Return `signed` judged for `key` (the UTF-8 text of a release key).

    Raises Malformed for bytes that break the format or are for another key, NotTrusted for a signature or dates that do
    not hold.
    """
    release = read_release(signed)
    if dht_key(release.publisher, release.name, release.tag).encode() != key:
        raise Malformed("dht-release-key", "the release is not of the name that its key is for")
    check_release(release, now=wall_now)
    return Judged(signed, release.sequence, release.publisher, release.manifest)


def best_first(judged: Iterable[Judged]) -> tuple[Judged, ...]:
    """Return `judged` newest first, none twice; equal sequences in the order of manifest.belief, as everybody would."""

    def rank(each: Judged) -> tuple[int, bytes]:
        return -each.sequence, each.manifest.raw + digest_of(each.signed).raw

    return tuple(sorted(dict.fromkeys(judged), key=rank))


class _Record(msgspec.Struct):
    judged: Judged
    stored_at: float


class ReleaseRecords:
    """The releases that the node `own` keeps for others."""

    def __init__(self, own: PeerId) -> None:
        self._records: dict[bytes, _Record] = {}
        self._count_of: dict[PeerId, int] = {}
        self._farthest = Farthest(own, self._records)
        self._shares: Shares[bytes] = Shares()

    def __len__(self) -> int:
        return len(self._records)

    def put(self, key: bytes, signed: bytes, *, seen_ip: str | None, wall_now: float, now: float) -> bool:
        """Keep `signed` under `key`, from who was seen at `seen_ip` (None: our own). Returns whether it stands now:
        False if a newer one stands already or none fits.

        Raises as `judge_record` does.
        """
        judged = judge_record(key, signed, wall_now=wall_now)
        network = network_of(seen_ip) if seen_ip is not None else None
        standing = self._records.get(key)
        if standing is not None:
            if best_first((standing.judged, judged))[0] != judged:
                return False
            self._records[key] = _Record(judged, now)  # Equal bytes, too: putting them again lets them live on.
            self._shares.came(key, network)
            return True
        if self._count_of.get(judged.publisher, 0) >= limits.RELEASE_RECORDS_PER_PUBLISHER_MAX:
            return False
        if len(self._records) >= limits.RELEASE_RECORDS_MAX and not self._make_place(key, network):
            return False
        self._records[key] = _Record(judged, now)
        self._count_of[judged.publisher] = self._count_of.get(judged.publisher, 0) + 1
        self._farthest.came(key)
        self._shares.came(key, network)
        return True

    def get(self, key: bytes, *, wall_now: float, now: float) -> bytes:
        """Return the signed release kept under `key`, or empty: none, too old, or expired meanwhile."""
        record = self._records.get(key)
        if record is None:
            return b""
        try:
            judge_record(key, record.judged.signed, wall_now=wall_now)
        except (Malformed, NotTrusted):
            self._drop(key)
            return b""
        if now - record.stored_at >= limits.RELEASE_RECORD_S:
            self._drop(key)
            return b""
        return record.judged.signed

    def expire(self, *, now: float) -> None:
        """Forget all records older than RELEASE_RECORD_S. Call now and then."""
        for key, record in list(self._records.items()):
            if now - record.stored_at >= limits.RELEASE_RECORD_S:
                self._drop(key)

    def _make_place(self, newcomer: bytes, network: str | None) -> bool:
        key = self._shares.surplus(network)
        if key is None:
            key = self._farthest.beyond(newcomer)
        if key is None or not self._shares.may_have(network, key):
            return False
        self._drop(key)
        return True

    def _drop(self, key: bytes) -> None:
        self._shares.went(key)
        publisher = self._records.pop(key).judged.publisher
        self._count_of[publisher] -= 1
        if not self._count_of[publisher]:
            del self._count_of[publisher]
