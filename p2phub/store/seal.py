"""How a journal shows that this home wrote it, and about the folder that it lies in: each record ends in a tag.

A folder can come from anywhere: unpacked from an archive it belongs to the user like any other, and what its journal
says was chosen by whoever packed it. A tag is keyed BLAKE3 of the record and its place in the journal; its key is made
of the home's secret, the journal's header (manifest, table, a nonce) and the folder's device and inode. So a record
speaks nowhere but in the journal, at the offset and in the folder that it was written for. Pure. Threat T54.
"""

from __future__ import annotations

import hmac
import struct

from blake3 import blake3

SECRET_BYTES = 32
NONCE_BYTES = 16
TAG_BYTES = 16
_FOLDER = struct.Struct(">QQ")
_PLACE = struct.Struct(">Q")


class Seal:
    """Makes and judges the tags of one journal."""

    def __init__(self, secret: bytes, header: bytes, *, device: int, inode: int) -> None:
        """`secret` is the home's; `header` the first record of the journal; device and inode its folder's."""
        assert len(secret) == SECRET_BYTES
        self._key = blake3(_FOLDER.pack(device, inode) + header, key=secret).digest()

    def tag(self, body: bytes, at: int) -> bytes:
        """Return the tag of the record of `body` that stands at offset `at`."""
        return blake3(_PLACE.pack(at), key=self._key).update(body).digest(TAG_BYTES)

    def holds(self, tag: bytes, body: bytes, at: int) -> bool:
        return hmac.compare_digest(tag, self.tag(body, at))
