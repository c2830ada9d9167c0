"""Signed envelopes: only what was sealed for a use opens for it. Rules one by one stand in the vectors."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2phub.errors import Malformed, NotTrusted
from p2phub.identity import ENVELOPE_EXTRA_BYTES, SecretKey, open_envelope, seal
from tests.support.covers import covers

KEY = SecretKey(bytes(range(32)))


@settings(max_examples=50)
@given(st.binary(min_size=1, max_size=400))
def test_what_is_sealed_opens(payload: bytes) -> None:
    sealed = seal(KEY, "a use", payload)
    assert open_envelope(sealed, "a use", payload_bytes_max=len(payload)) == (KEY.peer_id, payload)
    assert len(sealed) - len(payload) <= ENVELOPE_EXTRA_BYTES


@covers("T16")
def test_what_is_sealed_for_one_use_does_not_open_for_another() -> None:
    with pytest.raises(NotTrusted):
        open_envelope(seal(KEY, "a use", b"x"), "another use", payload_bytes_max=1)


@settings(max_examples=100)
@given(st.data())
@covers("T19")
def test_no_changed_byte_opens(data: st.DataObject) -> None:
    sealed = seal(KEY, "a use", b"payload")
    at = data.draw(st.integers(0, len(sealed) - 1))
    changed = sealed[:at] + bytes([sealed[at] ^ data.draw(st.integers(1, 255))]) + sealed[at + 1 :]
    with pytest.raises((Malformed, NotTrusted)):
        open_envelope(changed, "a use", payload_bytes_max=64)


@given(st.binary(max_size=300))
def test_any_bytes_are_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        open_envelope(data, "a use", payload_bytes_max=64)
