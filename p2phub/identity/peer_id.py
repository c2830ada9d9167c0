"""A libp2p peer id: the public Ed25519 key of a publisher or a node, in text `12D3Koo…`.

Only Ed25519 identities exist here: the id is the identity multihash of the key's protobuf, so the key can be read back
from it. Source: proto/identifiers.md §2; libp2p/specs peer-ids.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from p2phub.errors import Malformed

_PREFIX = b"\x00\x24\x08\x01\x12\x20"  # identity multihash of 36 bytes: protobuf {type: Ed25519, data: 32 bytes}.
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_TEXT_LENGTH = 52


class PeerId(msgspec.Struct, frozen=True, order=True):
    """Who: `public_key` is the 32 raw bytes of an Ed25519 public key."""

    public_key: bytes

    def __post_init__(self) -> None:
        if len(self.public_key) != 32:
            raise Malformed("peer-id", f"an Ed25519 key has 32 bytes, not {len(self.public_key)}")

    def __hash__(self) -> int:
        return hash(self.public_key)  # Which remembers it; the hash of a tuple of it does not, and peers are keys.

    @property
    def raw(self) -> bytes:
        """The binary form (38 bytes), as libp2p writes it."""
        return _PREFIX + self.public_key

    def __str__(self) -> str:
        return _text(self.raw)


@lru_cache(maxsize=4096)  # The same few peers are named again and again.
def _text(raw: bytes) -> str:
    number = int.from_bytes(raw, "big")
    text = ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return "1" + text  # The first byte is zero.


@lru_cache(maxsize=4096)
def parse_peer_id(text: str) -> PeerId:
    """Read the text form. Raises Malformed("peer-id") for anything but a canonical Ed25519 id."""
    if len(text) != _TEXT_LENGTH:
        raise Malformed("peer-id", f"not a peer id: {text[:80]!r}")
    number = 0
    for letter in text:
        digit = _ALPHABET.find(letter)
        if digit < 0:
            raise Malformed("peer-id", f"not a peer id: {text[:80]!r}")
        number = number * 58 + digit
    if number.bit_length() > 8 * 38:
        raise Malformed("peer-id", f"not a peer id: {text[:80]!r}")
    peer = peer_id_of_bytes(number.to_bytes(38, "big"))
    if str(peer) != text:
        raise Malformed("peer-id", f"not the canonical spelling of a peer id: {text[:80]!r}")
    return peer


def peer_id_of_bytes(raw: bytes) -> PeerId:
    """Read the 38-byte binary form. Raises Malformed("peer-id")."""
    if len(raw) != 38 or not raw.startswith(_PREFIX):
        raise Malformed("peer-id", "not an Ed25519 peer id")
    return PeerId(raw[len(_PREFIX) :])
