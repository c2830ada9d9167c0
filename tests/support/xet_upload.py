"""What a client of Xet's puts into a store, made by hand: xorbs of chunks, and shards that say what files they make."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence


def chunk(content: bytes, packed: bytes | None = None, scheme: int = 0) -> bytes:
    """Return a chunk of a xorb; `packed`: what stands there for its content, by a scheme."""
    data = content if packed is None else packed
    sizes = len(data).to_bytes(3, "little") + bytes([scheme]) + len(content).to_bytes(3, "little")
    return b"\0" + sizes + data


def xorb(*chunks: bytes) -> bytes:
    return b"".join(chunks) + b"XETBLOB" + bytes(100)


def turned(digits: str) -> bytes:
    """Return the bytes of a hash that is written so."""
    raw = bytes.fromhex(digits)
    return b"".join(raw[at : at + 8][::-1] for at in range(0, 32, 8))


def file_entry(
    content: bytes, segments: Sequence[tuple[str, int, int, int]], *, verified: bool = True, sha256: str | None = None
) -> bytes:
    """Return what a shard says of a file, made of (xorb, bytes, first chunk, end chunk) each."""
    flags = 1 << 30 | (1 << 31 if verified else 0)
    told = struct.pack("<32sII8x", b"n" * 32, flags, len(segments))
    for name, size, first, end in segments:
        told += struct.pack("<32sIIII", turned(name), 0, size, first, end)
    told += bytes(48 * len(segments)) if verified else b""
    return told + turned(sha256 or hashlib.sha256(content).hexdigest()) + bytes(16)


def shard(*files: bytes) -> bytes:
    header = b"HFRepoMetaData".ljust(48, b"\x55")
    return header + b"".join(files) + b"\xff" * 32 + bytes(16) + b"more that nobody reads"
