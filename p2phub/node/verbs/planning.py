"""What a fetch would do, before a byte of content moves: what is here already, and who is known to have the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import trio

from p2phub import limits
from p2phub.content import ChunkTable, Codec, RangeSet
from p2phub.discovery import Candidate
from p2phub.engine.choice import Choice
from p2phub.engine.choosing import Choosing
from p2phub.engine.describe import describe
from p2phub.engine.layouts import known_layouts
from p2phub.engine.resolve import Resolved
from p2phub.engine.search import Search
from p2phub.identity import parse_peer_address
from p2phub.manifest import Manifest
from p2phub.node.running import JsonObject, Running
from p2phub.node.verbs.describing import means_to_describe, search_of_peers
from p2phub.observe import Watch
from p2phub.store import Store

LOOK_S = 5.0  # How long it is looked for providers, at most: their number is all that it is for.
OTHERS_S = 0.5  # How long for others, once one is known: an address that is dead is waited for to no end.
PLACES_TOLD_MAX = 1000


async def plan(
    node: Running,
    watch: Watch,
    *,
    ref: str,
    providers: Sequence[str],
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    tensors: Sequence[str] = (),
    columns: Sequence[str] = (),
    row_groups: Sequence[str] = (),
) -> JsonObject:
    parts = node.parts
    choosing = _choosing(
        Choice(
            include=tuple(include),
            exclude=tuple(exclude),
            tensors=tuple(tensors),
            columns=tuple(columns),
            row_groups=tuple(row_groups),
        )
    )
    given = tuple(parse_peer_address(provider) for provider in providers)
    resolved = await parts.resolver.resolve(ref, given)
    assembly = await describe(
        resolved.manifest,
        search=search_of_peers(node, resolved, given),
        means=means_to_describe(parts),
        lists=True,
        layouts=choosing is not None and choosing.needs_layouts,
    )

    def look() -> JsonObject:
        manifest, table = assembly.manifest(), assembly.table()
        wanted, unmatched = _wanted(choosing, manifest, table, parts.store)
        found = _here(manifest, table, parts.store, wanted, partly=choosing is not None)
        return {"bytes": table.bytes_of(wanted), **found, "unmatched": unmatched}

    told = await parts.workers.run(look)
    missing = told["bytes"] - told["bytes_here"]
    found = await providers_of(search_of_peers(node, resolved, given), resolved) if missing else []
    return {
        "reference": ref,
        "manifest": resolved.manifest.text(Codec.MSGPACK),
        "bytes_missing": missing,
        **told,
        "providers": [provider_json(each) for each in found],
    }


def _choosing(choice: Choice) -> Choosing | None:
    """Return a choice, understood; None if it is of everything. Raises UsageError."""
    return Choosing(choice) if choice else None


def _wanted(
    choosing: Choosing | None, manifest: Manifest, table: ChunkTable, store: Store
) -> tuple[RangeSet, list[str]]:
    """Return the chunks that would be fetched, and the patterns that match nothing. Blocks. Raises UsageError where
    nothing is chosen."""
    if choosing is None:
        return RangeSet.whole(len(table)), []
    layouts = known_layouts(manifest, store) if choosing.needs_layouts else {}
    chosen = choosing.choose(manifest, table, layouts)
    return chosen.selected.chunks, [each.pattern for each in chosen.unmatched]


def _here(manifest: Manifest, table: ChunkTable, store: Store, wanted: RangeSet, *, partly: bool) -> JsonObject:
    """Return what of the wanted chunks this disk has, by the manifest's files and by where it lies. `partly`: of files
    of which nothing is wanted nothing is told. Blocks."""
    by_file: Counter[int] = Counter()
    by_place: Counter[str] = Counter()
    for run in store.local(table, wanted):
        count = table.bytes_of(RangeSet.of([(run.first, run.first + run.count)]))
        by_file[table.file_of(run.first)] += count
        by_place[str(run.file.path)] += count
    sizes = [
        table.bytes_of(wanted & RangeSet.of([table.span(number)])) if partly else entry.size
        for number, entry in enumerate(manifest.files)
    ]
    return {
        "bytes_here": sum(by_file.values()),
        "files": [
            {"path": entry.path, "bytes": sizes[number], "bytes_here": by_file[number]}
            for number, entry in enumerate(manifest.files)
            if sizes[number] or not partly
        ],
        "here": [{"path": path, "bytes": count} for path, count in by_place.most_common(PLACES_TOLD_MAX)],
    }


async def providers_of(search: Search, resolved: Resolved) -> list[Candidate]:
    """Return who is known or found within LOOK_S, or OTHERS_S of the first, each peer once. Nobody is dialled for it,
    but for those of the DHT that are asked."""
    found: dict[object, Candidate] = {}
    send, receive = trio.open_memory_channel[Candidate](limits.PROVIDERS_PER_KEY_MAX)

    async def look() -> None:
        async with send:
            await search.look(resolved.manifest, 0, send)
            if search.more():
                await search.look(resolved.manifest, 1, send)

    with trio.move_on_after(LOOK_S) as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            async for candidate in receive:
                found.setdefault(candidate.provider.peer, candidate)
                scope.deadline = min(scope.deadline, trio.current_time() + OTHERS_S)
    return list(found.values())


def provider_json(found: Candidate) -> JsonObject:
    return {"peer_id": str(found.provider.peer), "address": str(found.provider.address), "via": found.via}
