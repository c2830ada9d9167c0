"""Which chunks of a file on this disk have the digest they should: how hints and files found are turned into facts.

Reads into one reused buffer a thread and hashes there (BLAKE3 frees the GIL), in a few threads of its own that end with
the call. Nothing is believed that was not read and hashed. Where the disk fails at a chunk, a caller who can do without
says so (`Unreadable`): it is as good as wrong then. For all others that is an error, for it says nothing of the bytes.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence

from blake3 import blake3

from p2phub import limits
from p2phub.content import ChunkRef, ChunkTable, RangeSet

THREADS_MAX = 4
PART_CHUNKS = 64  # What one task reads: long enough for the disk, short enough to spread one large file.

Unreadable = Callable[[int], None]
"""Told the number of a chunk that the disk could not read (EIO), which counts as one that is not right. In any thread.
"""


def matching(fd: int, refs: Iterable[ChunkRef], unreadable: Unreadable | None = None) -> Iterator[int]:
    """Yield the numbers of those chunks whose bytes, read from `fd`, have their digest. Raises OSError."""
    buffer = memoryview(bytearray(limits.CHUNK_BYTES_MAX))
    for ref in refs:
        view = buffer[: ref.length]
        try:
            got = _read(fd, view, ref.offset)
        except OSError as exc:
            if unreadable is None or exc.errno != errno.EIO:
                raise
            unreadable(ref.index)
            continue
        if got == ref.length and blake3(view).digest() == ref.digest:
            yield ref.index


def _read(fd: int, view: memoryview, offset: int) -> int:
    """Fill `view` as far as the file goes; return how far that was."""
    got = 0
    while got < len(view):
        count = os.preadv(fd, [view[got:]], offset + got)
        if count == 0:
            break
        got += count
    return got


def matching_chunks(
    table: ChunkTable, places: Sequence[tuple[int, RangeSet]], unreadable: Unreadable | None = None
) -> RangeSet:
    """Return which chunks are right, of `places`: (descriptor, chunk numbers that should lie in that file)."""
    parts = [
        (fd, first, min(PART_CHUNKS, stop - first))
        for fd, chunks in places
        for start, stop in chunks.runs
        for first in range(start, stop, PART_CHUNKS)
    ]

    def look(part: tuple[int, int, int]) -> list[int]:
        fd, first, count = part
        return list(matching(fd, table.chunks(first, count), unreadable))

    if len(parts) <= 1:
        return RangeSet.from_indices(index for part in parts for index in look(part))
    from concurrent.futures import ThreadPoolExecutor  # A fetch into an empty folder has nothing to look at.

    with ThreadPoolExecutor(min(THREADS_MAX, os.cpu_count() or 1), thread_name_prefix="rehash") as pool:
        found: Iterable[list[int]]
        try:
            found = pool.map(look, parts)
        except RuntimeError:  # The program ends, and Python begins no thread any more; the one that we are in goes on.
            found = map(look, parts)
        return RangeSet.from_indices(index for each in found for index in each)


def is_equal(fd: int, table: ChunkTable, file: int, unreadable: Unreadable | None = None) -> bool:
    """Whether the file behind `fd`, which has the right size, has every chunk of file number `file`."""
    first, stop = table.span(file)
    head = min(PART_CHUNKS, stop - first)
    # A different file mostly differs early: look there before reading all of it.
    if sum(1 for _ in matching(fd, table.chunks(first, head), unreadable)) < head:
        return False
    rest = RangeSet.of([(first + head, stop)])
    return len(matching_chunks(table, [(fd, rest)], unreadable)) == len(rest)


def has_sha256(
    fd: int, size: int, sha256: bytes, stopped: Callable[[], bool], *, git_sha1: bytes | None = None
) -> bool:
    """Whether a file has `size` bytes with this SHA-256, as other programs name a whole file, and with this SHA-1 of
    git's, if one is given. Raises OSError.

    Ends early, with False, once `stopped()`.
    """
    if os.fstat(fd).st_size != size:
        return False
    buffer = memoryview(bytearray(min(size + 1, limits.CHUNK_BYTES_MAX)))
    found = hashlib.sha256()
    git = None if git_sha1 is None else hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    got = 0
    while count := os.preadv(fd, [buffer], got):
        if stopped():
            return False
        got += count
        if got > size:  # It grows while it is read.
            return False
        found.update(buffer[:count])
        if git is not None:
            git.update(buffer[:count])
    return got == size and found.digest() == sha256 and (git is None or git.digest() == git_sha1)
