"""A file that is being hashed: what is done of it can be noted at any moment, and gone on from.

The thread that hashes it tells of each chunk; another, which notes what was done, asks `so_far`, and no lock is needed:
what it is told is one value, replaced by the next. Where a SHA-256 cannot be saved (`sha256`), nothing is told of any
file, and who is killed begins it again.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Sequence

from blake3 import blake3

from p2phub import limits
from p2phub.content import DIGEST_BYTES
from p2phub.engine import sha256
from p2phub.store import Fingerprint, PartHashed


def is_kept(size: int) -> bool:
    """Whether parts are kept of a file of so many bytes: a smaller one has a SHA-1 besides, and is soon read again."""
    return size > limits.GIT_SHA1_FILE_BYTES_MAX


class AtHand:
    """How far one file is. `lengths` are those of its chunks; `trusted`: its fingerprint, from before, is not too young
    to tell later that it did not change."""

    def __init__(self, fingerprint: Fingerprint, lengths: Sequence[int], *, trusted: bool) -> None:
        self._fingerprint = fingerprint
        self._lengths = lengths
        saved = sha256.begin() if trusted and is_kept(fingerprint.size) else None
        self._saved = saved
        self._whole = saved or hashlib.sha256()
        self._cuts = b"" if saved is None else blake3(array("Q", lengths).tobytes()).digest()
        self._digests = bytearray()
        self._offset = 0
        self._latest: tuple[int, int, bytes] | None = None  # Chunks, where they end, and the SHA-256 there.

    @property
    def chunks(self) -> int:
        """How many chunks are done."""
        return len(self._digests) // DIGEST_BYTES

    @property
    def digests(self) -> bytes:
        """Theirs, packed."""
        return bytes(self._digests)

    def add(self, chunk: memoryview, digest: bytes) -> None:
        """Take the next chunk, which has this digest."""
        self._whole.update(chunk)
        self._digests += digest
        self._offset += len(chunk)
        if self._saved is not None:
            self._latest = (self.chunks, self._offset, self._saved.snapshot())

    def sha256(self) -> bytes:
        """Return the digest of what was added."""
        return self._whole.digest()

    def so_far(self) -> PartHashed | None:
        """Return what is done of it; None if nothing is, or that cannot be kept. For any thread."""
        if self._latest is None:
            return None
        chunks, offset, snapshot = self._latest
        state = sha256.state_of(snapshot)
        return PartHashed(self._fingerprint, self._cuts, offset, bytes(self._digests[: chunks * DIGEST_BYTES]), state)

    def go_on_from(self, part: PartHashed, digest_at: Callable[[int, int], bytes]) -> bool:
        """Go on from what an earlier pass noted, and return whether that can be: if it is of this very file, cut as it
        is now, and its last chunk has the digest that was noted; `digest_at(offset, length)` reads that."""
        assert not self._digests
        count = part.chunks
        if self._saved is None or (part.fingerprint, part.cuts) != (self._fingerprint, self._cuts):
            return False
        if not 0 < count <= len(self._lengths) or part.offset != sum(self._lengths[:count]):
            return False
        saved = sha256.resume(part.state, part.offset)
        last = self._lengths[count - 1]
        if saved is None or digest_at(part.offset - last, last) != part.digests[-DIGEST_BYTES:]:
            return False
        self._saved = self._whole = saved
        self._digests += part.digests
        self._offset = part.offset
        self._latest = (count, part.offset, saved.snapshot())
        return True
