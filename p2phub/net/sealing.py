"""Seal what is sent, and open what comes: AEGIS-128L, a key and a counter for each direction of a connection.

    record = u32 big-endian length of what is sealed | the same number of bytes | 32 bytes of tag

The keys are TLS's (its exporter); a record's nonce is its number in its direction, its length is authenticated beside
it. AEGIS-128L is computed by libsodium through PyNaCl's cffi handles, a call a record, without the GIL and into the
caller's buffer. Those are private names; where they are missing, or the processor has no instructions for AES (it would
be a hundred times slower then), connections stay with TLS's own records. Source: proto/transfer.md §1; why:
docs/decisions/0112.
"""

from __future__ import annotations

from typing import Any

from p2phub import limits
from p2phub.errors import Malformed

HEAD_BYTES = 4
TAG_BYTES = 32


def record_bytes(length: int) -> int:
    """Return how long the record of `length` bytes is."""
    return HEAD_BYTES + length + TAG_BYTES


RECORD_ROOM = record_bytes(limits.RECORD_BYTES_MAX)
"""What the largest record takes."""

SECRET_BYTES = 32
"""Of one direction: 16 of key, and 16 that its record numbers are added to."""

try:
    from nacl import _sodium  # Not `nacl.bindings`, which loads everything that libsodium can do.

    _LIB: Any = _sodium.lib
    _FFI: Any = _sodium.ffi
except (ImportError, AttributeError):
    _LIB = _FFI = None


def _is_fast() -> bool:
    names = ("crypto_aead_aegis128l_encrypt", "crypto_aead_aegis128l_decrypt", "crypto_aead_aes256gcm_is_available")
    if not all(hasattr(_LIB, name) for name in names) or not hasattr(_FFI, "from_buffer"):
        return False
    _LIB.sodium_init()  # Chooses the code for this processor; any number of times.
    return bool(_LIB.crypto_aead_aes256gcm_is_available())  # Says whether there are instructions for AES.


CAN_SEAL = _is_fast()
"""Whether AEGIS-128L is at hand, and fast."""


class _Direction:
    """The key of one direction, and the nonces of its records, one after the other."""

    def __init__(self, secret: bytes) -> None:
        assert len(secret) == SECRET_BYTES
        self._key, self._base = secret[:16], int.from_bytes(secret[16:], "big")
        self._number = 0

    def _next_nonce(self) -> bytes:
        nonce = (self._base ^ self._number).to_bytes(16, "big")
        self._number += 1
        return nonce


class Sealer(_Direction):
    """Makes the records of one direction, in their order."""

    def seal(self, data: memoryview, into: memoryview) -> int:
        """Seal `data`, 1 to RECORD_BYTES_MAX bytes, as the next record at the beginning of `into`; return its length.

        `into` has room for it (RECORD_ROOM always has) and shares no byte with `data`.
        """
        length = len(data)
        end = record_bytes(length)
        assert 0 < length <= limits.RECORD_BYTES_MAX
        assert end <= len(into)
        head = length.to_bytes(HEAD_BYTES, "big")
        into[:HEAD_BYTES] = head
        with _FFI.from_buffer(data) as source, _FFI.from_buffer(into) as target:
            _LIB.crypto_aead_aegis128l_encrypt(
                target + HEAD_BYTES,
                _FFI.NULL,
                source,
                length,
                head,
                HEAD_BYTES,
                _FFI.NULL,
                self._next_nonce(),
                self._key,
            )
        return end


class Opener(_Direction):
    """Opens the records of one direction, in their order."""

    def open(self, head: bytes, sealed: memoryview, into: memoryview) -> None:
        """Open the next record into `into`, of the length that `head` says; `sealed` is what follows the head.

        Raises Malformed("record-forged") if it is not, byte for byte, what was sealed next; `into` holds nothing then.
        """
        assert len(sealed) == len(into) + TAG_BYTES
        with _FFI.from_buffer(sealed) as source, _FFI.from_buffer(into) as target:
            failed = _LIB.crypto_aead_aegis128l_decrypt(
                target,
                _FFI.NULL,
                _FFI.NULL,
                source,
                len(sealed),
                head,
                HEAD_BYTES,
                self._next_nonce(),
                self._key,
            )
        if failed:
            raise Malformed("record-forged", "a record that was not sealed by the peer")


def sealed_bytes(head: bytes) -> int:
    """Return how many bytes the record has that begins with `head`. Raises Malformed("record-length")."""
    length = int.from_bytes(head, "big")
    if not 0 < length <= limits.RECORD_BYTES_MAX:
        raise Malformed("record-length", f"a record of {length} bytes")
    return length
