"""Read a held manifest back from its disk and compare every chunk with its digest.

Whatever the fingerprints say: a file that was touched may still be right, one that was not may have rotted. What is
right is held again, also if it was in doubt: a disk that was away for a while leaves no trace.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import msgspec
from blake3 import blake3

from p2phub import limits
from p2phub.content import ChunkTable, RangeSet
from p2phub.engine.workers import Workers
from p2phub.errors import ContentChanged, HubError
from p2phub.manifest import Manifest
from p2phub.store import Fingerprint, Holding, Store


class Damage(msgspec.Struct, frozen=True):
    """`chunks` (indices within the file) of `path` that do not have their digest; empty with `reason` if unreadable.
    `is_there`: something was opened there and is wrong. `is_missing`: nothing is there. If neither, it could not be
    opened now, which says nothing about what it is."""

    path: str
    chunks: tuple[int, ...]
    reason: str
    is_there: bool = True
    is_missing: bool = False


class _Right(msgspec.Struct, frozen=True):
    """How a file is that is right, and whether that alone will tell later that it did not change."""

    fingerprint: Fingerprint
    trusted: bool


class Verified(msgspec.Struct, frozen=True):
    """What is wrong. `restored`: files were in doubt, or had other times, and are right. `is_away`: of all that was
    looked for nothing is there: perhaps a disk is not mounted."""

    damages: tuple[Damage, ...]
    restored: bool
    is_away: bool


async def verify(
    holding: Holding,
    manifest: Manifest,
    table: ChunkTable,
    *,
    files: RangeSet,
    store: Store,
    workers: Workers,
    advanced: Callable[[int], None],
) -> Verified:
    """Return what of `files` (by number) of `holding` is not as `manifest` says, wherever it stands; what is, is held
    again. `advanced(bytes)` is told in a worker.

    Cancelled, it ends with the chunk that it is at.
    """

    def look(stopped: Callable[[], bool]) -> Verified:
        damages: list[Damage] = []
        restored = False
        for number in files:
            if stopped():
                break
            found = _look_at(holding, manifest, table, number, store, advanced, stopped)
            if isinstance(found, Damage):
                damages.append(found)
            elif found is not None:
                restored |= store.mark_right(
                    holding.manifest, holding.folder, number, found.fingerprint, trusted=found.trusted
                )
        is_away = len(damages) == len(files) > 0 and all(damage.is_missing for damage in damages)
        return Verified(tuple(damages), restored, is_away)

    return await workers.run_until_cancelled(look)


def _look_at(
    holding: Holding,
    manifest: Manifest,
    table: ChunkTable,
    number: int,
    store: Store,
    advanced: Callable[[int], None],
    stopped: Callable[[], bool],
) -> Damage | _Right | None:
    """Return how a file is that is right, or what is wrong; None if it was stopped, or changed while it was read."""
    entry = manifest.files[number]
    try:
        file = store.open_held(holding.manifest, holding.folder, number)
    except HubError as error:
        return Damage(entry.path, (), error.message, is_there=False, is_missing=isinstance(error, ContentChanged))
    buffer = memoryview(bytearray(min(entry.size, limits.CHUNK_BYTES_MAX)))
    first, stop = table.span(number)
    bad = []
    try:
        found = store.fingerprint_of(file)
        trusted = found.settled(time.time_ns()) and store.shows_writes(file)
        for chunk in table.chunks(first, stop - first):
            if stopped():
                return None
            part = buffer[: chunk.length]
            whole = os.preadv(file.descriptor, [part], chunk.offset) == chunk.length
            if not whole or blake3(part).digest() != chunk.digest:
                bad.append(chunk.index - first)
            advanced(chunk.length)
        if bad:
            return Damage(entry.path, tuple(bad), "bytes differ from what was published")
        if found.size > entry.size:
            return Damage(entry.path, (), "is longer than what was published")
        return _Right(found, trusted) if file.unchanged() else None
    except OSError as exc:
        return Damage(entry.path, (), f"cannot be read: {exc.strerror}")
    finally:
        file.close()
