"""The one read pass over a file that gives all its identities.

Chunks by BLAKE3, the whole by SHA-256 (as the HF hub, Ollama and OCI name it) and, for small files, git's SHA-1. Both
hashes free the GIL for a chunk's length, so files hash in parallel threads. Source: proto/manifest.md §5.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import trio
from blake3 import blake3

from p2phub import limits
from p2phub.content import Readable, chunk_list, cut_points, digest_of, encode_lists
from p2phub.engine.workers import Workers
from p2phub.errors import ContentChanged, DiskError, HubError
from p2phub.formats import boundaries, danger_of, encode_layout, layout_of
from p2phub.manifest import FileEntry
from p2phub.observe import PublishProgress, Watch
from p2phub.store import Fingerprint, FoundFile, HashedFile, Scan, Store


class FolderHashed(msgspec.Struct, frozen=True):
    """All files of a folder in manifest order; `blobs`: the lists and layouts found; `bytes_hashed` were read for it;
    `remarks`: (path, what its publisher should know of it)."""

    files: tuple[HashedFile, ...]
    blobs: tuple[bytes, ...]
    bytes_hashed: int
    remarks: tuple[tuple[str, str], ...]


class _Stopped(Exception):
    """Nobody waits for the result any more."""


async def hash_folder(folder: Path, scan: Scan, *, store: Store, workers: Workers, watch: Watch) -> FolderHashed:
    """Hash what `scan` found, but not what an earlier publish hashed and whose fingerprint still holds.

    Raises ContentChanged or DiskError. Cancelled, it ends with the chunk that each thread is at.
    """
    remembered = await workers.run(lambda: store.remembered(folder))
    files = scan.files  # In path order, as a manifest has them; by number from here on.
    bytes_total = 0
    results: list[HashedFile | None] = [None] * len(files)
    todo: list[int] = []
    for number, found in enumerate(files):
        bytes_total += found.fingerprint.size
        known = remembered.get(found.path)
        if known is not None and known.trusted and known.fingerprint == found.fingerprint:
            results[number] = known
        else:
            todo.append(number)
    # The longest first, so that none starts last.
    todo.sort(key=lambda number: files[number].fingerprint.size, reverse=True)
    waiting = iter(todo)  # Shared by the threads: the GIL makes `next` of a list iterator atomic.
    read = [0] * workers.threads  # One slot a thread: `+=` on a shared number would need a lock.
    blobs: list[bytes] = []
    remarks: list[tuple[str, str]] = []
    failures: list[HubError] = []
    stopped = False

    def hash_until_done(slot: int) -> None:
        def advanced(count: int) -> None:
            read[slot] += count
            if stopped or failures:
                raise _Stopped

        for number in waiting:
            found = files[number]
            try:
                results[number], lists, odd = _hash_found(folder, found, store, advanced)
            except _Stopped:
                return
            except HubError as error:
                failures.append(error)
                return
            blobs.extend(lists)
            remarks.extend((found.path, what) for what in odd)

    async def run_slot(slot: int) -> None:
        await workers.run_long(lambda: hash_until_done(slot))

    def tell() -> None:
        watch(PublishProgress(bytes_hashed=sum(read), bytes_total=bytes_total, files=len(files)))

    async def keep_telling() -> None:
        nonlocal stopped
        try:
            while True:
                await trio.sleep(TELL_S)
                tell()
        finally:
            stopped = True  # Also when cancelled from outside: the threads see it after the chunk they are at.

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_telling)
        async with trio.open_nursery() as slots:
            for slot in range(min(workers.threads, len(todo))):
                slots.start_soon(run_slot, slot)
        nursery.cancel_scope.cancel()
    if failures:
        raise failures[0]
    tell()
    hashed = tuple(item for item in results if item is not None)
    assert len(hashed) == len(files)
    return FolderHashed(hashed, tuple(blobs), sum(read), tuple(sorted(remarks)))


def _hash_found(
    folder: Path, found: FoundFile, store: Store, advanced: Callable[[int], None]
) -> tuple[HashedFile, tuple[bytes, ...], tuple[str, ...]]:
    file = store.open_in_place(folder, found.path)
    try:
        before = store.fingerprint_of(file)
        if before == found.fingerprint:
            before = found.fingerprint  # One of two equal ones, for the sake of a million files.
        return hash_file(found.path, file, before, now_ns=time.time_ns(), advanced=advanced)
    finally:
        file.close()


TELL_S = 0.25  # How often a watcher hears of progress.


def hash_file(
    path: str, file: Readable, before: Fingerprint, *, now_ns: int, advanced: Callable[[int], None]
) -> tuple[HashedFile, tuple[bytes, ...], tuple[str, ...]]:
    """Return what `file` is, the blobs to keep for it (chunk lists, layout), and what its publisher should know of it:
    that it is not what it is called, that loading it may run code.

    `before` is its fingerprint when opened, at `now_ns`; `advanced(bytes)` is told of each chunk read, from this
    thread. Raises ContentChanged if the file changed meanwhile, DiskError if it cannot be read. Blocks.
    """
    size = before.size

    def read(offset: int, length: int) -> bytes:
        return read_exactly(file.descriptor, offset, length, path)

    layout = layout_of(path, size, read)
    danger = danger_of(size, read)
    odd = tuple(what for what in (layout.problem, danger and f"loading it may run code: {danger}") if what)
    cuts = cut_points(boundaries(layout), size)
    lengths = [stop - start for start, stop in itertools.pairwise(cuts)]
    whole = hashlib.sha256()
    git = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False) if size <= limits.GIT_SHA1_FILE_BYTES_MAX else None
    digests = bytearray()
    buffer = memoryview(bytearray(max(lengths, default=0)))
    for start, length in zip(cuts, lengths, strict=False):
        part = buffer[:length]
        if _preadv(file.descriptor, part, start, path) != length:
            raise ContentChanged(f"{path} became shorter while it was read", hint="publish again when it is quiet")
        digests += blake3(part).digest()
        whole.update(part)
        if git is not None:
            git.update(part)
        advanced(length)
    if not file.unchanged():
        raise ContentChanged(f"{path} changed while it was read", hint="publish again when it is quiet")
    chunks = chunk_list(lengths, bytes(digests))
    root, blobs = encode_lists(chunks)
    layout_blob = encode_layout(layout) if layout.spans else None
    entry = FileEntry(
        path=path,
        size=size,
        chunks=len(chunks),
        root=root,
        sha256=whole.digest(),
        git_sha1=git.digest() if git is not None else None,
        layout=digest_of(layout_blob) if layout_blob is not None else None,
    )
    hashed = HashedFile(
        entry=entry,
        chunks=chunks if len(chunks) > 1 else None,
        fingerprint=before,
        trusted=before.settled(now_ns),
    )
    return hashed, blobs if layout_blob is None else (*blobs, layout_blob), odd


def read_exactly(descriptor: int, offset: int, length: int, path: str) -> bytes:
    """Return `length` bytes of an open file. Raises ContentChanged if it is shorter, DiskError."""
    data = bytearray(length)
    if _preadv(descriptor, memoryview(data), offset, path) != length:
        raise ContentChanged(f"{path} became shorter while it was read", hint="publish again when it is quiet")
    return bytes(data)


def _preadv(descriptor: int, into: memoryview, offset: int, path: str) -> int:
    """Fill `into` from `offset`; returns less only at the end of the file."""
    got = 0
    while got < len(into):
        try:
            count = os.preadv(descriptor, [into[got:]], offset + got)
        except OSError as exc:
            hint = "check the disk, or leave the file out with --ignore PATTERN"
            raise DiskError(f"cannot read {path}: {exc.strerror}", hint=hint) from exc
        if count == 0:
            break
        got += count
    return got
