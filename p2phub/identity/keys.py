"""Ed25519 keys: a publisher's or a node's secret, and strict verification.

Strict means: one message and key have no second valid signature that a stranger could make from the first, and no key
exists for which anybody can sign. So S is below the group order, and neither the key nor R is a point of small order or
spelt otherwise than canonically. Source: proto/identifiers.md §4; RFC 8032 §5.1; RFC 8410 §7 for the file form.
"""

from __future__ import annotations

import base64
import binascii
from typing import NoReturn

from p2phub.errors import Malformed
from p2phub.identity.peer_id import PeerId

SEED_BYTES = 32
SIGNATURE_BYTES = 64

_FIELD = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_Y_BITS = (1 << 255) - 1  # The highest bit is the sign of x.
_ORDER_EIGHT_Y = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER_YS = frozenset((0, 1, _FIELD - 1, _ORDER_EIGHT_Y, _FIELD - _ORDER_EIGHT_Y))

_PKCS8_PREFIX = bytes.fromhex("302e020100300506032b657004220420")  # version 0, OID 1.3.101.112, 32 bytes in two wraps.
_PEM_BEGIN = b"-----BEGIN PRIVATE KEY-----"
_PEM_END = b"-----END PRIVATE KEY-----"
_PEM_BYTES_MAX = 1024


class SecretKey:
    """A key that signs. Never shown, compared by nothing but its peer id, and never pickled to another process."""

    __slots__ = ("_peer_id", "_seed")

    def __init__(self, seed: bytes) -> None:
        """Take the 32 secret bytes; chance is the caller's. Raises Malformed("key-file") for another length."""
        # Imported here, not above: reading a manifest needs no key, and this costs 30 ms.
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        if len(seed) != SEED_BYTES:
            raise Malformed("key-file", f"a secret key has {SEED_BYTES} bytes, not {len(seed)}")
        self._seed = bytes(seed)
        public = Ed25519PrivateKey.from_private_bytes(self._seed).public_key()
        self._peer_id = PeerId(public.public_bytes_raw())

    @property
    def peer_id(self) -> PeerId:
        """Who signs with this key."""
        return self._peer_id

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes, for the one adapter that must hand them to libp2p. Never log them."""
        return self._seed

    def sign_raw(self, message: bytes) -> bytes:
        """Return the 64-byte signature of exactly `message`. Separate what it is for in it: see `envelope`."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self._seed).sign(message)

    def __repr__(self) -> str:
        return f"SecretKey(of {self._peer_id})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret key does not leave its process")


def verify_raw(peer: PeerId, message: bytes, signature: bytes) -> bool:
    """Return whether `signature` is the strict Ed25519 signature of `message` by `peer`'s key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if not is_strict(peer.public_key, signature):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(peer.public_key).verify(signature, message)
    except (InvalidSignature, ValueError):  # ValueError: some builds refuse a key that is no point when it is loaded.
        return False
    return True


def encode_secret_key(key: SecretKey) -> bytes:
    """Return `key` as PKCS #8 in PEM, unencrypted: the one spelling, as `openssl genpkey` writes it (119 bytes)."""
    body = base64.b64encode(_PKCS8_PREFIX + key.seed)
    return _PEM_BEGIN + b"\n" + body + b"\n" + _PEM_END + b"\n"


def decode_secret_key(data: bytes) -> SecretKey:
    """Read what `encode_secret_key` wrote; white space around lines does not matter. Raises Malformed("key-file").

    No message shows any of the content.
    """
    lines = [line.strip() for line in data.split(b"\n")] if len(data) <= _PEM_BYTES_MAX else []
    lines = [line for line in lines if line]
    if len(lines) < 3 or lines[0] != _PEM_BEGIN or lines[-1] != _PEM_END:
        raise Malformed("key-file", "not a PEM file with one PRIVATE KEY")
    try:
        decoded = base64.b64decode(b"".join(lines[1:-1]), validate=True)
    except binascii.Error:
        raise Malformed("key-file", "the body of the PEM file is not base64") from None
    if len(decoded) != len(_PKCS8_PREFIX) + SEED_BYTES or not decoded.startswith(_PKCS8_PREFIX):
        raise Malformed("key-file", "not an unencrypted Ed25519 key")
    return SecretKey(decoded[len(_PKCS8_PREFIX) :])


def is_strict(public_key: bytes, signature: bytes) -> bool:
    """Return whether key and signature are spelt so that strict verification may go on, whatever the library takes."""
    return (
        len(signature) == SIGNATURE_BYTES
        and int.from_bytes(signature[32:], "little") < _ORDER
        and _is_sound_point(public_key)
        and _is_sound_point(signature[:32])
    )


def _is_sound_point(encoded: bytes) -> bool:
    y = int.from_bytes(encoded, "little") & _Y_BITS
    return y < _FIELD and y not in _SMALL_ORDER_YS
