"""The table of proven peers, and the search for those closest to a key."""

from __future__ import annotations

from hashlib import sha256
from random import Random

from p2phub import limits
from p2phub.discovery import Contact, Lookup, RoutingTable, peer_position, position
from p2phub.identity import Address, PeerId
from tests.support.covers import covers

OWN = PeerId(sha256(b"own").digest())


def peer(number: int) -> PeerId:
    return PeerId(sha256(b"peer %d" % number).digest())


def contact(number: int, ip: str | None = None) -> Contact:
    return Contact(peer(number), (Address(ip or f"10.0.{number >> 8}.{number & 255}", 4717),))


def test_closest_are_the_closest_of_all_that_were_proved() -> None:
    table = RoutingTable(OWN)
    numbers = [number for number in range(60) if table.proved(contact(number), now=0.0)]
    target = position(b"a key")
    wanted = sorted(numbers, key=lambda number: peer_position(peer(number)) ^ target)[:20]
    assert table.closest(target, 20) == tuple(contact(number) for number in wanted)


def test_we_ourselves_are_never_in_the_table() -> None:
    table = RoutingTable(OWN)
    assert not table.proved(Contact(OWN, (Address("10.0.0.1", 4717),)), now=0.0)


@covers("T03")
def test_one_network_fills_two_places_of_a_bucket_and_three_of_the_table() -> None:
    table = RoutingTable(OWN)
    taken = sum(table.proved(contact(number, f"8.8.8.{number % 250 + 1}"), now=0.0) for number in range(1000))
    assert taken == 3


def test_an_old_peer_that_answers_stays_and_one_that_failed_gives_way() -> None:
    table = RoutingTable(OWN)
    half = [number for number in range(200) if peer_position(peer(number)) >> 255 != peer_position(OWN) >> 255]
    filled, late = half[: limits.DHT_REPLICATION], half[limits.DHT_REPLICATION]
    assert all(table.proved(contact(number), now=float(number)) for number in filled)
    assert not table.proved(contact(late), now=1000.0)
    table.failed(peer(filled[3]))
    assert table.proved(contact(late), now=1000.0)
    assert peer(filled[3]) not in table


def test_a_peer_that_fails_twice_in_a_row_is_out_and_one_that_answers_between_is_not() -> None:
    table = RoutingTable(OWN)
    table.proved(contact(1), now=0.0)
    table.failed(peer(1))
    table.proved(contact(1), now=1.0)
    table.failed(peer(1))
    assert peer(1) in table
    table.failed(peer(1))
    assert peer(1) not in table


def test_what_is_kept_for_the_next_start_is_the_latest_proved_address_of_each() -> None:
    table = RoutingTable(OWN)
    for number in range(3):
        table.proved(contact(number), now=float(number))
    table.proved(Contact(peer(0), (Address("10.9.9.9", 1),)), now=9.0)
    assert [str(each.address) for each in table.known(2)] == ["/ip4/10.9.9.9/tcp/1", "/ip4/10.0.0.2/tcp/4717"]


def search(lookup: Lookup, network: dict[PeerId, list[int]], *, dead: frozenset[PeerId] = frozenset()) -> list[PeerId]:
    """Answer a lookup's questions from `network`: which peers each one names. Returns who was asked."""
    asked: list[PeerId] = []
    while not lookup.done:
        for each in lookup.next_to_ask():
            asked.append(each.peer)
            if each.peer in dead:
                lookup.failed(each.peer)
            else:
                lookup.answered(each.peer, [contact(number) for number in network.get(each.peer, [])])
    return asked


def test_a_lookup_reaches_the_closest_by_asking_ever_closer_ones() -> None:
    target = position(b"a key")
    ranked = sorted(range(300), key=lambda number: peer_position(peer(number)) ^ target)
    # Each peer knows ten that are a little closer than itself.
    network = {peer(number): ranked[max(0, place - 15) : max(0, place - 5)] for place, number in enumerate(ranked)}
    for number in ranked[:20]:
        network[peer(number)] = ranked[:20]
    lookup = Lookup(target, OWN, [contact(ranked[-1])])
    search(lookup, network)
    assert lookup.closest() == tuple(contact(number) for number in ranked[:20])


