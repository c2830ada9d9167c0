"""Who is taken in as a provider, and when one is dialled again after it failed."""

from __future__ import annotations

import pytest

from p2phub import limits
from p2phub.discovery import Candidate
from p2phub.engine.providers import RETRY_S, Provider, ProviderBook
from p2phub.errors import PeerGone
from p2phub.identity import Address, PeerAddress, PeerId
from tests.support.covers import covers
from tests.support.hosts import key_of

ANN = key_of("ann").peer_id
FIRST, SECOND = Address("192.0.2.1", 1), Address("192.0.2.1", 2)


def known_at(*candidates: tuple[Address, str]) -> Provider:
    book = ProviderBook(key_of("own").peer_id)
    for address, via in candidates:
        book.found(Candidate(PeerAddress(ANN, address), via))
    return book[ANN]


def test_one_that_failed_everywhere_rests() -> None:
    provider = known_at((FIRST, "direct"))
    provider.tried.add(FIRST)
    provider.failed(PeerGone("refused"), 10.0)
    assert provider.retry_at == 10.0 + RETRY_S[0]


def test_an_address_that_was_named_during_the_dial_is_tried_at_once() -> None:
    provider = known_at((FIRST, "exchange"), (SECOND, "direct"))
    provider.tried.add(FIRST)
    provider.failed(PeerGone("refused"), 10.0)
    assert provider.retry_at < 10.0


def test_what_others_named_and_was_not_tried_is_no_reason_to_hurry() -> None:
    provider = known_at((FIRST, "direct"), (SECOND, "exchange"))
    provider.tried.add(FIRST)
    provider.failed(PeerGone("refused"), 10.0)
    assert provider.retry_at == 10.0 + RETRY_S[0]


def test_no_two_nodes_of_a_crowd_dial_the_others_in_the_same_order() -> None:
    crowd = [key_of(str(number)).peer_id for number in range(20)]

    def order() -> list[PeerId]:
        book = ProviderBook(key_of("own").peer_id)
        for peer in crowd:
            book.found(Candidate(PeerAddress(peer, FIRST), "exchange"))
        return [
            provider.peer for provider in sorted(book, key=lambda each: each.draw) if isinstance(provider.peer, PeerId)
        ]

    first, second = order(), order()
    assert sorted(first) == sorted(second) == sorted(crowd)
    assert first != second


@pytest.mark.parametrize("via", ["dht", "lan", "exchange"])
def test_what_the_user_names_after_others_did_is_the_users_word(via: str) -> None:
    provider = known_at((FIRST, via), (SECOND, via), (FIRST, "direct"))
    assert provider.addresses == [FIRST, SECOND]
    assert provider.given == {FIRST}


@covers("T41")
def test_peers_that_others_invent_leave_room_for_whom_a_search_finds() -> None:
    book = ProviderBook(key_of("own").peer_id)
    taken = [
        book.found(Candidate(PeerAddress(key_of(str(number)).peer_id, Address("8.8.8.8", 1 + number)), "exchange"))
        for number in range(2 * limits.PROVIDERS_PER_FETCH_MAX)
    ]
    assert sum(taken) == limits.HEARSAY_PER_FETCH_MAX
    assert book.found(Candidate(PeerAddress(ANN, FIRST), "direct"))


@covers("T41")
def test_wrong_addresses_that_others_give_of_a_peer_leave_room_for_the_right_one() -> None:
    wrong = [(Address("8.8.8.8", 1 + number), "exchange") for number in range(2 * limits.ADDRESSES_PER_PEER_MAX)]
    provider = known_at(*wrong, (FIRST, "direct"))
    assert FIRST in provider.addresses
    assert len(provider.hearsay) == limits.HEARSAY_PER_PEER_MAX
