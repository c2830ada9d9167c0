"""What a DHT server keeps for others: provider lists that cannot be squatted, releases that cannot be turned back."""

from __future__ import annotations

from hashlib import sha256

import pytest

from p2phub import limits
from p2phub.content import digest_of
from p2phub.discovery import (
    Contact,
    HeardProviders,
    Kind,
    ProviderRecords,
    Question,
    ReleaseRecords,
    RoutingTable,
    Server,
    best_first,
    judge_record,
    peer_position,
    position,
    provider_key,
)
from p2phub.errors import Malformed, NotTrusted
from p2phub.identity import Address, PeerId, SecretKey
from p2phub.manifest import Release, dht_key, sign_release
from tests.support.covers import covers

OWN = PeerId(sha256(b"own").digest())
KEY = provider_key(digest_of(b"a manifest"))
WALL = 1_800_000_000.0


def peer(number: int) -> PeerId:
    return PeerId(sha256(b"peer %d" % number).digest())


def contact(number: int, ip: str = "10.0.0.1") -> Contact:
    return Contact(peer(number), (Address(ip, 4717),))


def records() -> ProviderRecords:
    return ProviderRecords(OWN, b"a seed")


def network_ip(number: int) -> str:
    """Return an address in a network of its own."""
    return f"{20 + number // 60000}.{number // 250 % 240}.{number % 250}.1"


# --- providers -------------------------------------------------------------------------------------------------------


def test_a_provider_is_listed_until_its_record_is_too_old() -> None:
    kept = records()
    assert kept.add(KEY, contact(1), seen_ip="10.0.0.1", now=0.0)
    assert kept.get(KEY, now=limits.PROVIDER_RECORD_S - 1) == (contact(1),)
    assert kept.get(KEY, now=limits.PROVIDER_RECORD_S) == ()
    assert len(kept) == 0


def test_announcing_again_renews_the_record_and_its_addresses() -> None:
    kept = records()
    kept.add(KEY, contact(1), seen_ip="10.0.0.1", now=0.0)
    kept.add(KEY, contact(1, "10.0.0.2"), seen_ip="10.0.0.2", now=100.0)
    assert kept.get(KEY, now=limits.PROVIDER_RECORD_S + 50) == (contact(1, "10.0.0.2"),)
    assert len(kept) == 1


def test_those_we_have_reached_come_first_then_the_newest() -> None:
    kept = records()
    for number in range(3):
        kept.add(KEY, contact(number), seen_ip="10.0.0.1", now=float(number))
    kept.proved(peer(0))
    assert [each.peer for each in kept.get(KEY, now=5.0)] == [peer(0), peer(2), peer(1)]


@covers("T07")
def test_one_network_has_two_places_in_a_list() -> None:
    kept = records()
    stored = [kept.add(KEY, contact(number, "8.8.8.8"), seen_ip=f"8.8.8.{number}", now=0.0) for number in range(1, 50)]
    assert sum(stored) == limits.PROVIDER_PER_SUBNET_MAX


@covers("T07")
def test_squatters_from_ten_networks_cannot_fill_a_list() -> None:
    kept = records()
    for number in range(200):
        kept.add(KEY, contact(number), seen_ip=f"8.8.{number % 10}.{number // 10 + 1}", now=0.0)
    assert kept.add(KEY, contact(1000), seen_ip="9.9.9.9", now=0.0)
    assert peer(1000) in {each.peer for each in kept.get(KEY, now=0.0)}


@covers("T07")
def test_in_a_full_list_a_stranger_takes_an_unreached_ones_place_once_a_minute() -> None:
    kept = records()
    for number in range(limits.PROVIDERS_PER_KEY_MAX):
        assert kept.add(KEY, contact(number), seen_ip=network_ip(number), now=0.0)
    for number in range(10):
        kept.proved(peer(number))
    assert kept.add(KEY, contact(1000), seen_ip="9.9.9.9", now=1.0)
    assert not kept.add(KEY, contact(1001), seen_ip="9.9.8.9", now=2.0)
    assert kept.add(KEY, contact(1001), seen_ip="9.9.8.9", now=1.0 + limits.PROVIDER_REPLACE_S)
    listed = {each.peer for each in kept.get(KEY, now=61.0)}
    assert len(listed) == limits.PROVIDERS_PER_KEY_MAX
    assert {peer(number) for number in range(10)} <= listed


