"""Read a held manifest back from its disk and compare every chunk with its digest.

Whatever the fingerprints say: a file that was touched may still be right, one that was not may have rotted.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import msgspec
from blake3 import blake3

from p2phub import limits
from p2phub.content import ChunkTable, RangeSet
from p2phub.engine.workers import Workers
from p2phub.errors import HubError
from p2phub.manifest import Manifest
from p2phub.store import Holding, Store


class Damage(msgspec.Struct, frozen=True):
    """`chunks` (indices within the file) of `path` that do not have their digest; empty with `reason` if unreadable."""

    path: str
    chunks: tuple[int, ...]
    reason: str


async def verify(
    holding: Holding,
    manifest: Manifest,
    table: ChunkTable,
    *,
    files: RangeSet,
    store: Store,
    workers: Workers,
    advanced: Callable[[int], None],
) -> tuple[Damage, ...]:
    """Return what of `files` (by number) of `holding` is not as `manifest` says, wherever it stands; nothing if all is.
    What was in doubt and is right is held again. `advanced(bytes)` is told in a worker.

    Cancelled, it ends with the chunk that it is at.
    """

    def look(stopped: Callable[[], bool]) -> tuple[Damage, ...]:
        damages = (_damage(holding, manifest, table, number, store, advanced, stopped) for number in files)
        return tuple(damage for damage in damages if damage is not None)

    return await workers.run_until_cancelled(look)


def _damage(
    holding: Holding,
    manifest: Manifest,
    table: ChunkTable,
    number: int,
    store: Store,
    advanced: Callable[[int], None],
    stopped: Callable[[], bool],
) -> Damage | None:
    entry = manifest.files[number]
    if stopped():
        return None
    try:
        file = store.open_held(holding.manifest, holding.folder, number)
    except HubError as error:
        return Damage(entry.path, (), error.message)
    buffer = memoryview(bytearray(min(entry.size, limits.CHUNK_BYTES_MAX)))
    first, stop = table.span(number)
    bad = []
    try:
        found = store.fingerprint_of(file)
        longer = found.size > entry.size
        for chunk in table.chunks(first, stop - first):
            if stopped():
                return None
            part = buffer[: chunk.length]
            whole = os.preadv(file.descriptor, [part], chunk.offset) == chunk.length
            if not whole or blake3(part).digest() != chunk.digest:
                bad.append(chunk.index - first)
            advanced(chunk.length)
        if not bad and not longer and file.unchanged():
            store.mark_right(holding.manifest, holding.folder, number, found)
    except OSError as exc:
        return Damage(entry.path, (), f"cannot be read: {exc.strerror}")
    finally:
        file.close()
    if bad:
        return Damage(entry.path, tuple(bad), "bytes differ from what was published")
    return Damage(entry.path, (), "is longer than what was published") if longer else None
