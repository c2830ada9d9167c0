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
from p2phub.manifest import Release, read_release
from p2phub.node.capping import JobCaps
from p2phub.node.compose import Parts
from p2phub.node.rates import Rates, parse_cap
from p2phub.node.releases import contradiction_json, release_json
from p2phub.node.running import JsonObject, Running
from p2phub.observe import Event, Watch
from p2phub.store import Holding


async def fetch(
    node: Running,
    watch: Watch,
    *,
    ref: str,
    into: str,
    providers: Sequence[str],
    mirrors: Sequence[str] = (),
    force: bool,
    serve: bool,
    exchange: bool = True,
    up: int | None = None,
    down: int | None = None,
    background: bool = False,
) -> JsonObject:
    parts = node.parts
    given = tuple(parse_peer_address(provider) for provider in providers)
    rates = Rates(*(None if rate is None else parse_cap(rate) for rate in (up, down)))
    resolved = await parts.resolver.resolve(ref, given, mirrors)
    search = _search(node, resolved, given, mirrors)
    public = resolved.release is not None and not resolved.release.private
    if serve and public:
        await parts.workers.run(lambda: _share(parts, resolved.manifest))
        await parts.welcome_visitors()
    else:
        await parts.workers.run(lambda: _withhold(parts, resolved.manifest, serve=serve))
    caps = JobCaps(resolved.manifest, rates, background)
    with node.job(reference=ref, into=into, caps=caps) as told:

        def watch_job(event: Event) -> None:
            told.update(event.as_json())
            watch(event)

        done = await engine.fetch(
            engine.Wish(reference=ref, manifest=resolved.manifest, destination=Path(into), force=force),
            search=search,
            means=engine.Means(
                parts.dialler,
                parts.store,
                parts.workers,
                parts.key.peer_id,
                parts.open_mirrors,
                # What is not known to be for everybody is neither given on nor talked about.
                shelf=parts.shelf if serve and public else None,
                exchange=parts.exchange if exchange and public else None,
                thanks=parts.thanks if exchange and public else None,
                down=parts.caps.down,
            ),
            watch=watch_job,
            started=lambda explain: node.explained_by(told["job"], explain),
        )
    if serve and (public or (resolved.release is None and search.announced)):
        await parts.workers.run(lambda: _share(parts, resolved.manifest))
    node.shelf_changed(resolved.manifest)
    return done.as_json()


def _withhold(parts: Parts, manifest: Digest, *, serve: bool) -> None:
    """Before the first byte, so that it holds after a crash: what is not known to be for everybody, or not to be
    served, stays here. What is held and shared already stays shared, unless `serve` says no."""
    if not serve or not _holdings_of(parts, manifest):
        parts.ledger.withhold(manifest, withheld=True)


def _share(parts: Parts, manifest: Digest) -> None:
    if manifest in parts.ledger.withheld():
        parts.ledger.withhold(manifest, withheld=False)


async def info(node: Running, watch: Watch, *, ref: str, providers: Sequence[str]) -> JsonObject:
    parts = node.parts
    given = tuple(parse_peer_address(provider) for provider in providers)
    resolved = await parts.resolver.resolve(ref, given)
    manifest, why = await parts.workers.run(lambda: node.manifest_of(resolved.manifest)), None
    if manifest is None:
        try:
            manifest = await describe(resolved.manifest, search=_search(node, resolved, given), means=_means(parts))
        except HubError as error:  # What its publisher says of it is still worth telling.
            if resolved.release is None:
                raise
            why = error.message
    held, evidence = await parts.workers.run(
        lambda: (_holdings_of(parts, resolved.manifest), _evidence(parts, resolved.release))
    )
    return {
        "reference": ref,
        "manifest": resolved.manifest.text(Codec.MSGPACK),
        "release": _shown(resolved, evidence),
        "contradiction": contradiction_json(evidence),
        "held": {"folder": str(held[0].folder), "complete": held[0].complete} if held else None,
        "files": None
        if manifest is None
        else [
            {"path": entry.path, "size": entry.size, "sha256": entry.sha256.hex(), "chunks": entry.chunks}
            for entry in manifest.files
        ],
        "files_unknown_because": why,
    }


def _holdings_of(parts: Parts, manifest: Digest) -> list[Holding]:
    """Return what is held of `manifest`. Blocks."""
    return [holding for holding in parts.store.holdings() if holding.manifest == manifest]


def _shown(resolved: Resolved, evidence: Sequence[bytes]) -> JsonObject | None:
    """Return the release that led here, and what contradicts it."""
    if resolved.release is None:
        return None
    others = [signed for signed in evidence if signed != resolved.signed]
    contradicted = len(others) < len(evidence)
    return release_json(resolved.release, contradicted_by=read_release(others[0]) if contradicted else None)


def _evidence(parts: Parts, release: Release | None) -> tuple[bytes, ...]:
    """Return what proves that the publisher of `release` lied about its name, if anything does. Blocks."""
    accepted = parts.ledger.accepted(release.publisher, release.name, release.tag) if release is not None else None
    return accepted.evidence if accepted is not None else ()


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
    return engine.Means(parts.dialler, parts.store, parts.workers, parts.key.peer_id, down=parts.caps.down)