@covers("T07")
def test_an_honest_provider_outlives_squatters_who_announce_for_ever() -> None:
    kept = records()
    kept.add(KEY, contact(7), seen_ip="9.9.9.9", now=0.0)
    kept.proved(peer(7))
    present = 0
    for minute in range(600):
        for number in range(3):
            squatter = 10_000 + minute * 3 + number
            kept.add(KEY, contact(squatter), seen_ip=network_ip(squatter), now=minute * 60.0)
        present += peer(7) in {each.peer for each in kept.get(KEY, now=minute * 60.0)}
    assert present == 600


@covers("T08")
def test_one_peer_cannot_fill_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROVIDER_KEYS_PER_PEER_MAX", 5)
    kept = records()
    stored = [kept.add(b"key %d" % number, contact(1), seen_ip="10.0.0.1", now=0.0) for number in range(9)]
    assert stored == [True] * 5 + [False] * 4


@covers("T08")
def test_a_full_store_keeps_the_lists_that_are_close_to_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROVIDER_RECORDS_MAX", 10)
    kept = records()
    for number in range(200):
        kept.add(b"key %d" % number, contact(number), seen_ip="10.0.0.1", now=0.0)
    assert len(kept) == 10
    ranked = sorted(range(200), key=lambda number: position(b"key %d" % number) ^ peer_position(OWN))
    assert all(kept.get(b"key %d" % number, now=0.0) for number in ranked[:10])


def test_what_was_withdrawn_is_not_listed() -> None:
    kept = records()
    kept.add(KEY, contact(1), seen_ip="10.0.0.1", now=0.0)
    kept.remove(KEY, peer(1))
    assert kept.get(KEY, now=0.0) == ()
    assert len(kept) == 0


def test_a_provider_that_names_no_address_is_not_kept() -> None:
    assert not records().add(KEY, Contact(peer(1), ()), seen_ip="10.0.0.1", now=0.0)


@covers("T06")
def test_hearsay_is_remembered_ten_minutes() -> None:
    heard = HeardProviders()
    heard.hear(KEY, [contact(1)], now=0.0)
    assert heard.get(KEY, now=limits.HEARD_PROVIDER_S - 1) == (contact(1),)
    assert heard.get(KEY, now=limits.HEARD_PROVIDER_S) == ()


@covers("T07")
def test_who_filled_what_is_remembered_of_a_key_does_not_keep_it_for_good() -> None:
    heard = HeardProviders()
    heard.hear(KEY, [contact(number) for number in range(limits.PROVIDERS_PER_KEY_MAX)], now=0.0)
    honest = contact(5000)
    heard.hear(KEY, [honest], now=limits.HEARD_PROVIDER_S - 1)
    assert honest not in heard.get(KEY, now=limits.HEARD_PROVIDER_S - 1)
    heard.hear(KEY, [honest], now=limits.HEARD_PROVIDER_S)
    assert heard.get(KEY, now=limits.HEARD_PROVIDER_S) == (honest,)


# --- the server ------------------------------------------------------------------------------------------------------


def server(table: RoutingTable | None = None) -> Server:
    return Server(OWN, table or RoutingTable(OWN), seed=b"a seed")


def announce(by: int, *, about: int | None = None, ip: str = "10.0.0.9", port: int = 4717) -> Question:
    return Question(
        Kind.ADD_PROVIDER, KEY, addresses=(Address(ip, 4717),), port=port, sender=peer(by if about is None else about)
    )


@covers("T05")
def test_nobody_announces_for_somebody_else() -> None:
    answering = server()
    assert answering.answer(announce(1, about=2), peer(1), "10.0.0.1", now=0.0, wall_now=WALL) is None
    assert answering.providers.get(KEY, now=0.0) == ()


def test_a_provider_is_listed_first_at_the_address_it_came_from() -> None:
    answering = server()
    assert answering.answer(announce(1), peer(1), "10.0.0.1", now=0.0, wall_now=WALL) is not None
    reply = answering.answer(Question(Kind.GET_PROVIDERS, KEY), peer(2), "10.0.0.2", now=0.0, wall_now=WALL)
    assert reply is not None
    assert reply.providers == (Contact(peer(1), (Address("10.0.0.1", 4717), Address("10.0.0.9", 4717))),)


@covers("T41")
def test_a_stranger_from_the_internet_can_neither_plant_nor_read_private_addresses() -> None:
    answering = server()
    answering.answer(announce(1, ip="192.168.0.1"), peer(1), "8.8.8.8", now=0.0, wall_now=WALL)
    answering.answer(announce(2, ip="192.168.0.2"), peer(2), "192.168.0.2", now=0.0, wall_now=WALL)
    reply = answering.answer(Question(Kind.GET_PROVIDERS, KEY), peer(3), "9.9.9.9", now=0.0, wall_now=WALL)
    assert reply is not None
    assert sorted(reply.providers, key=lambda each: len(each.addresses)) == [
        Contact(peer(2), ()),
        Contact(peer(1), (Address("8.8.8.8", 4717),)),
    ]


