"""References and tickets in text. Rules one by one stand in the vectors."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2phub import limits
from p2phub.content import Digest, digest_of
from p2phub.errors import Malformed, UsageError
from p2phub.identity import Address, PeerAddress, PeerId, SecretKey
from p2phub.manifest import Release, Ticket, check_name, encode_ticket, parse_reference, parse_ticket, sign_release
from tests.support.covers import covers

KEY = SecretKey(bytes(range(32)))
PUBLIC, PRIVATE = Address("8.8.8.8", 4717), Address("192.168.1.2", 4717)
providers = st.lists(
    st.builds(
        PeerAddress,
        st.sampled_from([PeerId(bytes([number]) * 32) for number in range(6)]),
        st.builds(Address, st.sampled_from(["8.8.8.8", "10.0.0.1", "2001:4860::1", "127.0.0.1"]), st.integers(1, 5)),
    ),
    max_size=30,
)


@given(st.binary(min_size=32, max_size=32), st.none() | st.binary(min_size=1, max_size=4096), providers, st.booleans())
def test_a_ticket_leads_back_to_itself_within_its_bounds(
    raw: bytes, release: bytes | None, where: list[PeerAddress], private: bool
) -> None:
    text = encode_ticket(Ticket(Digest(raw), release, tuple(where)), private=private)
    ticket = parse_ticket(text)
    assert ticket.manifest == Digest(raw)
    assert ticket.release == release
    assert set(ticket.providers) <= set(where)
    assert len({provider.peer for provider in ticket.providers}) <= limits.TICKET_PROVIDERS_MAX
    assert private or all(provider.address.is_public for provider in ticket.providers)
    assert encode_ticket(ticket, private=True) == text
    assert len(text) <= limits.TICKET_BYTES_MAX


@covers("T57")
def test_private_addresses_are_told_on_request_only() -> None:
    ticket = Ticket(digest_of(b""), None, (PeerAddress(KEY.peer_id, PRIVATE), PeerAddress(KEY.peer_id, PUBLIC)))
    assert [provider.address for provider in parse_ticket(encode_ticket(ticket)).providers] == [PUBLIC]
    assert len(parse_ticket(encode_ticket(ticket, private=True)).providers) == 2


@covers("T16")
def test_a_ticket_shows_its_publisher_only_if_the_release_holds_and_is_about_these_bytes() -> None:
    release = Release(KEY.peer_id, "minilm", digest_of(b"a"), 1, 5, created=1, expires=2)
    signed = sign_release(KEY, release)
    assert Ticket(digest_of(b"a"), signed).publisher_release() == release
    assert Ticket(digest_of(b"b"), signed).publisher_release() is None
    assert Ticket(digest_of(b"a"), signed[:-1] + bytes([signed[-1] ^ 1])).publisher_release() is None
    assert Ticket(digest_of(b"a"), b"garbage").publisher_release() is None
    assert Ticket(digest_of(b"a")).publisher_release() is None


@settings(max_examples=100)
@given(st.data())
def test_a_ticket_with_a_letter_changed_is_refused_or_another_ticket(data: st.DataObject) -> None:
    ticket = Ticket(digest_of(b""), None, (PeerAddress(KEY.peer_id, PUBLIC),))
    text = encode_ticket(ticket)
    at = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.characters())
    with contextlib.suppress(Malformed):
        assert (parse_ticket(text[:at] + letter + text[at + 1 :]) == ticket) == (letter == text[at])


def test_a_release_too_long_for_a_ticket_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="release"):
        encode_ticket(Ticket(digest_of(b""), bytes(4097)))


@given(st.one_of(st.text(max_size=99), st.text(st.sampled_from("ab/@:p2hub.-A "), max_size=20)))
def test_any_text_is_a_reference_that_leads_back_to_it_or_an_error_for_the_user(text: str) -> None:
    try:
        reference = parse_reference(text)
    except (UsageError, Malformed):
        return
    assert parse_reference(str(reference)) == reference


def test_the_default_tag_need_not_be_said() -> None:
    assert parse_reference("alice/minilm@main") == parse_reference("alice/minilm")
    assert str(parse_reference("alice/minilm@main")) == "alice/minilm"


def test_an_error_about_a_reference_says_how_one_is_written() -> None:
    with pytest.raises(UsageError) as caught:
        parse_reference("not a reference")
    assert "PUBLISHER/name" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("https://example.org/model", "--mirror URL"),
        ("/models/m", "verify, rm, pin and unpin take a folder"),
        ("~/m", "p2phub ls"),
        ("p2phub:sowxamtqnb2weidunfrww", "its publisher"),
    ],
)
def test_what_is_no_reference_is_told_what_to_try(text: str, hint: str) -> None:
    with pytest.raises((UsageError, Malformed)) as refused:
        parse_reference(text)
    assert hint in (refused.value.hint or "")


@pytest.mark.parametrize(
    ("text", "like"),
    [("Tiny", "tiny"), ("Llama-3.2-1B Instruct", "llama-3.2-1b-instruct"), ("a/b", None), ("", None), ("-x", None)],
)
def test_who_takes_a_name_as_it_is_written_elsewhere_is_told_one_like_it(text: str, like: str | None) -> None:
    with pytest.raises(Malformed) as caught:
        check_name(text)
    hint = str(caught.value.hint)
    assert hint.partition(", like ")[2] == (like or "")
    if like is not None:
        check_name(like)
