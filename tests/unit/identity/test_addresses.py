"""Peer ids and addresses in text. Rules one by one stand in the vectors."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2phub.errors import Malformed
from p2phub.identity import Address, PeerId, parse_address, parse_peer_address, parse_peer_id, peer_id_of_bytes

keys = st.binary(min_size=32, max_size=32)


@given(keys)
def test_a_peer_id_is_what_libp2p_writes(key: bytes) -> None:
    libp2p = pytest.importorskip("libp2p.peer.id")
    assert str(PeerId(key)) == libp2p.ID(PeerId(key).raw).to_base58()
    assert parse_peer_id(str(PeerId(key))) == PeerId(key) == peer_id_of_bytes(PeerId(key).raw)


@given(st.ip_addresses(), st.integers(1, 65535))
def test_an_address_leads_back_to_itself(ip: object, port: int) -> None:
    with contextlib.suppress(Malformed):  # IPv4 written as IPv6.
        address = Address(str(ip), port)
        assert parse_address(str(address)) == address


@given(st.text(max_size=120))
def test_any_text_is_malformed(text: str) -> None:
    for parse in (parse_address, parse_peer_address, parse_peer_id):
        with pytest.raises(Malformed):
            parse(text)


@pytest.mark.parametrize(
    ("ip", "public"),
    [
        ("8.8.8.8", True),
        ("2001:4860:4860::8888", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("192.168.0.1", False),
        ("169.254.1.1", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("0.0.0.0", False),
        ("255.255.255.255", False),
        ("192.0.2.1", False),
        ("::1", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("2001:db8::1", False),
        ("fec0::1", False),
        ("64:ff9b::808:808", True),  # 8.8.8.8, as an IPv6-only network reaches it.
        ("64:ff9b::a00:1", False),  # 10.0.0.1
        ("64:ff9b:1::a00:1", False),
        ("2002:808:808::1", True),
        ("2002:7f00:1::1", False),  # 127.0.0.1
        ("2001:0:a00:1::1", False),
    ],
)
def test_strangers_are_told_of_global_addresses_only(ip: str, public: bool) -> None:
    assert Address(ip, 1).is_public is public
    assert Address(ip, 1).is_loopback is (ip in ("127.0.0.1", "::1"))


@pytest.mark.parametrize(("ip", "port"), [("1.2.3.4", -1), ("1.2.3.4", 65536), ("01.2.3.4", 1), ("::ffff:1.2.3.4", 1)])
def test_an_address_is_checked_however_it_is_made(ip: str, port: int) -> None:
    with pytest.raises(Malformed, match="address"):
        Address(ip, port)
