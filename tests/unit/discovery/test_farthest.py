"""Which key gives way to a nearer one, and what is remembered of keys that are gone."""

from __future__ import annotations

from hashlib import sha256

from p2phub.discovery import ReleaseRecords, peer_position, position
from p2phub.discovery.farthest import GONE_MAX, Farthest
from p2phub.identity import PeerId, SecretKey
from p2phub.manifest import Release, dht_key, sign_release
from tests.support.content import content_of
from tests.support.covers import covers

OWN = PeerId(sha256(b"own").digest())
KEYS = sorted((b"key %d" % number for number in range(40)), key=lambda key: position(key) ^ peer_position(OWN))


def test_the_farthest_gives_way_to_a_nearer_one_alone() -> None:
    kept = dict.fromkeys(KEYS[10:20])
    farthest = Farthest(OWN, kept)
    for key in kept:
        farthest.came(key)
    assert farthest.beyond(KEYS[0]) == farthest.beyond(KEYS[18]) == KEYS[19]
    assert farthest.beyond(KEYS[19]) is farthest.beyond(KEYS[30]) is None
    del kept[KEYS[19]], kept[KEYS[17]]
    assert farthest.beyond(KEYS[0]) == KEYS[18]
    kept.clear()
    assert farthest.beyond(KEYS[0]) is None


def test_it_is_the_farthest_also_after_it_was_made_anew() -> None:
    kept = dict.fromkeys(KEYS[10:20])
    farthest = Farthest(OWN, kept)
    for key in kept:
        farthest.came(key)
    for number in range(3 * GONE_MAX):
        kept[b"%d" % number] = None
        farthest.came(b"%d" % number)
        del kept[b"%d" % number]
    assert len(farthest) <= 2 * (len(kept) + 1) + GONE_MAX
    assert farthest.beyond(KEYS[0]) == KEYS[19]
    del kept[KEYS[19]]
    assert farthest.beyond(KEYS[0]) == KEYS[18]


@covers("T08")
def test_releases_that_run_out_at_once_leave_nothing_behind() -> None:
    """Each put of one left an entry for as long as the node ran: half a gigabyte a day of one asker's questions."""
    key, records = SecretKey(b"k" * 32), ReleaseRecords(OWN)
    manifest = content_of({"a": b"a"}).root
    release = Release(key.peer_id, "x", manifest, 1, 1, created=1_800_000_000, expires=1_800_000_001)
    signed = sign_release(key, release)
    name = dht_key(key.peer_id, "x", "main").encode()
    for _ in range(2 * GONE_MAX):
        assert records.put(name, signed, seen_ip=None, wall_now=1_800_000_000.0, now=0.0)
        assert records.get(name, wall_now=1_800_000_002.0, now=0.0) == b""
    assert len(records) == 0
    assert len(records._farthest) <= GONE_MAX + 2
