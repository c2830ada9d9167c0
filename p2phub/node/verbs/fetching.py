"""Fetch a reference into a folder, and say what a reference is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from p2phub.content import Codec, Digest
from p2phub.discovery import Candidate
from p2phub.engine import fetch as engine
from p2phub.engine.describe import describe
from p2phub.engine.mirrors import mirrors_of
from p2phub.engine.resolve import Resolved
from p2phub.engine.search import Search
from p2phub.errors import HubError
from p2phub.identity import PeerAddress, parse_peer_address
from p2phub.node.compose import Parts
from p2phub.node.running import JsonObject, Running, release_json
from p2phub.observe import Event, Watch


async def fetch(
    node: Running,
    watch: Watch,
    *,
    ref: str,
    into: str,
    providers: Sequence[str],
    mirrors: Sequence[str],
    force: bool,
    serve: bool,
) -> JsonObject:
    parts = node.parts
    given = tuple(parse_peer_address(provider) for provider in providers)
    resolved = await parts.resolver.resolve(ref, given, mirrors)
    search = _search(node, resolved, given, mirrors)
    public = resolved.release is not None and not resolved.release.private
    if not (serve and public):
        await parts.workers.run(lambda: _withhold(parts, resolved.manifest, serve=serve))
    with node.job(reference=ref, into=into) as told:

        def watch_job(event: Event) -> None:
            told.update(event.as_json())
            watch(event)

        done = await engine.fetch(
            engine.Wish(reference=ref, manifest=resolved.manifest, destination=Path(into), force=force),
            search=search,
            means=_means(parts),
            watch=watch_job,
        )
    if serve and (public or (resolved.release is None and search.announced)):
        await parts.workers.run(lambda: parts.ledger.withhold(resolved.manifest, withheld=False))
    node.shelf_changed(resolved.manifest)
    return done.as_json()


def _withhold(parts: Parts, manifest: Digest, *, serve: bool) -> None:
    """Before the first byte, so that it holds after a crash: what is not known to be for everybody, or not to be
    served, stays here. What is held and shared already stays shared, unless `serve` says no."""
    if not serve or all(holding.manifest != manifest for holding in parts.store.holdings()):
        parts.ledger.withhold(manifest, withheld=True)


async def info(node: Running, watch: Watch, *, ref: str, providers: Sequence[str]) -> JsonObject:
    parts = node.parts
    given = tuple(parse_peer_address(provider) for provider in providers)
    resolved = await parts.resolver.resolve(ref, given)
    holding = next((item for item in parts.store.holdings() if item.manifest == resolved.manifest), None)
    manifest, why = node.manifest_of(resolved.manifest), None
    if manifest is None:
        try:
            manifest = await describe(resolved.manifest, search=_search(node, resolved, given), means=_means(parts))
        except HubError as error:  # What its publisher says of it is still worth telling.
            if resolved.release is None:
                raise
            why = error.message
    return {
        "reference": ref,
        "manifest": resolved.manifest.text(Codec.MSGPACK),
        "release": release_json(resolved.release) if resolved.release is not None else None,
        "held": None if holding is None else {"folder": str(holding.folder), "complete": holding.complete},
        "files": None
        if manifest is None
        else [
            {"path": entry.path, "size": entry.size, "sha256": entry.sha256.hex(), "chunks": entry.chunks}
            for entry in manifest.files
        ],
        "files_unknown_because": why,
    }


def _search(
    node: Running, resolved: Resolved, given: Sequence[PeerAddress], mirrors: Sequence[str] | None = None
) -> Search:
    """`mirrors` are templates beside the configured ones; None: no mirror is of use."""
    known = dict.fromkeys((*(Candidate(address, "direct") for address in given), *resolved.known))
    if mirrors is None:
        return Search(tuple(known), node.parts.open_finder)
    release = resolved.release
    name = None if release is None else (release.publisher, release.name, release.tag)
    # Of a private model nobody is told but who was named: that it is fetched, and under which name, is theirs to know.
    private = release is None or release.private
    return Search(
        tuple(known),
        node.parts.open_finder,
        given=mirrors_of(mirrors, name=name, manifest=resolved.manifest),
        configured=() if private else mirrors_of(node.parts.config.mirrors, name=name, manifest=resolved.manifest),
    )


def _means(parts: Parts) -> engine.Means:
    return engine.Means(parts.dialler, parts.store, parts.workers, parts.key.peer_id, parts.open_mirrors)
