"""Fetch a reference into a folder: resolve it, say to whom it may be given on, run the engine, and keep status told.

What decides who gets what is fetched here, and who hears of it:

- a *public* release is served while it is fetched, unless `serve` says no, and peers of the swarm are exchanged;
- what is private, or was asked for by its bare digest, is withheld from the first byte on. A bare digest that the DHT
  named a provider of is public after all: it is served once it is whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from p2phub.content import Digest
from p2phub.engine import fetch as engine
from p2phub.engine.mirrors import mirrors_of
from p2phub.engine.resolve import Resolved
from p2phub.engine.search import Search
from p2phub.engine.waiting import Looks
from p2phub.identity import PeerAddress, parse_peer_address
from p2phub.node.capping import JobCaps
from p2phub.node.compose import Parts
from p2phub.node.durations import parse_duration
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
    wait: str | float | None = None,
    allow_unsafe: bool | None = None,
) -> JsonObject:
    """Return what was fetched, once all of it is verified and durable in the folder `into`.

    `mirrors` are templates beside the configured ones; `up` and `down` are bytes a second; `wait` is for how long to
    wait for somebody who has it, `allow_unsafe` whether files that may run code when they are loaded are put in place,
    None of either: as the settings say. Raises HubError.
    """
    parts = node.parts
    given = tuple(parse_peer_address(provider) for provider in providers)
    rates = Rates(*(None if rate is None else parse_cap(rate) for rate in (up, down)))
    wait_s = parts.config.wait if wait is None else parse_duration(wait)
    resolved = await parts.resolver.resolve(ref, given, mirrors, looks=Looks(wait_s, watch))
    search = _search(node, resolved, given, mirrors)
    openness = _Openness(_is_public(resolved), serve=serve, exchange=exchange)
    await _before_the_first_byte(node, watch, resolved.manifest, openness)
    with node.job(reference=ref, into=into, caps=JobCaps(resolved.manifest, rates, background)) as told:
        done = await engine.fetch(
            engine.Wish(
                reference=ref,
                manifest=resolved.manifest,
                destination=Path(into),
                force=force,
                wait_s=wait_s,
                first=tuple(first),
                in_order=in_order,
                allow_unsafe=parts.config.allow_unsafe if allow_unsafe is None else allow_unsafe,
            ),
            search=search,
            means=_means(parts, openness),
            watch=_status_told_too(told, watch),
            started=lambda running: node.carried_out_by(told["job"], running),
        )
    if openness.serves or (serve and resolved.release is None and search.announced):
        await parts.workers.run(lambda: _share(parts, resolved.manifest))
    node.shelf_changed(resolved.manifest)
    return done.as_json()


class _Openness(msgspec.Struct, frozen=True):
    """To whom what is fetched may go: what is not known to be for everybody is neither given on nor talked about."""

    public: bool
    serve: bool
    exchange: bool

    @property
    def serves(self) -> bool:
        """Whether each chunk is given on as soon as it is verified."""
        return self.serve and self.public

    @property
    def exchanges(self) -> bool:
        """Whether peers are asked, and told, who else has it."""
        return self.exchange and self.public


def _is_public(resolved: Resolved) -> bool:
    return resolved.release is not None and not resolved.release.private


def _search(node: Running, resolved: Resolved, given: Sequence[PeerAddress], mirrors: Sequence[str]) -> Search:
    release = resolved.release
    name = None if release is None else (release.publisher, release.name, release.tag)
    # Of a private model nobody is told but who was named: that it is fetched, and under which name, is theirs to know.
    public = _is_public(resolved)
    return Search(
        resolved.known_with(given),
        node.parts.open_finder,
        given=mirrors_of(mirrors, name=name, manifest=resolved.manifest),
        configured=mirrors_of(node.parts.config.mirrors, name=name, manifest=resolved.manifest) if public else (),
        open_lan=node.parts.open_lan_finder if public else None,
    )


async def _before_the_first_byte(node: Running, watch: Watch, manifest: Digest, openness: _Openness) -> None:
    """Note whether the content may be given on, so that it holds after a crash; listen if it may."""
    parts = node.parts
    if not openness.serves:
        await parts.workers.run(lambda: _withhold(node, manifest, serve=openness.serve))
        return
    await parts.workers.run(lambda: _share(parts, manifest))
    await parts.welcome_visitors()
    watch(Listening(addresses=[str(address) for address in parts.addresses()]))


def _withhold(node: Running, manifest: Digest, *, serve: bool) -> None:
    """Keep here what is not known to be for everybody, or not to be served. What is held and shared already stays
    shared, unless `serve` says no."""
    if not serve or not node.held(manifest):
        node.parts.ledger.withhold(manifest, withheld=True)


def _share(parts: Parts, manifest: Digest) -> None:
    if manifest in parts.ledger.withheld():
        parts.ledger.withhold(manifest, withheld=False)


def _means(parts: Parts, openness: _Openness) -> engine.Means:
    return engine.Means(
        parts.dialler,
        parts.store,
        parts.workers,
        parts.key.peer_id,
        parts.open_mirrors,
        shelf=parts.shelf if openness.serves else None,
        exchange=parts.exchange if openness.exchanges else None,
        thanks=parts.thanks if openness.exchanges else None,
        down=parts.caps.down,
        budget=parts.budget,
        near=parts.near,
    )


def _status_told_too(told: JsonObject, watch: Watch) -> Watch:
    """Return what notes an event for `status` before `watch` has it. Status says how far it is, not of which files."""

    def watch_job(event: Event) -> None:
        if not isinstance(event, FilesReady | Unmatched):
            told.update(event.as_json())
        watch(event)

    return watch_job
