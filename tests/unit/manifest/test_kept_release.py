"""A release that was read before and kept by us is read again without its signature; what it says is the same."""

from __future__ import annotations

import pytest

from p2phub.content import digest_of
from p2phub.errors import Malformed, NotTrusted
from p2phub.identity import SecretKey
from p2phub.manifest import Release, kept_release, read_release, sign_release

KEY = SecretKey(b"k" * 32)
SIGNED = sign_release(
    KEY, Release(KEY.peer_id, "mini", digest_of(b"manifest"), 3, 10, created=100, expires=200, description="A title")
)


def test_what_was_kept_says_what_was_read() -> None:
    assert kept_release(SIGNED) == read_release(SIGNED)


def test_only_the_signature_is_not_looked_at_again() -> None:
    at = SIGNED.index(b"A title")
    forged = SIGNED[:at] + b"B title" + SIGNED[at + 7 :]
    with pytest.raises(NotTrusted):
        read_release(forged)
    assert kept_release(forged).description == "B title"
    with pytest.raises(Malformed):
        kept_release(SIGNED[:-40])
