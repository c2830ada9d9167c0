"""Digests and their text form. The text's rules stand in the vectors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2phub.content import Codec, Digest, digest_of, parse_digest
from p2phub.errors import Malformed


@given(st.binary(min_size=32, max_size=32), st.sampled_from(Codec))
def test_text_leads_back_to_digest_and_codec(raw: bytes, codec: Codec) -> None:
    assert parse_digest(Digest(raw).text(codec)) == (Digest(raw), codec)


@given(st.text(max_size=70))
def test_any_text_is_a_digest_or_malformed(text: str) -> None:
    try:
        digest, codec = parse_digest(text)
    except Malformed:
        return
    assert digest.text(codec) == text


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_has_a_digest(kind: type) -> None:
    assert digest_of(kind(b"hello")) == digest_of(b"hello")


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_digest_has_32_bytes(length: int) -> None:
    with pytest.raises(Malformed, match="digest-length"):
        Digest(bytes(length))
