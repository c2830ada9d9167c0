"""Keep and collect: pin and unpin, what takes how much, and the collection itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence, Set
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import trio

from p2phub.content import Codec, Digest
from p2phub.engine import fetch as engine
from p2phub.engine.waiting import Looks
from p2phub.errors import HubError, NotFound, UsageError
from p2phub.identity import parse_peer_address
from p2phub.node.capping import JobCaps
from p2phub.node.compose import Parts, is_unfinished_in
from p2phub.node.durations import parse_duration
from p2phub.node.rates import Rates
from p2phub.node.releases import earlier_references, names_of, references_by_manifest
from p2phub.node.running import JsonObject, Running
from p2phub.node.unfinished import Begun, begun, forget
from p2phub.node.verbs.fetching import Openness, fetch_and_share, is_public, is_unsafe_allowed
from p2phub.observe import Watch
from p2phub.store import UPSTREAM_FOLDER, Holding, Leftover, Origin, Spare, SpareSnapshot, Usage, in_order

_LOOKS = trio.CapacityLimiter(2)  # At folders that may be anywhere.


async def pin(
    node: Running,
    watch: Watch,
    *,
    ref: str,
    folder: str | None = None,
    providers: Sequence[str] = (),
    mirrors: Sequence[str] = (),
    serve: bool = True,
    wait: str | float | None = None,
    allow_unsafe: bool | None = None,
) -> JsonObject:
    """Keep a manifest from collection. What is not held whole is fetched into the home's own store first; `wait` and
    `allow_unsafe` are as for a fetch. Raises HubError."""
    parts = node.parts
    given = tuple(parse_peer_address(provider) for provider in providers)
    wait_s = parts.config.wait if wait is None else parse_duration(wait)
    held = await parts.workers.run(lambda: _held(node, ref, folder))
    if held is not None:
        await parts.workers.run(lambda: parts.ledger.pin(held.manifest, pinned=True))
        # Once more: it could have been collected until the pin was noted.
        still = await parts.workers.run(lambda: _whole(parts.store.holdings(held.manifest)))
        if still is not None:
            return _pinned(still.manifest, still.folder, None)
    resolved = await parts.resolver.resolve(ref, given, mirrors, looks=Looks(wait_s, watch))
    manifest = resolved.manifest
    into = await parts.workers.run(lambda: parts.store.own_folder(manifest))
    # First, so that nothing collects what has come; and it stays if the fetch does not end, as what it left does.
    was_pinned = await parts.workers.run(lambda: _pin(parts, manifest))
    whole = await parts.workers.run(lambda: _whole(parts.store.holdings(manifest)))
    if whole is not None:
        return _pinned(manifest, whole.folder, None)
    async with _unpinned_if_nothing_comes(parts, manifest, was_pinned), node.keeping.room_for(manifest) as make_room:
        done = await fetch_and_share(
            node,
            watch,
            engine.Wish(
                reference=ref,
                manifest=manifest,
                destination=into,
                force=True,
                wait_s=wait_s,
                allow_unsafe=is_unsafe_allowed(parts, allow_unsafe),
            ),
            resolved,
            Openness(is_public(resolved), serve=serve, exchange=True),
            given=given,
            mirrors=mirrors,
            caps=JobCaps(manifest, Rates(), False),
            make_room=make_room,
        )
    peers = [source for source in done.sources if not source.peer_id.startswith("http")]
    await parts.workers.run(lambda: parts.store.note_others(manifest, len(peers)))
    return _pinned(manifest, into, done.as_json())


def _pin(parts: Parts, manifest: Digest) -> bool:
    """Pin it, and return whether it was. Blocks."""
    was = manifest in parts.ledger.pins()
    parts.ledger.pin(manifest, pinned=True)
    return was


@asynccontextmanager
async def _unpinned_if_nothing_comes(parts: Parts, manifest: Digest, was_pinned: bool) -> AsyncIterator[None]:
    """Take a pin back if the block fails before anything has come, for then nothing would show it."""
    try:
        yield
    except HubError:

        def take_back() -> None:
            if not is_unfinished_in(parts.store.own_folder(manifest), manifest) and not parts.store.holdings(manifest):
                parts.ledger.pin(manifest, pinned=False)

        if not was_pinned:
            await parts.workers.run(take_back)
        raise


def _pinned(manifest: Digest, folder: Path, done: JsonObject | None) -> JsonObject:
    return {"manifest": manifest.text(Codec.MSGPACK), "folder": str(folder), "fetched": done}


def _held(node: Running, ref: str, folder: str | None) -> Holding | None:
    """Return where what `ref` means stands whole, None if nowhere. Blocks."""
    try:
        return _whole(node.holdings_of(ref, folder))
    except (NotFound, UsageError):  # Perhaps the network knows it.
        return None


def _whole(holdings: Sequence[Holding]) -> Holding | None:
    """Return one that is whole. What others share is not ours to keep."""
    return next((each for each in holdings if each.complete and each.origin is not Origin.SHARED), None)


async def unpin(node: Running, watch: Watch, *, ref: str, folder: str | None = None) -> JsonObject:
    """Keep a manifest from collection no longer; nothing is removed now."""
    parts = node.parts

    def let_go() -> tuple[Digest, bool]:
        try:
            manifest = node.holding_of(ref, folder).manifest
        except NotFound:
            manifest = parts.resolver.local(ref)  # What was pinned and never came.
        if manifest not in parts.ledger.pins():
            raise NotFound(f"{ref} is not pinned", hint="`p2phub ls` shows what is; a manifest's digest says which")
        parts.ledger.pin(manifest, pinned=False)
        return manifest, is_unfinished_in(parts.store.own_folder(manifest), manifest)

    manifest, is_unfinished = await parts.workers.run(let_go)
    return {"manifest": manifest.text(Codec.MSGPACK), "unfinished": is_unfinished}


async def gc(node: Running, watch: Watch, *, dry_run: bool = False, unfinished: bool = False) -> JsonObject:
    """Remove what nothing keeps; with `dry_run` only tell of it. `unfinished`: of fetches that did not end, too."""
    parts, keeping = node.parts, node.keeping
    if not dry_run:
        attached = await parts.workers.run(lambda: parts.places.attached(parts.config.shared))
        await parts.workers.run_long(lambda: parts.places.forget_others(attached))
    async with keeping.lock:
        keep = await keeping.keep(unfinished=unfinished)
        found = await parts.workers.run_long(lambda: parts.store.collectable(keep))
        noted = await _unfinished(node, frozenset(node.keeping.busy()))
        left, kept = (noted, []) if unfinished else ([], noted)
        goes: list[Spare | SpareSnapshot] = [*found.spare, *found.snapshots]
        told_of = {manifest for each in goes for manifest in _manifests(each)} | {fetch.manifest for fetch, _ in left}
        names = await parts.workers.run(lambda: _known_names(parts, told_of)) if told_of else _Names({}, {})
        if dry_run:
            told = {fetch.folder for fetch, _ in left}  # What a fetch left is counted once.
            return {
                "dry_run": True,
                **_told(in_order(goes), [each.bytes for each in in_order(goes)], names),
                "leftovers": _leftovers_json([each for each in found.leftovers if each.folder not in told]),
                "unfinished": [_unfinished_json(fetch, count, names) for fetch, count in left],
                "unfinished_bytes": sum(count for _, count in kept),
                "blobs": found.blobs,
                "blob_bytes": found.blob_bytes,
                "rows": found.rows,
            }
        gone: list[tuple[Spare | SpareSnapshot, int]] = []
        for each in await keeping.in_order(found.spare, found.snapshots):
            freed = await keeping.collect(each, keep)
            gone += [] if freed is None else [(each, freed)]
        given_up = [(fetch, count) for fetch, _ in left if (count := await _give_up(node, fetch)) is not None]
        swept = await parts.workers.run_until_cancelled(lambda stopped: parts.store.sweep(keep, stopped))
    given_up_in = {fetch.folder for fetch, _ in given_up}
    return {
        "dry_run": False,
        **_told([each for each, _ in gone], [freed for _, freed in gone], names),
        "leftovers": _leftovers_json([each for each in swept.leftovers if each.folder not in given_up_in]),
        "unfinished": [_unfinished_json(fetch, count, names) for fetch, count in given_up],
        "unfinished_bytes": sum(count for _, count in kept),
        "blobs": swept.blobs,
        "blob_bytes": swept.blob_bytes,
        "rows": swept.rows,
    }


async def _unfinished(node: Running, busy: frozenset[Digest]) -> list[tuple[Begun, int]]:
    """Return the noted fetches that did not end and do not run, with what they take."""

    def look() -> list[tuple[Begun, int]]:
        noted = [fetch for fetch in begun(node.parts.config.home) if fetch.manifest not in busy]
        left = [fetch for fetch in noted if is_unfinished_in(fetch.folder, fetch.manifest)]
        return [(fetch, node.parts.store.unfinished_bytes(fetch.manifest, fetch.folder)) for fetch in left]

    return await trio.to_thread.run_sync(look, limiter=_LOOKS, abandon_on_cancel=True)


async def _give_up(node: Running, fetch: Begun) -> int | None:
    """Remove what a fetch left; return how many bytes, None if it runs by now, in some process."""
    if node.job_of(fetch) is not None:
        return None
    parts = node.parts
    discard = partial(parts.store.discard_unfinished, fetch.manifest, fetch.folder)
    freed = await parts.workers.run_long(discard)
    if freed is not None:
        await parts.workers.run(partial(forget, parts.config.home, fetch))
    return freed


class _Names(NamedTuple):
    """By manifest the references that lead to it, and what to call it."""

    references: dict[Digest, list[str]]
    called: dict[Digest, str]

    def json(self, manifest: Digest) -> JsonObject:
        return {
            "manifest": manifest.text(Codec.MSGPACK),
            "name": self.called.get(manifest),
            "references": self.references.get(manifest, []),
        }


def _known_names(parts: Parts, manifests: Set[Digest]) -> _Names:
    return _Names(references_by_manifest(parts), names_of(parts, manifests))


def _manifests(goes: Spare | SpareSnapshot) -> Sequence[Digest]:
    return (goes.manifest,) if isinstance(goes, Spare) else goes.manifests


def _told(spare: Sequence[Spare | SpareSnapshot], freed: Sequence[int], names: _Names) -> JsonObject:
    return {
        "bytes": sum(freed),
        "items": [
            {
                **(_own_json(each, names) if isinstance(each, Spare) else _snapshot_json(each, names)),
                "folder": str(each.folder),
                "bytes": count,
                "used": each.used_at or None,
            }
            for each, count in zip(spare, freed, strict=True)
        ],
    }


def _own_json(spare: Spare, names: _Names) -> JsonObject:
    return {
        **names.json(spare.manifest),
        "origin": Origin.OWN.value,
        "revision": None,
        "others": spare.others,
    }


def _snapshot_json(spare: SpareSnapshot, names: _Names) -> JsonObject:
    # Before all of it is here, files of it may be held alone; then no manifest is all of it.
    manifest = spare.manifests[0] if len(spare.manifests) == 1 else None
    return {
        "manifest": None if manifest is None else manifest.text(Codec.MSGPACK),
        "references": [] if manifest is None else names.references.get(manifest, []),
        "origin": UPSTREAM_FOLDER,
        "name": spare.name,
        "revision": spare.commit,
        "others": None,
    }


def _leftovers_json(leftovers: Sequence[Leftover]) -> list[JsonObject]:
    return [{"folder": str(each.folder), "bytes": each.bytes} for each in leftovers]


def _unfinished_json(fetch: Begun, count: int, names: _Names) -> JsonObject:
    # Not the reference as it was given, which may be a ticket.
    return {**names.json(fetch.manifest), "folder": str(fetch.folder), "bytes": count}


async def du(node: Running, watch: Watch) -> JsonObject:
    """Tell what is held and what it takes, what is shared, and whose it is."""
    parts = node.parts
    usage = await parts.workers.run_long(parts.store.usage)
    held = {each.holding.manifest for each in usage.holdings}
    names, earlier, pins = await parts.workers.run(lambda: _names_and_pins(parts, held))
    by_origin: dict[str, int] = {}
    for each in usage.holdings:
        by_origin[each.holding.origin.value] = by_origin.get(each.holding.origin.value, 0) + each.bytes
    return {
        "items": [
            {
                "manifest": each.holding.manifest.text(Codec.MSGPACK),
                "references": names.get(each.holding.manifest, []),
                "earlier": earlier.get(each.holding.manifest, []),
                "name": _found_as(each.holding),
                "folder": str(each.holding.folder),
                "origin": each.holding.origin.value,
                "pinned": each.holding.manifest in pins,
                "complete": each.holding.complete,
                "bytes": each.bytes,
                "bytes_once": each.bytes_once,
                "bytes_same_file": each.bytes_same_file,
                "bytes_same_content": each.bytes_same_content,
                "bytes_selected": each.bytes_selected,
            }
            for each in usage.holdings
        ],
        "by_origin": by_origin,
        "quota": parts.config.quota,
        "upstream": {
            "folder": str(parts.config.home / UPSTREAM_FOLDER),
            "bytes": usage.upstream.bytes,
            "bytes_held": usage.upstream.bytes_held,
            "snapshots": usage.upstream.snapshots,
        },
        **_sums(usage),
    }


def _names_and_pins(
    parts: Parts, held: Set[Digest]
) -> tuple[dict[Digest, list[str]], dict[Digest, list[str]], frozenset[Digest]]:
    """Return by manifest the references that lead to it, those that did before a newer version, as `ls` has them, and
    what is pinned. Blocks."""
    names = references_by_manifest(parts)
    return names, earlier_references(parts, held - names.keys()), parts.ledger.pins()


def _found_as(holding: Holding) -> str | None:
    """Return what something that was adopted was called where it was found."""
    return holding.source.name if holding.origin is Origin.ADOPTED and holding.source is not None else None


def _sums(usage: Usage) -> JsonObject:
    return {
        "bytes": usage.bytes,
        "bytes_files": usage.bytes_files,
        "bytes_content": usage.bytes_content,
        "blobs": usage.blobs,
        "blob_bytes": usage.blob_bytes,
        "index_bytes": usage.index_bytes,
        "log_bytes": usage.log_bytes,
        "leftover_bytes": usage.leftover_bytes,
        "unfinished_bytes": usage.unfinished_bytes,
    }
