"""Who is taken in as a provider, and when one is dialled again after it failed."""

from __future__ import annotations

import pytest

from p2phub import limits
from p2phub.discovery import Candidate
from p2phub.engine.providers import RETRY_S, Provider, ProviderBook
from p2phub.errors import MirrorUnusable, PeerGone, PeerRefused, PeerStalled
from p2phub.identity import Address, PeerAddress, PeerId, SourceId, parse_mirror
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


def silent(number: int) -> Address:
    return Address(f"8.8.{number}.1", 4717)


def crowded_with(via: str) -> tuple[ProviderBook, Provider]:
    """A book in which somebody else filled what there is room for."""
    book = ProviderBook(key_of("own").peer_id)
    for number in range(2 * limits.ADDRESSES_PER_PEER_MAX):
        book.found(Candidate(PeerAddress(ANN, silent(number)), via))
    return book, book[ANN]


@covers("T05", "T41")
@pytest.mark.parametrize("named_by", ["dht", "exchange"])
@pytest.mark.parametrize("via", ["lan", "direct", "dht", "exchange"])
def test_the_right_address_finds_room_whoever_was_first_with_wrong_ones(named_by: str, via: str) -> None:
    book, ann = crowded_with(named_by)
    at_once = book.found(Candidate(PeerAddress(ANN, FIRST), via))
    assert at_once == (via != named_by), "what of one kind was not tried yet does not give way to more of it"
    ann.tried.update(ann.addresses)
    assert at_once or book.found(Candidate(PeerAddress(ANN, FIRST), via))
    assert FIRST in ann.addresses
    assert len(ann.addresses) <= limits.ADDRESSES_PER_PEER_MAX


@covers("T05")
@pytest.mark.parametrize("via", ["lan", "direct"])
def test_neighbours_and_the_user_find_room_where_all_is_taken_and_nothing_tried(via: str) -> None:
    book, ann = crowded_with("dht")
    for number in range(limits.HEARSAY_PER_PEER_MAX):
        book.found(Candidate(PeerAddress(ANN, silent(100 + number)), "exchange"))
    named = [Address("192.168.0.5", 1 + number) for number in range(limits.ADDRESSES_PER_PEER_MAX)]
    assert all(book.found(Candidate(PeerAddress(ANN, address), via)) for address in named)
    assert ann.addresses == named
    one_more = book.found(Candidate(PeerAddress(ANN, FIRST), via))
    assert one_more == (via == "direct"), "what the user names is never refused"


def test_where_a_peer_answered_and_what_the_user_named_give_way_to_nothing() -> None:
    book, ann = crowded_with("dht")
    book.found(Candidate(PeerAddress(ANN, FIRST), "direct"))
    ann.tried.update(ann.addresses)
    ann.answered(silent(0), took_s=0.1)
    for number in range(100, 120):
        book.found(Candidate(PeerAddress(ANN, silent(number)), "dht"))
    assert {FIRST, silent(0)} <= set(ann.addresses)


def test_an_address_that_answers_though_it_has_given_way_is_known_again() -> None:
    book, ann = crowded_with("dht")
    ann.tried.update(ann.addresses)
    book.found(Candidate(PeerAddress(ANN, FIRST), "dht"))
    assert silent(0) not in ann.addresses
    ann.answered(silent(0), took_s=0.1)
    assert silent(0) in ann.addresses


@covers("T41")
def test_ever_new_addresses_that_others_name_are_dialled_a_bounded_number_of_times() -> None:
    book, ann = crowded_with("dht")
    for number in range(200):
        ann.tried.update(ann.addresses)
        book.found(Candidate(PeerAddress(ANN, silent(number)), "dht"))
    ann.tried.update(ann.addresses)
    assert len(ann.tried) == limits.ADDRESSES_TRIED_MAX
    assert book.found(Candidate(PeerAddress(ANN, FIRST), "lan"))


def mirrors_and(*candidates: tuple[Address, str]) -> tuple[ProviderBook, Provider]:
    """A book with one mirror that answers, and with who else is given."""
    book, mirror = ProviderBook(key_of("own").peer_id), parse_mirror("https://models.example.org/x")
    book.mirror(mirror)
    for address, via in candidates:
        book.found(Candidate(PeerAddress(ANN, address), via))
    book[mirror].links.add(1)
    return book, book[mirror]


def nothing(peer: SourceId) -> bool:
    return False


def test_nobody_is_waited_for_where_all_that_are_left_are_mirrors_that_lack_what_is_missing() -> None:
    book, mirror = mirrors_and()
    assert book.nobody_comes_back(nothing)
    assert not book.nobody_comes_back(lambda peer: peer == mirror.peer)
    mirror.links.clear()  # It is gone, and was not asked for all that is missing: it may come back.
    assert not book.nobody_comes_back(nothing)
    mirror.failed(MirrorUnusable("no ranges"), 0.0)
    assert book.nobody_comes_back(nothing)


def test_a_peer_that_is_known_may_come_back_with_more() -> None:
    book, _ = mirrors_and((FIRST, "dht"))
    assert not book.nobody_comes_back(nothing)
    book[ANN].banned = True
    assert book.nobody_comes_back(nothing)


def test_one_that_proved_its_key_and_did_not_answer_yet_is_waited_for_and_one_that_was_never_reached_is_not() -> None:
    """As a provider of a million files is while it looks them up."""
    book, _ = mirrors_and((FIRST, "dht"))
    ann = book[ANN]
    ann.failed(PeerStalled("no byte for 20 s"), 20.0)
    assert not book.may_come_back()
    ann.linked_at = 0.0
    assert book.may_come_back()
    ann.banned = True
    assert not book.may_come_back()


def test_where_nobody_was_found_somebody_may_yet_be() -> None:
    assert not ProviderBook(key_of("own").peer_id).nobody_comes_back(nothing)


def test_the_verdict_tells_what_each_mirror_lacks_and_what_to_do_about_it() -> None:
    book, mirror = mirrors_and()
    mirror.lacks = "cannot give w.bin: it is not there"
    error = book.verdict("x/m", "nobody")
    assert "https://models.example.org/x: cannot give w.bin: it is not there" in error.message
    assert error.hint is not None
    assert error.hint.startswith("copy the files to the mirror again")
    mirror.failed(MirrorUnusable("no ranges", hint="take another server"), 0.0)
    error = book.verdict("x/m", "nobody")
    assert error.hint is not None
    assert error.hint.startswith("take another server")


def test_where_nobody_could_be_reached_the_error_says_what_to_look_at() -> None:
    book = ProviderBook(key_of("own").peer_id)
    ann = PeerAddress(key_of("ann").peer_id, Address("192.0.2.1", 4717))
    assert book.found(Candidate(ann, "direct"))
    book[ann.peer].failed(PeerGone("no connection"), 0.0)
    assert "is its node running" in (book.verdict("x/m", "nobody").hint or "")
    book[ann.peer].failed(PeerRefused("full", reason="busy"), 0.0)
    assert "try again in a while" in (book.verdict("x/m", "nobody").hint or "")
