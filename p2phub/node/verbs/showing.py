"""What somebody who looks on is told, again and again: a page, an operator's gauge. Cheap, and nothing is changed.

`pulse` is for twice a second: no process is measured for it and no name looked up, unlike `status`. `extents` says
which bytes of a manifest stand here, the ones that are on their way included; `holders` who else has it.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from p2phub import limits
from p2phub.content import ChunkTable, Codec, Digest, RangeSet, parse_digest
from p2phub.engine.assembly import chunk_table
from p2phub.engine.resolve import Resolved
from p2phub.errors import NotFound, UsageError
from p2phub.manifest import Manifest
from p2phub.node.releases import contradiction_json
from p2phub.node.running import JsonObject, Running
from p2phub.node.verbs.describing import described, evidence_about, release_shown, search_of_peers
from p2phub.node.verbs.holding import of_holdings
from p2phub.node.verbs.planning import provider_json, providers_of
from p2phub.observe import Watch
from p2phub.store import Holding, Origin


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
        "bytes_sent": parts.shelf.bytes_sent_in_all(),
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
    node: Running, watch: Watch, *, ref: str, first: int = 0, count: int = 1000, largest: bool = False
) -> JsonObject:
    """Return which bytes of each file are here, of `count` files from number `first` on, or of the `largest`; of what
    is not held here it is asked what is in it. Raises HubError where the reference leads to nothing."""
    if first < 0 or not 0 <= count <= limits.EXTENTS_FILES_MAX:
        raise UsageError(f"files are told of from a number on, at most {limits.EXTENTS_FILES_MAX} at a time")
    parts = node.parts
    resolved = await parts.workers.run(lambda: _held_here(node, ref)) or await parts.resolver.resolve(ref, ())
    digest = resolved.manifest
    manifest, why = await described(node, resolved, ())
    arriving = node.arriving(digest)
    evidence = await parts.workers.run(lambda: evidence_about(parts, resolved.release))
    told: JsonObject = {"bytes": None, "bytes_here": None, "files_total": None, "files": None}
    if manifest is not None:
        told = await parts.workers.run(lambda: _extents(node, digest, manifest, arriving, first, count, largest))
    return {
        "manifest": digest.text(Codec.MSGPACK),
        "release": release_shown(resolved, evidence),
        "contradiction": contradiction_json(evidence),
        **told,
        "files_unknown_because": why,
    }


def _held_here(node: Running, ref: str) -> Resolved | None:
    """Return what a reference means here, if that is held. Blocks."""
    try:
        known = node.parts.resolver.known_here(ref)
    except (NotFound, UsageError):  # Of an unknown name, or none at all: it is said when it is looked up.
        return None
    return known if node.parts.store.holdings(known.manifest) else None


def _extents(
    node: Running,
    digest: Digest,
    manifest: Manifest,
    arriving: Sequence[tuple[ChunkTable, RangeSet]],
    first: int,
    count: int,
    largest: bool,
) -> JsonObject:
    """Blocks."""
    held = [each.held for each in node.held(digest) if each.held]
    here = RangeSet.of(run for each in (*held, *(had for _, had in arriving)) for run in each.runs)
    table: ChunkTable | None = None  # Whoever holds nothing may lack the chunk lists, too.
    if here:
        table = arriving[0][0] if arriving else chunk_table(manifest, node.parts.store.blob)
    numbers: Iterable[int] = range(first, min(first + count, len(manifest.files)))
    if largest:
        numbers = heapq.nlargest(count, range(len(manifest.files)), key=lambda number: manifest.files[number].size)
    return {
        "bytes": sum(entry.size for entry in manifest.files),
        "bytes_here": 0 if table is None else table.bytes_of(here),
        "files_total": len(manifest.files),
        "files": [
            {
                "path": entry.path,
                "size": entry.size,
                "sha256": entry.sha256.hex(),
                "chunks": entry.chunks,
                "here": [] if table is None else _spans(table, here, number),
            }
            for number, entry in ((number, manifest.files[number]) for number in numbers)
        ],
    }


def _spans(table: ChunkTable, here: RangeSet, number: int) -> list[list[int]]:
    """Return the bytes of a file that its chunks in `here` have."""
    first, stop = table.span(number)
    runs = (here & RangeSet(((first, stop),))).runs if first < stop else ()
    ends = [(table.chunk(start), table.chunk(stop - 1)) for start, stop in runs]
    return [[begin.offset, end.offset + end.length] for begin, end in ends]


async def holdings(node: Running, watch: Watch, *, manifests: Sequence[str]) -> JsonObject:
    """Return {"items"}: how these manifests are held, as `ls` tells it, of each the best holding. Raises UsageError."""
    if len(manifests) > limits.HOLDINGS_ASKED_MAX:
        raise UsageError(f"at most {limits.HOLDINGS_ASKED_MAX} manifests at a time")
    digests = [parse_digest(each)[0] for each in manifests]

    def told() -> list[JsonObject]:
        as_it_is = of_holdings(node.parts)
        best = [min(held, key=_rank) for digest in digests if (held := node.held(digest))]
        return [as_it_is(each) for each in best]

    return {"items": await node.parts.workers.run(told)}


def _rank(holding: Holding) -> tuple[bool, int]:
    """Whole ones first, then those that are the user's own."""
    return not holding.complete, list(Origin).index(holding.origin)


async def holders(node: Running, watch: Watch, *, ref: str) -> JsonObject:
    """Return who is known, or found within some seconds, to have what `ref` is. Nobody is dialled for it. Raises
    HubError where the reference leads to nothing."""
    resolved = await node.parts.resolver.resolve(ref, ())
    found = await providers_of(search_of_peers(node, resolved, ()), resolved)
    return {"items": [provider_json(each) for each in found]}
