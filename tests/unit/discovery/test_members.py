"""What a node tells peers of a swarm of one another."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256

import pytest

from p2phub import limits
from p2phub.content import digest_of
from p2phub.discovery import Members
from p2phub.identity import Address, PeerAddress, PeerId
from tests.support.covers import covers

ONE, TWO = digest_of(b"one"), digest_of(b"two")
PUBLIC, PRIVATE, LOOPBACK = Address("8.8.8.8", 4717), Address("192.168.1.7", 4717), Address("127.0.0.1", 4717)


def peer(number: int) -> PeerId:
    return PeerId(sha256(b"peer %d" % number).digest())


def member(number: int, address: Address | None = None) -> PeerAddress:
    return PeerAddress(peer(number), address or Address(f"8.{number // 256 % 256}.{number % 256}.1", 4717))


ASKER = PeerAddress(peer(10**6), PUBLIC)


def test_who_asks_is_told_of_the_others_and_not_of_itself() -> None:
    members = Members(b"seed")
    assert members.saw(ONE, member(1), now=0.0)
    assert not members.saw(ONE, member(1), now=1.0)
    members.saw(ONE, ASKER, now=0.0)
    assert members.told_to(ASKER, ONE, now=1.0) == (member(1),)
    assert members.told_to(ASKER, TWO, now=1.0) == ()


def test_who_was_told_is_told_only_of_those_that_came_since() -> None:
    members = Members(b"seed")
    assert members.newest(ONE) == 0
    members.saw(ONE, member(1), now=0.0)
    members.saw(TWO, member(2), now=0.0)
    seen = members.newest(ONE)
    members.saw(ONE, member(3), now=1.0)
    members.saw(ONE, member(1), now=1.0)  # It is still there, which is no news.
    assert members.told_to(ASKER, ONE, now=1.0, after=seen) == (member(3),)
    assert members.newest(ONE) > seen
    assert members.told_to(ASKER, ONE, now=1.0, after=members.newest(ONE)) == ()


def test_who_moved_is_told_anew_at_where_it_is_now() -> None:
    members = Members(b"seed")
    members.saw(ONE, member(1), now=0.0)
    seen = members.newest(ONE)
    for address, now in ((Address("8.0.1.1", 4718), limits.MEMBER_MOVES_S), (Address("9.9.9.9", 4718), 11.0)):
        assert members.saw(ONE, member(1, address), now=now)
        assert not members.saw(ONE, member(1, address), now=now)
        assert members.told_to(ASKER, ONE, now=now, after=seen) == (member(1, address),)
        seen = members.newest(ONE)
    assert members.of(ONE, now=11.0) == (member(1, address),)


@covers("T49")
def test_who_says_another_port_each_time_is_news_now_and_then_and_noted_where_it_was_last() -> None:
    """Without: each time was news for all who wait."""
    members = Members(b"seed")
    members.saw(ONE, member(1, Address("8.0.1.1", 1)), now=0.0)
    seen = members.newest(ONE)
    for tenths in range(1, 300):
        at = member(1, Address(f"8.0.1.{tenths % 9 + 1}", 1 + tenths))
        members.saw(ONE, at, now=tenths / 10)
        assert members.told_to(ASKER, ONE, now=tenths / 10)[-1:] == (at,), "who asks for the first time is told"
    assert members.newest(ONE) - seen == 2
    assert members.saw(ONE, at, now=31.0), "where it stays is told in the end"


@covers("T49")
def test_at_one_private_address_another_port_is_news_now_and_then_too() -> None:
    members = Members(b"seed")
    assert members.saw(ONE, member(1, PRIVATE), now=0.0)
    assert not members.saw(ONE, member(1, Address(PRIVATE.ip, 1)), now=1.0)
    assert members.saw(ONE, member(1, Address("192.168.1.8", 1)), now=1.0), "there each address is a network"


@covers("T07")
def test_who_moves_to_a_network_counts_there() -> None:
    members = Members(b"seed")
    for number in range(2 * limits.MEMBERS_PER_NETWORK_MAX):
        members.saw(ONE, member(number), now=0.0)
        members.saw(ONE, member(number, Address("9.9.9.9", 1024 + number)), now=0.0)
    assert len(members.of(ONE, now=0.0)) == limits.MEMBERS_PER_NETWORK_MAX


@covers("T58")
def test_the_numbers_of_a_swarm_say_nothing_of_other_swarms() -> None:
    members = Members(b"seed")
    members.saw(ONE, member(1), now=0.0)
    for number in range(9):
        members.saw(TWO, member(number), now=0.0)
    members.saw(ONE, member(2), now=0.0)
    assert members.newest(ONE) == 2


def test_who_was_told_of_a_swarm_that_was_forgotten_since_is_told_of_its_members_again() -> None:
    members = Members(b"seed")
    for number in range(5):
        members.saw(ONE, member(number), now=0.0)
    seen = members.newest(ONE)
    for number in range(limits.SWARMS_KNOWN_MAX):
        members.saw(digest_of(b"%d" % number), member(1), now=0.0)
    assert members.newest(ONE) == 0
    members.saw(ONE, member(9), now=1.0)
    assert members.told_to(ASKER, ONE, now=1.0, after=seen) == (member(9),)


@pytest.mark.parametrize("others", [limits.PEERS_TOLD_MAX, limits.SWARM_MEMBERS_MAX - 1])
def test_each_newcomer_is_told_as_if_all_were_asked_for(others: int) -> None:
    members = Members(b"seed")
    for number in range(others):
        members.saw(ONE, member(number), now=0.0)
    seen, newcomer = members.newest(ONE), member(others)
    members.saw(ONE, newcomer, now=0.0)
    all_told = members.told_to(ASKER, ONE, now=0.0)
    assert members.told_to(ASKER, ONE, now=0.0, after=seen) == tuple(each for each in all_told if each == newcomer)


@covers("T49")
def test_a_newcomer_costs_those_who_wait_no_ranking_in_a_swarm_of_which_all_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    members = Members(b"seed")
    for number in range(limits.PEERS_TOLD_MAX):
        members.saw(ONE, member(number), now=0.0)
    ranked: list[PeerId] = []
    draw = members._draw

    def note(peer: PeerId) -> int:
        ranked.append(peer)
        return draw(peer)

    monkeypatch.setattr(members, "_draw", note)
    assert len(members.told_to(ASKER, ONE, now=0.0, after=members.newest(ONE) - 1)) == 1
    members.saw(ONE, member(1000), now=0.0)
    assert ranked == [peer(1000)]
    assert members.told_to(ASKER, ONE, now=0.0, after=members.newest(ONE)) == ()  # Nobody new: none is looked at.
    assert len(members.told_to(ASKER, ONE, now=0.0)) == limits.PEERS_TOLD_MAX
    assert ranked == [peer(1000), ASKER.peer]


def test_in_a_large_swarm_all_are_told_about_alike_often() -> None:
    members = Members(b"seed")
    for number in range(limits.SWARM_MEMBERS_MAX):
        members.saw(ONE, member(number), now=0.0)
    told = Counter[PeerAddress]()
    for number in range(200):
        told.update(members.told_to(PeerAddress(peer(1000 + number), PUBLIC), ONE, now=0.0))
    assert sum(told.values()) == 200 * limits.PEERS_TOLD_MAX
    assert min(told.values()) > 20  # Fifty is the mean.
    assert max(told.values()) < 90


def test_a_member_is_told_for_ten_minutes_after_it_was_last_seen() -> None:
    members = Members(b"seed")
    members.saw(ONE, member(1), now=0.0)
    members.saw(ONE, member(2), now=0.0)
    members.saw(ONE, member(1), now=300.0)
    assert set(members.told_to(ASKER, ONE, now=599.0)) == {member(1), member(2)}
    assert members.told_to(ASKER, ONE, now=600.0) == (member(1),)
    assert members.told_to(ASKER, ONE, now=900.0) == ()


@covers("T41")
@pytest.mark.parametrize(
    ("address", "asker", "told"),
    [
        (PUBLIC, PUBLIC, True),
        (PUBLIC, LOOPBACK, True),
        (PRIVATE, PUBLIC, False),
        (PRIVATE, PRIVATE, True),
        (PRIVATE, LOOPBACK, True),
        (LOOPBACK, PUBLIC, False),
        (LOOPBACK, PRIVATE, False),
        (LOOPBACK, LOOPBACK, True),
        (Address("fe80::1", 1), Address("2606:4700::1", 1), False),
    ],
)
def test_an_address_is_told_only_where_it_means_something(address: Address, asker: Address, told: bool) -> None:
    members = Members(b"seed")
    members.saw(ONE, PeerAddress(peer(1), address), now=0.0)
    assert bool(members.told_to(PeerAddress(peer(2), asker), ONE, now=0.0)) is told


@covers("T08")
def test_a_full_swarm_forgets_the_oldest_and_tells_a_bounded_number() -> None:
    members = Members(b"seed")
    for number in range(limits.SWARM_MEMBERS_MAX + 50):
        members.saw(ONE, member(number), now=float(number))
    known = members.of(ONE, now=400.0)
    assert len(known) == limits.SWARM_MEMBERS_MAX
    assert member(0) not in known
    assert len(members.told_to(ASKER, ONE, now=400.0)) == limits.PEERS_TOLD_MAX


def test_different_askers_are_told_of_different_members() -> None:
    members = Members(b"seed")
    for number in range(200):
        members.saw(ONE, member(number), now=0.0)
    told = {frozenset(members.told_to(PeerAddress(peer(1000 + n), PUBLIC), ONE, now=1.0)) for n in range(5)}
    assert len(told) == 5


def test_who_is_told_cannot_be_chosen_without_the_secret() -> None:
    one, other = Members(b"seed"), Members(b"other seed")
    for number in range(200):
        one.saw(ONE, member(number), now=0.0)
        other.saw(ONE, member(number), now=0.0)
    assert one.told_to(ASKER, ONE, now=1.0) != other.told_to(ASKER, ONE, now=1.0)


@covers("T07")
def test_identities_of_one_network_do_not_push_out_others() -> None:
    members = Members(b"seed")
    members.saw(ONE, member(1), now=0.0)
    for number in range(1000):
        members.saw(ONE, PeerAddress(peer(2000 + number), Address("9.9.9.9", 1024 + number)), now=1.0)
    known = members.of(ONE, now=2.0)
    assert member(1) in known
    assert len(known) == 1 + limits.MEMBERS_PER_NETWORK_MAX


@covers("T08")
def test_swarms_beyond_what_is_remembered_are_forgotten() -> None:
    members = Members(b"seed")
    swarms = [digest_of(b"%d" % number) for number in range(limits.SWARMS_KNOWN_MAX + 1)]
    for swarm in swarms:
        members.saw(swarm, member(1), now=0.0)
    assert members.of(swarms[0], now=0.0) == ()
    assert members.of(swarms[-1], now=0.0) == (member(1),)