def test_closer_peers_are_proven_ones_without_the_asker() -> None:
    table = RoutingTable(OWN)
    for number in range(5):
        table.proved(contact(number, f"10.0.0.{number}"), now=0.0)
    reply = server(table).answer(Question(Kind.FIND_NODE, KEY), peer(3), "10.0.0.3", now=0.0, wall_now=WALL)
    assert reply is not None
    assert {each.peer for each in reply.closer} == {peer(0), peer(1), peer(2), peer(4)}


@covers("T08")
@pytest.mark.parametrize("full", ["PROVIDER_KEYS_MAX", "PROVIDER_RECORDS_MAX"])
def test_one_network_washes_out_no_others_records_however_near_its_keys_lie(
    full: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without: ten identities at one address, with keys that lie near, had all places for themselves."""
    monkeypatch.setattr(limits, full, 8)
    records = ProviderRecords(OWN, b"seed")
    keys = sorted((b"key %d" % number for number in range(40)), key=distance)
    honest, attacks = keys[-3:], keys[:-3]

    def add(key: bytes, number: int, ip: str) -> bool:
        return records.add(key, contact(number, ip), seen_ip=ip, now=0.0)

    assert add(honest[0], 1, "9.9.9.1")
    assert add(honest[1], 2, "10.0.0.1")
    for number, key in enumerate(reversed(attacks)):
        add(key, 100 + number, "8.8.8.1")
    assert add(honest[2], 3, "7.7.7.1"), "the last comes when all is full"
    for number, key in enumerate(reversed(attacks)):
        add(key, 200 + number, "8.8.8.2")
    assert all(records.get(key, now=0.0) for key in honest)


@covers("T08")
def test_who_takes_the_place_of_the_last_record_of_its_key_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROVIDER_RECORDS_MAX", 2)
    records = ProviderRecords(OWN, b"seed")
    for number, key in enumerate((b"one", b"two")):
        assert records.add(key, contact(number, "8.8.8.1"), seen_ip="8.8.8.1", now=0.0)
    assert records.add(b"one", contact(9, "9.9.9.1"), seen_ip="9.9.9.1", now=0.0)
    assert [each.peer for each in records.get(b"one", now=0.0)] == [peer(9)]
    assert len(records) == 2


@covers("T08")
def test_a_peer_that_asks_too_much_gets_no_answer_until_it_has_waited() -> None:
    answering = server()

    def ask(now: float) -> bool:
        return answering.answer(Question(Kind.PING), peer(1), "10.0.0.1", now=now, wall_now=WALL) is not None

    assert sum(ask(0.0) for _ in range(1000)) == limits.DHT_QUESTIONS_BURST
    assert answering.answer(Question(Kind.PING), peer(2), "10.0.0.1", now=0.0, wall_now=WALL) is not None
    assert ask(1.0)


@covers("T08", "T49")
def test_announcements_of_one_peer_are_paced() -> None:
    answering = server()
    stored = 0
    for number in range(50):
        question = Question(Kind.ADD_PROVIDER, b"key %d" % number, port=4717, sender=peer(1))
        stored += answering.answer(question, peer(1), "10.0.0.1", now=0.0, wall_now=WALL) is not None
    assert limits.ANNOUNCE_BURST <= stored < 15


# --- releases --------------------------------------------------------------------------------------------------------

ALICE = SecretKey(sha256(b"alice").digest())


def release(*, sequence: int = 1, name: str = "minilm", text: str = "", created: float = WALL, days: int = 10) -> bytes:
    return sign_release(
        ALICE,
        Release(
            publisher=ALICE.peer_id,
            name=name,
            manifest=digest_of(b"a manifest"),
            sequence=sequence,
            bytes_total=1,
            created=int(created),
            expires=int(created) + days * 86_400,
            description=text,
        ),
    )


RELEASE_KEY = dht_key(ALICE.peer_id, "minilm", "main").encode()


def put(kept: ReleaseRecords, signed: bytes, *, now: float = 0.0, wall: float = WALL) -> bool:
    return kept.put(RELEASE_KEY, signed, seen_ip=None, wall_now=wall, now=now)


@covers("T11")
def test_the_higher_sequence_stays_whatever_comes_later() -> None:
    kept = ReleaseRecords(OWN)
    assert put(kept, release(sequence=2))
    assert not put(kept, release(sequence=1))
    assert put(kept, release(sequence=3))
    assert kept.get(RELEASE_KEY, wall_now=WALL, now=0.0) == release(sequence=3)


def test_putting_equal_bytes_again_lets_them_live_on() -> None:
    kept = ReleaseRecords(OWN)
    put(kept, release(), now=0.0)
    assert put(kept, release(), now=100.0)
    assert kept.get(RELEASE_KEY, wall_now=WALL, now=limits.RELEASE_RECORD_S + 50) == release()
    assert kept.get(RELEASE_KEY, wall_now=WALL, now=limits.RELEASE_RECORD_S + 100) == b""


@covers("T11")
def test_of_two_releases_with_one_sequence_everybody_keeps_the_same() -> None:
    first, second = release(text="one"), release(text="two")
    kept, other = ReleaseRecords(OWN), ReleaseRecords(OWN)
    for signed in (first, second):
        put(kept, signed)
    for signed in (second, first):
        put(other, signed)
    assert kept.get(RELEASE_KEY, wall_now=WALL, now=0.0) == other.get(RELEASE_KEY, wall_now=WALL, now=0.0)


@covers("T10", "T16")
def test_a_release_under_another_names_key_is_refused() -> None:
    with pytest.raises(Malformed, match="dht-release-key"):
        put(ReleaseRecords(OWN), release(name="other"))


@covers("T10")
def test_a_release_that_was_changed_is_refused() -> None:
    signed = bytearray(release())
    signed[-1] ^= 1
    with pytest.raises((NotTrusted, Malformed)):
        put(ReleaseRecords(OWN), bytes(signed))


@covers("T12", "T13")
@pytest.mark.parametrize(
    "signed",
    [
        release(created=WALL + 3600),
        release(created=WALL - 20 * 86_400),
        release(sequence=int(WALL * 1000) + limits.SEQUENCE_AHEAD_MS + 1),
    ],
    ids=["from the future", "expired", "far ahead in number"],
)
def test_a_release_whose_times_do_not_hold_is_refused(signed: bytes) -> None:
    with pytest.raises(NotTrusted):
        put(ReleaseRecords(OWN), signed)


@covers("T12")
def test_a_release_that_expired_meanwhile_is_not_served() -> None:
    kept = ReleaseRecords(OWN)
    put(kept, release(days=1))
    assert kept.get(RELEASE_KEY, wall_now=WALL + 86_401, now=10.0) == b""
    assert len(kept) == 0


@covers("T08")
def test_one_publisher_cannot_fill_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RELEASE_RECORDS_PER_PUBLISHER_MAX", 3)
    kept = ReleaseRecords(OWN)
    stored = []
    for number in range(5):
        name = f"name-{number}"
        key = dht_key(ALICE.peer_id, name, "main").encode()
        stored.append(kept.put(key, release(name=name), seen_ip=None, wall_now=WALL, now=0.0))
    assert stored == [True] * 3 + [False] * 2


def key_of(name: str) -> bytes:
    return dht_key(ALICE.peer_id, name, "main").encode()


@covers("T08")
def test_one_network_washes_out_no_others_releases_however_near_its_own_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without: whoever chose names that lie near, of as many keys as it liked, had all places for itself in minutes."""
    monkeypatch.setattr(limits, "RELEASE_RECORDS_MAX", 8)
    kept = ReleaseRecords(OWN)
    names = sorted((f"name-{number}" for number in range(40)), key=lambda each: distance(key_of(each)))
    honest, attacks = names[-3:], names[:-3]

    def put_one(name: str, ip: str | None) -> bool:
        return kept.put(key_of(name), release(name=name), seen_ip=ip, wall_now=WALL, now=0.0)

    assert put_one(honest[0], "9.9.9.1")
    assert put_one(honest[1], None)
    for name in reversed(attacks):
        put_one(name, "8.8.8.1")
        put_one(honest[0], "8.8.8.1")
        put_one(honest[1], "8.8.8.1")  # Says what is another's, so that it counts as its own.
    assert put_one(honest[2], "7.7.7.1"), "the last comes when all is full"
    for name in reversed(attacks):
        put_one(name, "8.8.8.2")
    assert len(kept) == 8
    for name in honest:
        assert kept.get(key_of(name), wall_now=WALL, now=0.0)


def distance(key: bytes) -> int:
    return position(key) ^ peer_position(OWN)


def test_newest_first_and_none_twice() -> None:
    judged = [judge_record(RELEASE_KEY, release(sequence=n), wall_now=WALL) for n in (1, 3, 2, 3)]
    assert [each.sequence for each in best_first(judged)] == [3, 2, 1]
