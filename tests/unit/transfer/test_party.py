"""Who counts as one."""

from __future__ import annotations

import pytest

from p2phub.identity import Address
from p2phub.transfer import party_of
from tests.support.swarm import peer


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2ff::1", "2001:db8:1:200::9", True),
        ("2001:db8:1:2ff::1", "2001:db8:1:3ff::1", False),
        ("10.0.0.1", "10.0.0.2", False),
        ("127.0.0.1", "127.0.0.1", False),
        ("::1", "::1", False),
    ],
)
def test_a_party_is_an_address_or_one_peer_of_this_machine(one: str, other: str, same: bool) -> None:
    assert (party_of(peer(1), Address(one, 1)) == party_of(peer(2), Address(other, 2))) is same
    assert party_of(peer(1), Address(one, 1)) == party_of(peer(1), Address(one, 7))
