"""Read a held manifest back from its disk and compare every chunk with its digest."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from blake3 import blake3

from p2phub import limits
from p2phub.content import ReadPlan
from p2phub.engine.workers import Workers
from p2phub.errors import HubError
from p2phub.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Damage:
    """`chunks` (indices within the file) of `path` that do not have their digest; empty with `reason` if unreadable."""

    path: str
    chunks: tuple[int, ...]
    reason: str


async def verify(
    manifest: Manifest, plan: ReadPlan, *, workers: Workers, advanced: Callable[[int], None]
) -> tuple[Damage, ...]:
    """Return what is damaged; nothing if all is as published. `advanced(bytes)` is told from a worker thread."""
    return await workers.run(lambda: tuple(_damages(manifest, plan, advanced)))


def _damages(manifest: Manifest, plan: ReadPlan, advanced: Callable[[int], None]) -> list[Damage]:
    buffer = memoryview(bytearray(limits.CHUNK_BYTES_MAX))
    found = []
    for number, entry in enumerate(manifest.files):
        try:
            file = plan.open(number)
        except HubError as error:
            found.append(Damage(entry.path, (), error.message))
            continue
        try:
            first, stop = plan.table.span(number)
            bad = []
            for chunk in plan.table.chunks(first, stop - first):
                part = buffer[: chunk.length]
                if (
                    os.preadv(file.descriptor, [part], chunk.offset) != chunk.length
                    or blake3(part).digest() != chunk.digest
                ):
                    bad.append(chunk.index - first)
                advanced(chunk.length)
            if bad:
                found.append(Damage(entry.path, tuple(bad), "bytes differ from what was published"))
        except OSError as exc:
            found.append(Damage(entry.path, (), f"cannot be read: {exc.strerror}"))
        finally:
            file.close()
    return found
