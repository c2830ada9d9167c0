"""Chunk lists: the blob that says which chunks a file has, and the root that names it.

The root of a file of one chunk is that chunk's digest; of more chunks, the digest of its chunk list; of none (an empty
file), the digest of no bytes. A list of more than `CHUNKS_PER_LIST_MAX` chunks is a list of lists, one level deep.
Each list binds every chunk's length; the manifest binds the file's size and chunk count. Source: proto/manifest.md §4.

    list  = magic (8) | level u8 = 0 | 3 zero bytes | count u32 | count x (length u32)        | count x digest (32)
    lists = magic (8) | level u8 = 1 | 3 zero bytes | count u32 | count x (chunks u32)        | count x digest (32)
All integers big-endian. A list of lists: every sub-list but the last holds exactly `CHUNKS_PER_LIST_MAX` chunks.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable, Sequence

import msgspec

from p2phub import limits
from p2phub.content.digest import DIGEST_BYTES, Digest, digest_of
from p2phub.errors import Malformed

MAGIC = b"p2phcl\x00\x01"
_HEADER = struct.Struct(">8sB3sI")
EMPTY_ROOT = digest_of(b"")


class ChunkList(msgspec.Struct, frozen=True):
    """The chunks of one file, in order: `lengths` in bytes, `digests` packed 32 bytes each."""

    lengths: array[int]
    digests: bytes

    def __len__(self) -> int:
        return len(self.lengths)

    def digest(self, chunk: int) -> bytes:
        """Return the raw digest of chunk number `chunk` of this file."""
        return self.digests[chunk * DIGEST_BYTES : (chunk + 1) * DIGEST_BYTES]


def chunk_list(lengths: Sequence[int], digests: bytes) -> ChunkList:
    """Return the list of chunks of `lengths` bytes with packed `digests`. Raises Malformed if they do not fit."""
    if len(lengths) > limits.CHUNKS_PER_FILE_MAX:
        raise Malformed("chunk-count", f"{len(lengths)} chunks in one file")
    if len(digests) != len(lengths) * DIGEST_BYTES:
        raise Malformed("chunk-list-length", f"{len(lengths)} lengths but {len(digests)} bytes of digests")
    if lengths and not (min(lengths) > 0 and max(lengths) <= limits.CHUNK_BYTES_MAX):
        raise Malformed("chunk-length", f"chunks of {min(lengths)} to {max(lengths)} bytes")
    return ChunkList(array("I", lengths), digests)


def encode_lists(chunks: ChunkList) -> tuple[Digest, tuple[bytes, ...]]:
    """Return the file's root and the list blobs to store: none for up to one chunk; else the root's blob first."""
    if not len(chunks):
        return EMPTY_ROOT, ()
    if len(chunks) == 1:
        return Digest(chunks.digests), ()
    step = limits.CHUNKS_PER_LIST_MAX
    blobs = [
        _encode(0, chunks.lengths[at : at + step], chunks.digests[at * DIGEST_BYTES : (at + step) * DIGEST_BYTES])
        for at in range(0, len(chunks), step)
    ]
    if len(blobs) == 1:
        return digest_of(blobs[0]), (blobs[0],)
    counts = array("I", (min(step, len(chunks) - at) for at in range(0, len(chunks), step)))
    top = _encode(1, counts, b"".join(digest_of(blob).raw for blob in blobs))
    return digest_of(top), (top, *blobs)


def decode_lists(root: Digest, size: int, chunks: int, blob: Callable[[Digest], bytes]) -> ChunkList:
    """Return the chunk list of a file of `size` bytes in `chunks` chunks, whose blobs `blob(digest)` fetches.

    `blob` must return bytes that have the digest asked for (whoever received them checked that), or raise. Raises
    Malformed if the lists do not add up to exactly `size` and `chunks`.
    """
    if not 0 <= chunks <= limits.CHUNKS_PER_FILE_MAX:
        raise Malformed("chunk-count", f"{chunks} chunks in one file")
    if chunks <= 1:
        if (chunks == 0) != (size == 0) or size > limits.CHUNK_BYTES_MAX or (chunks == 0 and root != EMPTY_ROOT):
            raise Malformed("chunk-count", f"{chunks} chunks for {size} bytes")
        return chunk_list([size] if chunks else [], root.raw if chunks else b"")
    step = limits.CHUNKS_PER_LIST_MAX
    if chunks <= step:
        lengths, digests = _decode(blob(root), level=0, count=chunks)
    else:
        counts, roots = _decode(blob(root), level=1, count=-(-chunks // step))
        expected = array("I", (min(step, chunks - at) for at in range(0, chunks, step)))
        if counts != expected:
            raise Malformed("chunk-list-count", "a list of lists is not filled in order")
        lengths, packed = array("I"), []
        for at, count in enumerate(counts):
            part, part_digests = _decode(
                blob(Digest(roots[at * DIGEST_BYTES : (at + 1) * DIGEST_BYTES])), level=0, count=count
            )
            lengths.extend(part)
            packed.append(part_digests)
        digests = b"".join(packed)
    if sum(lengths) != size:
        raise Malformed("chunk-list-size", f"chunks of {sum(lengths)} bytes in a file of {size}")
    return chunk_list(lengths, digests)


def list_digests(root: Digest, chunks: int, top: Callable[[Digest], bytes | None]) -> tuple[Digest, ...]:
    """Return the digests of the list blobs that a file needs and that can be known now.

    `top` returns the blob of a digest if it is held. A caller asks again after it got the top of a list of lists.
    """
    if chunks <= 1:
        return ()
    held = top(root) if chunks > limits.CHUNKS_PER_LIST_MAX else None
    if held is None:
        return (root,)
    _, roots = _decode(held, level=1, count=-(-chunks // limits.CHUNKS_PER_LIST_MAX))
    return (root, *(Digest(roots[at : at + DIGEST_BYTES]) for at in range(0, len(roots), DIGEST_BYTES)))


def looks_like_lists(blob: bytes) -> bool:
    """Whether it begins as what this module writes: to say what a blob is that was asked for by its digest alone."""
    return blob.startswith(MAGIC)


def _encode(level: int, numbers: array[int], digests: bytes) -> bytes:
    return _HEADER.pack(MAGIC, level, b"\0\0\0", len(numbers)) + _big_endian(numbers).tobytes() + digests


def _decode(data: bytes, *, level: int, count: int) -> tuple[array[int], bytes]:
    if len(data) != _HEADER.size + count * (4 + DIGEST_BYTES):
        raise Malformed("chunk-list-length", f"a list of {count} has {len(data)} bytes")
    magic, found_level, zeros, found = _HEADER.unpack_from(data)
    if magic != MAGIC or found_level != level or zeros != b"\0\0\0":
        raise Malformed("chunk-list-magic", "not a chunk list of the expected level")
    if found != count:
        raise Malformed("chunk-list-count", f"{found} entries, {count} expected")
    numbers = array("I")
    numbers.frombytes(data[_HEADER.size : _HEADER.size + 4 * count])
    return _big_endian(numbers), data[_HEADER.size + 4 * count :]


def _big_endian(numbers: array[int]) -> array[int]:
    copy = array("I", numbers)
    if sys.byteorder == "little":
        copy.byteswap()
    return copy