@covers("T02")
def test_inventions_that_cannot_be_reached_do_not_hide_who_can() -> None:
    target = position(b"a key")
    ranked = sorted(range(3000), key=lambda number: peer_position(peer(number)) ^ target)
    invented, real = ranked[:40], ranked[1000:1020]
    network = {peer(real[0]): invented[:20], peer(real[1]): invented[20:], **{peer(n): real for n in real[2:]}}
    lookup = Lookup(target, OWN, [contact(number) for number in real[:3]])
    search(lookup, network, dead=frozenset(peer(number) for number in invented))
    assert set(lookup.closest()) == {contact(number) for number in real}


def test_a_lookup_with_nobody_to_ask_is_done_at_once() -> None:
    lookup = Lookup(position(b"a key"), OWN, [])
    assert lookup.done
    assert lookup.closest() == ()


def test_a_lookup_asks_few_at_a_time_and_nobody_twice() -> None:
    lookup = Lookup(position(b"a key"), OWN, [contact(number) for number in range(50)])
    first = lookup.next_to_ask()
    assert len(first) == limits.DHT_PARALLEL
    assert lookup.next_to_ask() == ()
    asked = [*(each.peer for each in first)]
    for each in first:
        lookup.answered(each.peer, [])
    asked += search(lookup, {})
    assert len(asked) == len(set(asked)) == limits.DHT_REPLICATION


def test_a_lookup_that_is_ended_asks_nobody_else() -> None:
    lookup = Lookup(position(b"a key"), OWN, [contact(number) for number in range(50)])
    waiting = lookup.next_to_ask()
    lookup.end()
    assert lookup.next_to_ask() == ()
    assert not lookup.done
    for each in waiting:
        lookup.failed(each.peer)
    assert lookup.done


def test_who_was_heard_of_first_keeps_its_addresses() -> None:
    lookup = Lookup(position(b"a key"), OWN, [contact(1), contact(2)])
    lookup.answered(peer(1), [contact(2, "10.66.66.66")])
    assert contact(2) in lookup.next_to_ask()


@covers("T02")
def test_of_those_whom_one_peer_names_twenty_are_listened_to() -> None:
    lookup = Lookup(position(b"a key"), OWN, [contact(1)])
    (only,) = lookup.next_to_ask()
    lookup.answered(only.peer, [contact(number) for number in range(100, 200)])
    assert set(search(lookup, {})) <= {peer(number) for number in range(100, 120)}


@covers("F13")
def test_when_half_of_all_peers_die_at_once_the_others_still_find_who_keeps_a_record() -> None:
    chance = Random(5)
    everybody = [contact(number, f"10.{number}.0.1") for number in range(200)]
    tables = {each.peer: RoutingTable(each.peer) for each in everybody}
    for each in everybody:
        for other in chance.sample(everybody, 120):
            if other.peer != each.peer:
                tables[each.peer].proved(other, now=0.0)
    dead = frozenset(each.peer for each in chance.sample(everybody, 100))
    alive = [each for each in everybody if each.peer not in dead]
    found = 0
    for number in range(100):
        target = position(b"key %d" % number)
        holders = sorted(everybody, key=lambda each: peer_position(each.peer) ^ target)[: limits.DHT_REPLICATION]
        asker = chance.choice(alive)
        lookup = Lookup(target, asker.peer, tables[asker.peer].closest(target, limits.DHT_REPLICATION))
        while not lookup.done:
            for each in lookup.next_to_ask():
                if each.peer in dead:
                    lookup.failed(each.peer)
                else:
                    lookup.answered(each.peer, tables[each.peer].closest(target, limits.DHT_REPLICATION))
        found += any(each in holders for each in lookup.closest())
    assert found >= 99
