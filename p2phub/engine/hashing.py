"""The one read pass over a file that gives all its identities.

Chunks by BLAKE3, the whole by SHA-256 (as the HF hub, Ollama and OCI name it) and, for small files, git's SHA-1. Both
hashes free the GIL for a chunk's length: files hash in parallel threads (`hashing_all`). What is done of a file can be
noted, and gone on from (`at_hand`). Source: proto/manifest.md §5.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections.abc import Callable

from blake3 import blake3

from p2phub.content import Readable, chunk_list, cut_points, digest_of, encode_lists
from p2phub.engine.at_hand import AtHand, is_kept
from p2phub.engine.preadv import read_exactly, read_into
from p2phub.errors import ContentChanged
from p2phub.formats import boundaries, danger_of, encode_layout, layout_of
from p2phub.manifest import FileEntry
from p2phub.store import Fingerprint, HashedFile, PartHashed

_log = logging.getLogger(__name__)


def hash_file(
    path: str,
    file: Readable,
    before: Fingerprint,
    *,
    trusted: bool,
    advanced: Callable[[int], None],
    begun: Callable[[AtHand], None],
    known: PartHashed | None = None,
) -> tuple[HashedFile, tuple[bytes, ...], tuple[str, ...]]:
    """Return what `file` is, the blobs to keep for it (chunk lists, layout), and what its publisher should know of it:
    that it is not what it is called, that loading it may run code.

    `before` is its fingerprint when opened; `trusted`: it will tell later that the file did not change. `begun` is told
    of it once, and `advanced(bytes)` of each chunk read, from this thread. What an earlier pass noted of it (`known`)
    is not read again, but for its last chunk.
    Raises ContentChanged if the file changed meanwhile, DiskError if it cannot be read. Blocks.
    """
    size = before.size

    def read(offset: int, length: int) -> bytes:
        return read_exactly(file.descriptor, offset, length, path)

    layout = layout_of(path, size, read)
    danger = danger_of(size, read)
    odd = tuple(what for what in (layout.problem, danger and f"loading it may run code: {danger}") if what)
    cuts = cut_points(boundaries(layout), size)
    lengths = [stop - start for start, stop in itertools.pairwise(cuts)]
    at_hand = AtHand(before, lengths, trusted=trusted)
    git = None if is_kept(size) else hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    if known is not None and not at_hand.go_on_from(known, lambda at, length: blake3(read(at, length)).digest()):
        _log.info("%s is hashed from its beginning: what was noted of it is of no use", path)
    begun(at_hand)
    done = at_hand.chunks
    buffer = memoryview(bytearray(max(lengths, default=0)))
    for start, length in zip(cuts[done:], lengths[done:], strict=False):
        part = buffer[:length]
        if read_into(file.descriptor, part, start, path) != length:
            raise ContentChanged(f"{path} became shorter while it was read", hint="publish again when it is quiet")
        at_hand.add(part, blake3(part).digest())
        if git is not None:
            git.update(part)
        advanced(length)
    if not file.unchanged():
        raise ContentChanged(f"{path} changed while it was read", hint="publish again when it is quiet")
    chunks = chunk_list(lengths, at_hand.digests)
    root, blobs = encode_lists(chunks)
    layout_blob = encode_layout(layout) if layout.spans else None
    entry = FileEntry(
        path=path,
        size=size,
        chunks=len(chunks),
        root=root,
        sha256=at_hand.sha256(),
        git_sha1=git.digest() if git is not None else None,
        layout=digest_of(layout_blob) if layout_blob is not None else None,
    )
    hashed = HashedFile(
        entry=entry,
        chunks=chunks if len(chunks) > 1 else None,
        fingerprint=before,
        trusted=trusted,
    )
    return hashed, blobs if layout_blob is None else (*blobs, layout_blob), odd
