"""What names bytes: BLAKE3-256, written as a CIDv1.

A digest never stands alone: whoever refers to one also says what kind of blob it names (a chunk, a chunk list, a
manifest page) and how long it is, and each structural blob begins with a tag of its own, so bytes of one kind cannot
pass for another. Source: proto/identifiers.md §1.
"""

from __future__ import annotations

import base64
import binascii
from enum import Enum

import msgspec
from blake3 import blake3

from p2phub.errors import Malformed

DIGEST_BYTES = 32
_BLAKE3_MULTIHASH = b"\x1e\x20"


class Codec(Enum):
    """The multicodec that the text form carries: what the named bytes are."""

    RAW = b"\x55"
    MSGPACK = b"\x81\x04"  # 0x0201 as an unsigned varint.


class Digest(msgspec.Struct, frozen=True, order=True):
    """BLAKE3-256 of a blob: `raw` is its 32 bytes."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != DIGEST_BYTES:
            raise Malformed("digest-length", f"a digest has {DIGEST_BYTES} bytes, not {len(self.raw)}")

    def text(self, codec: Codec = Codec.RAW) -> str:
        """Return the CIDv1 in base32 (`b…`): 59 characters for raw bytes, 61 for msgpack."""
        packed = b"\x01" + codec.value + _BLAKE3_MULTIHASH + self.raw
        return "b" + base64.b32encode(packed).decode("ascii").rstrip("=").lower()

    def __str__(self) -> str:
        return self.text()


def digest_of(data: bytes | bytearray | memoryview) -> Digest:
    """Return the digest of `data`. Frees the GIL for more than a few KiB."""
    return Digest(blake3(data).digest())


def parse_digest(text: str) -> tuple[Digest, Codec]:
    """Read the text form back. Raises Malformed for any but the one canonical spelling."""
    if len(text) > 64 or not text.startswith("b") or text != text.lower():
        raise Malformed("digest-text", f"not a digest: {text[:80]!r}")
    body = text[1:].upper()
    try:
        packed = base64.b32decode(body + "=" * (-len(body) % 8))
    except (binascii.Error, ValueError) as exc:
        raise Malformed("digest-text", f"not base32: {text[:80]!r}") from exc
    for codec in Codec:
        prefix = b"\x01" + codec.value + _BLAKE3_MULTIHASH
        if packed.startswith(prefix) and len(packed) == len(prefix) + DIGEST_BYTES:
            digest = Digest(packed[len(prefix) :])
            if digest.text(codec) == text:
                return digest, codec
    raise Malformed("digest-text", f"not a BLAKE3-256 CIDv1: {text[:80]!r}")
