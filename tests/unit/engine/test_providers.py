"""When a provider is dialled again after it failed."""

from __future__ import annotations

from p2phub.discovery import Candidate
from p2phub.engine.providers import RETRY_S, Provider, ProviderBook
from p2phub.errors import PeerGone
from p2phub.identity import Address, PeerAddress
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
