"""Build the bytes of vectors by hand: records, signatures, long inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgpack
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Case = dict[str, Any]

VECTORS = Path(__file__).parents[3] / "proto" / "vectors"
ALICE, BOB = bytes(range(32)), bytes(range(32, 64))  # Secret seeds; worth nothing, for they stand here.


def key_of(seed: bytes) -> bytes:
    """Return the public key of a secret seed."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def pack(value: object) -> bytes:
    """Encode as it stands: what should be in canonical order must be given so."""
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    return packed


def record(kind: str, fields: dict[str, object], *, version: object = 1) -> bytes:
    return pack([kind, version, dict(sorted(fields.items()))])


def digest(data: bytes) -> bytes:
    return blake3(data).digest()


def prefixed(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def envelope(seed: bytes, domain: str, payload: bytes, /, **changed: object) -> bytes:
    """Sign `payload`; `changed` replaces fields afterwards."""
    message = prefixed(b"p2phub signed message 1", domain.encode(), payload)
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(message)
    fields: dict[str, object] = {"payload": payload, "signature": signature, "signer": key_of(seed)}
    return record("p2phub signed", {**fields, **changed})


def gives(says: str, give: dict[str, Any], **inputs: Any) -> Case:
    return {"says": says, **inputs, "gives": give}


def breaks(says: str, rule: str, **inputs: Any) -> Case:
    return {"says": says, **inputs, "breaks": rule}
