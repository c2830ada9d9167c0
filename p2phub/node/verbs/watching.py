"""What somebody who looks on is told, again and again: a page, an operator's gauge. Cheap, and nothing is changed.

`pulse` is for twice a second: no process is measured for it and no name looked up, unlike `status`. `extents` says
which bytes of a manifest stand here, the ones that are on their way included; `holders` who else has it.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterable
from pathlib import Path

from p2phub import limits
from p2phub.content import ChunkTable, Codec, Digest, RangeSet, parse_digest
from p2phub.engine.assembly import chunk_table
from p2phub.errors import NotFound, UsageError
from p2phub.manifest import Manifest
from p2phub.node.running import JsonObject, Running
from p2phub.node.verbs.describing import search_of_peers
from p2phub.node.verbs.planning import provider_json, providers_of
from p2phub.observe import Watch


async def pulse(node: Running, watch: Watch) -> JsonObject:
    """Return what moves this moment, and whether what is held or named here changed since ("changes" grows then)."""
    parts = node.parts
    home = parts.config.home
    jobs = node.jobs
    explained = {job["job"] for job in jobs[-limits.JOBS_EXPLAINED_MAX :]}
    return {
        "jobs": [
            {**job, "explanation": node.explained(job["job"]) if job["job"] in explained else None} for job in jobs
        ],
        "bytes_sent": sum(parts.shelf.bytes_sent.values()),
        "up": node.capping.node.up,
        "down": node.capping.node.down,
        "by_schedule": node.capping.by_schedule,
        "changes": node.changes,
        "free_bytes": await parts.workers.run(lambda: _free_bytes(home)),
        "quota": parts.config.quota,
    }


def _free_bytes(home: Path) -> int | None:
    """Return how much room the disk of the home has for us, None if it does not tell. Blocks."""
    try:
        found = os.statvfs(home)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


async def extents(
    node: Running, watch: Watch, *, manifest: str, first: int = 0, count: int = 1000, largest: bool = False
) -> JsonObject:
    """Return which bytes of each file are here, of `count` files from number `first` on, or of the `largest`. Raises
    NotFound where what is in the manifest is not known here, UsageError."""
    digest = parse_digest(manifest)[0]
    if first < 0 or not 0 <= count <= limits.EXTENTS_FILES_MAX:
        raise UsageError(f"files are told of from a number on, at most {limits.EXTENTS_FILES_MAX} at a time")
    coming = node.coming(digest)
    return await node.parts.workers.run(lambda: _extents(node, digest, coming, first, count, largest))


def _extents(node: Running, digest: Digest, coming: RangeSet, first: int, count: int, largest: bool) -> JsonObject:
    """Blocks."""
    store = node.parts.store
    manifest = node.manifest_of(digest)
    if manifest is None:
        raise NotFound(f"what is in {digest.text(Codec.MSGPACK)} is not known here")
    table = chunk_table(manifest, store.blob)
    here = RangeSet.of(run for held in (coming, *(each.held for each in node.held(digest))) for run in held.runs)
    numbers: Iterable[int] = range(first, min(first + count, len(manifest.files)))
    if largest:
        numbers = heapq.nlargest(count, range(len(manifest.files)), key=lambda number: manifest.files[number].size)
    return {
        "manifest": digest.text(Codec.MSGPACK),
        "bytes": table.bytes_total,
        "bytes_here": table.bytes_of(here),
        "files_total": len(manifest.files),
        "files": [_file_json(manifest, table, here, number) for number in numbers],
    }


def _file_json(manifest: Manifest, table: ChunkTable, here: RangeSet, number: int) -> JsonObject:
    span = table.span(number)
    runs = (here & RangeSet((span,))).runs if span[0] < span[1] else ()
    spans = [(table.chunk(start), table.chunk(stop - 1)) for start, stop in runs]
    entry = manifest.files[number]
    return {
        "path": entry.path,
        "size": entry.size,
        "chunks": span[1] - span[0],
        "here": [[begin.offset, end.offset + end.length] for begin, end in spans],
    }


async def holders(node: Running, watch: Watch, *, ref: str) -> JsonObject:
    """Return who is known, or found within some seconds, to have what `ref` is. Nobody is dialled for it. Raises
    HubError where the reference leads to nothing."""
    resolved = await node.parts.resolver.resolve(ref, ())
    found = await providers_of(search_of_peers(node, resolved, ()), resolved)
    return {"items": [provider_json(each) for each in found]}
