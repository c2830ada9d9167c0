"""What this home holds: list it, its history, and whether every chunk is still right."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial
from pathlib import Path

import trio

from p2phub.content import ChunkTable, Codec, Digest, RangeSet, parse_digest
from p2phub.engine import verify as engine
from p2phub.engine.assembly import chunk_table
from p2phub.errors import DiskError, NotFound
from p2phub.identity import parse_peer_address
from p2phub.manifest import Manifest
from p2phub.node.compose import Parts, is_unfinished_in
from p2phub.node.releases import (
    earlier_references,
    history_json,
    references_by_manifest,
    references_in_places,
)
from p2phub.node.running import JsonObject, Running
from p2phub.node.unfinished import Begun, begun, forget
from p2phub.node.verbs.mending import mend
from p2phub.observe import PublishProgress, Watch
from p2phub.store import Holding, Origin

THERE_S = 2.0  # How long `ls` waits to be told which folders are there.
_LOOKS = trio.CapacityLimiter(2)  # At folders that may be anywhere.
_ONE_LOOKS = trio.CapacityLimiter(1)  # Whether they are there: on a disk that does not answer, one thread waits.


async def ls(node: Running, watch: Watch, *, manifest: str | None = None) -> JsonObject:
    """`manifest`: of this one alone, which is as quick as that is where ten thousand are held."""
    asked = None if manifest is None else parse_digest(manifest)[0]
    items = await node.parts.workers.run(lambda: _list(node.parts, asked))
    there = await _there({item["folder"] for _, item in items})
    for held, item in items:
        item["announced_to"] = node.announcer.holders(held) if node.announcer else None
        item["there"] = there.get(item["folder"])
    return {"items": [item for _, item in items]}


async def _there(folders: Set[str]) -> dict[str, bool]:
    """Return whether each folder is there, of those of which the disk says so soon; nothing in it is looked at."""
    found: dict[str, bool] = {}

    def look() -> None:
        for folder in folders:
            found[folder] = is_there(folder)

    with trio.move_on_after(THERE_S):  # One may lie on a disk that does not answer.
        await trio.to_thread.run_sync(look, limiter=_ONE_LOOKS, abandon_on_cancel=True)
    return dict(found)


def is_there(folder: str) -> bool:
    """Whether anything stands at a place, or the disk does not say that nothing does. Blocks."""
    try:
        os.stat(folder)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass
    return True


async def unfinished(node: Running, watch: Watch) -> JsonObject:
    """The fetches that began here and did not end, those under way among them."""
    notes = partial(_unfinished, node.parts.config.home)
    # In threads of its own: a folder may lie on a disk that does not answer, and Ctrl-C does not wait for it.
    found = await trio.to_thread.run_sync(notes, limiter=_LOOKS, abandon_on_cancel=True)
    parts = node.parts

    def known() -> tuple[dict[Digest, list[str]], list[bool]]:
        return references_by_manifest(parts), [each.folder == parts.store.own_folder(each.manifest) for each in found]

    names, own = await parts.workers.run(known) if found else ({}, [])
    return {
        "items": [
            {**_told(fetch, node.job_of(fetch)), "references": names.get(fetch.manifest, []), "own": is_own}
            for fetch, is_own in zip(found, own, strict=True)
        ]
    }


def _unfinished(home: Path) -> list[Begun]:
    """Return which noted fetches left something in their folder, the newest first, and forget those that could not have
    kept it: their folder is there, without it. Blocks."""
    found = []
    for fetch in begun(home):
        if is_unfinished_in(fetch.folder, fetch.manifest):
            found.append(fetch)
        elif os.path.isdir(fetch.folder):
            with contextlib.suppress(DiskError):
                forget(home, fetch)
    return found


def _told(fetch: Begun, job: JsonObject | None) -> JsonObject:
    under_way = job or {}
    verified, total = under_way.get("bytes_verified"), under_way.get("bytes_total")
    return {
        "reference": fetch.reference,
        "manifest": fetch.manifest.text(Codec.MSGPACK),
        "folder": str(fetch.folder),
        "bytes": total,
        "percent": None if verified is None or not total else 100 * verified // total,  # Readers may want nothing now.
        "job": under_way.get("job"),
        "unsafe": fetch.unsafe and job is None,
        "options": [list(each) for each in fetch.options],
    }


def _list(parts: Parts, asked: Digest | None) -> list[tuple[Digest, JsonObject]]:
    """Return what `ls` tells of each manifest, apart from what only the event loop knows. Blocks."""
    names, as_it_is = references_by_manifest(parts), of_holdings(parts)
    holdings = _listed(parts, asked)
    if any(holding.origin is Origin.SHARED for holding in holdings):
        names = references_in_places(parts) | names
    unnamed = {each.manifest for each in holdings} - names.keys()
    earlier = earlier_references(parts, unnamed)
    replaced = _replaced(parts, names | earlier, unnamed) if unnamed else set()
    return [
        (
            holding.manifest,
            {
                "references": names.get(holding.manifest, []),
                "earlier": earlier.get(holding.manifest, []),
                "replaced": holding.replaced or (holding.manifest, holding.folder) in replaced,
                **as_it_is(holding),
            },
        )
        for holding in holdings
    ]


def _listed(parts: Parts, asked: Digest | None) -> Sequence[Holding]:
    """Return what is held, each that cannot be described with its problem. Blocks."""
    try:
        return parts.store.holdings(asked)
    except DiskError:  # Of the one that is asked for: told among all it says why.
        return [each for each in parts.store.holdings() if each.manifest == asked]


def _replaced(parts: Parts, names: Mapping[Digest, Sequence[str]], unnamed: Set[Digest]) -> set[tuple[Digest, Path]]:
    """Return which of what no name means now is held in a folder that was given another version of its name since.
    `names`: those that ever led to something, as far as they are remembered. Blocks.

    Of a name only so many releases are: what was published and has no name any more is an earlier version of what was
    published from the same folder since."""
    replaced = set()
    since: dict[Path, set[str]] = {}  # By folder the names of what it was given since.
    for held in parts.store.held_at():  # The newest first.
        called, later = names.get(held.manifest), since.setdefault(held.folder, set())
        is_forgotten = called is None and held.origin is Origin.PUBLISHED and bool(later)
        if held.manifest in unnamed and (is_forgotten or not later.isdisjoint(called or ())):
            replaced.add((held.manifest, held.folder))
        later.update(called or ())
    return replaced


def of_holdings(parts: Parts) -> Callable[[Holding], JsonObject]:
    """Return what tells how a manifest is held. Blocks."""
    pins = parts.ledger.pins()
    published: dict[Digest, bool] = {}  # By manifest: whether privately.
    for item in parts.ledger.publications():
        published[item.manifest] = item.private and published.get(item.manifest, True)

    def told(holding: Holding) -> JsonObject:
        return {
            "manifest": holding.manifest.text(Codec.MSGPACK),
            "folder": str(holding.folder),
            "files": holding.files,
            "files_here": holding.files_here,
            "files_damaged": holding.files_damaged,
            "bytes": holding.bytes_total,
            "bytes_selected": holding.bytes_selected,
            "complete": holding.complete,
            "published": holding.manifest in published,
            "private": published.get(holding.manifest, False),
            "origin": holding.origin.value,
            "pinned": holding.manifest in pins,
            "problem": holding.problem,
        }

    return told


async def log(node: Running, watch: Watch, *, ref: str) -> JsonObject:
    parts = node.parts

    def known() -> list[JsonObject]:
        name = parts.resolver.names.name_of(ref)
        accepted = parts.ledger.accepted(*name)
        return history_json(parts.ledger.history(*name), accepted.evidence if accepted is not None else ())

    items = await parts.workers.run(known)
    if not items:
        await parts.resolver.resolve(ref, ())  # What it accepts is known from then on.
        items = await parts.workers.run(known)
    return {"items": items}


async def verify(
    node: Running,
    watch: Watch,
    *,
    ref: str,
    folder: str | None = None,
    repair: bool = False,
    providers: Sequence[str] = (),
    mirrors: Sequence[str] = (),
    allow_unsafe: bool | None = None,
) -> JsonObject:
    """Tell what is damaged, and with `repair` have it mended; what is damaged is not served until it is.

    `allow_unsafe`: as for a fetch, where the repair needs to know it (`mending`). Raises HubError."""
    parts = node.parts
    given = tuple(parse_peer_address(provider) for provider in providers)
    holding, manifest, table, files = await parts.workers.run(lambda: _recorded(node, ref, folder))
    bytes_total = sum(manifest.files[number].size for number in files)
    found = await _read_through(parts, watch, holding, manifest, table, files, bytes_total)
    damages = found.damages
    if repair and found.is_away and holding.origin is Origin.FETCHED:
        raise NotFound(
            f"nothing of it is in {holding.folder}: perhaps a disk is not mounted, so nothing is put there",
            hint="mount it and run this again; if the files are gone, fetch them again with --into",
        )
    # What could not be opened now may be as it was. A repair replaces all of it, whatever it was.
    replaced = repair and holding.origin in (Origin.FETCHED, Origin.OWN)
    doubted = [each for each in damages if replaced or each.is_there or (each.is_missing and not found.is_away)]
    await parts.workers.run(lambda: _mark(parts, holding, manifest, doubted))
    if doubted or found.restored:
        node.shelf_changed(holding.manifest)
    repaired: JsonObject = {}
    if repair:
        wrong = [damage.path for damage in damages]
        repaired = await mend(
            node, watch, holding, manifest, files, wrong, given=given, mirrors=mirrors, allow_unsafe=allow_unsafe
        )
    return {
        "manifest": holding.manifest.text(Codec.MSGPACK),
        "folder": str(holding.folder),
        "files": len(files),
        "bytes": bytes_total,
        "damaged": [
            {
                "path": damage.path,
                "chunks": list(damage.chunks),
                "reason": damage.reason,
                "unreadable": not damage.is_there and not damage.is_missing,
            }
            for damage in damages
        ],
        "away": found.is_away,
        "origin": holding.origin.value,
        **repaired,
    }


def _recorded(node: Running, ref: str, folder: str | None) -> tuple[Holding, Manifest, ChunkTable, RangeSet]:
    """Return a holding, what it is of, and which files are recorded there. Blocks. Raises NotFound."""
    store = node.parts.store
    holding = node.holding_of(ref, folder)
    manifest = node.manifest_of(holding.manifest)
    if manifest is None:
        raise NotFound(f"{ref} is not held whole", hint="fetch it again")
    files = store.recorded(holding.manifest, holding.folder)
    if manifest.files and not files and holding.replaced:
        raise NotFound(
            f"nothing of it is left in {holding.folder}, which has a newer version",
            hint="`p2phub rm DIGEST` forgets it; `p2phub fetch DIGEST --into` another folder brings it from others",
        )
    if manifest.files and not files:  # Of a selection it was only the index that knew which they are.
        raise NotFound(
            f"it is not known any more which files {holding.folder} holds",
            hint="`p2phub doctor` finds those that are right; the same fetch as before brings the others",
        )
    return holding, manifest, chunk_table(manifest, store.blob), files


async def _read_through(
    parts: Parts,
    watch: Watch,
    holding: Holding,
    manifest: Manifest,
    table: ChunkTable,
    files: RangeSet,
    bytes_total: int,
) -> engine.Verified:
    """Verify `files`, of `bytes_total`, and tell how far that is meanwhile."""
    read = 0

    def advanced(count: int) -> None:
        nonlocal read
        read += count

    async def tell() -> None:
        while True:
            await trio.sleep(0.25)
            watch(PublishProgress(bytes_hashed=read, bytes_total=bytes_total, files=len(files)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tell)
        found = await engine.verify(
            holding, manifest, table, files=files, store=parts.store, workers=parts.workers, advanced=advanced
        )
        nursery.cancel_scope.cancel()
    return found


def _mark(parts: Parts, holding: Holding, manifest: Manifest, damages: Sequence[engine.Damage]) -> None:
    """Note what is damaged, so that nobody is given it. Blocks."""
    for damage in damages:
        number = manifest.number_of(damage.path)
        assert number is not None
        parts.store.mark_damaged(holding.manifest, holding.folder, number)
