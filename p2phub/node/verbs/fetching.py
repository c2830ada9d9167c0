"""Fetch a reference into a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from p2phub.content import Digest
from p2phub.engine import fetch as engine
from p2phub.engine.mirrors import mirrors_of
from p2phub.engine.resolve import Resolved
from p2phub.engine.search import Search
from p2phub.identity import PeerAddress, parse_peer_address
from p2phub.node.capping import JobCaps
from p2phub.node.compose import Parts
from p2phub.node.rates import Rates, parse_cap
from p2phub.node.running import JsonObject, Running
from p2phub.observe import Event, FilesReady, Listening, Unmatched, Watch


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
    first: Sequence[str] = (),
    in_order: bool = False,
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
        watch(Listening(addresses=[str(address) for address in parts.addresses()]))
    else:
        await parts.workers.run(lambda: _withhold(node, resolved.manifest, serve=serve))
    caps = JobCaps(resolved.manifest, rates, background)
    with node.job(reference=ref, into=into, caps=caps) as told:

        def watch_job(event: Event) -> None:
            if not isinstance(event, FilesReady | Unmatched):  # Status says how far it is, not of which files.
                told.update(event.as_json())
            watch(event)

        done = await engine.fetch(
            engine.Wish(
                reference=ref,
                manifest=resolved.manifest,
                destination=Path(into),
                force=force,
                first=tuple(first),
                in_order=in_order,
            ),
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
                budget=parts.budget,
                near=parts.near,
            ),
            watch=watch_job,
            started=lambda running: node.carried_out_by(told["job"], running),
        )
    if serve and (public or (resolved.release is None and search.announced)):
        await parts.workers.run(lambda: _share(parts, resolved.manifest))
    node.shelf_changed(resolved.manifest)
    return done.as_json()


def _withhold(node: Running, manifest: Digest, *, serve: bool) -> None:
    """Before the first byte, so that it holds after a crash: what is not known to be for everybody, or not to be
    served, stays here. What is held and shared already stays shared, unless `serve` says no."""
    if not serve or not node.held(manifest):
        node.parts.ledger.withhold(manifest, withheld=True)


def _share(parts: Parts, manifest: Digest) -> None:
    if manifest in parts.ledger.withheld():
        parts.ledger.withhold(manifest, withheld=False)


def _search(node: Running, resolved: Resolved, given: Sequence[PeerAddress], mirrors: Sequence[str]) -> Search:
    """`mirrors` are templates beside the configured ones."""
    release = resolved.release
    name = None if release is None else (release.publisher, release.name, release.tag)
    # Of a private model nobody is told but who was named: that it is fetched, and under which name, is theirs to know.
    private = release is None or release.private
    return Search(
        resolved.known_with(given),
        node.parts.open_finder,
        given=mirrors_of(mirrors, name=name, manifest=resolved.manifest),
        configured=() if private else mirrors_of(node.parts.config.mirrors, name=name, manifest=resolved.manifest),
        open_lan=None if private else node.parts.open_lan_finder,
    )
