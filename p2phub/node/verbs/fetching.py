"""Fetch a reference into a folder: resolve it, say to whom it may be given on, run the engine, and keep status told.

What decides who gets what is fetched here, and who hears of it:

- a *public* release is served while it is fetched, unless `serve` says no, and peers of the swarm are exchanged;
- what is private, or was asked for by its bare digest, is withheld from the first byte on. A bare digest that the DHT
  named a provider of is public after all: it is served once it is whole.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from p2phub.content import Digest
from p2phub.engine import fetch as engine
from p2phub.engine.mirrors import mirrors_of
from p2phub.engine.parents import parents_of
from p2phub.engine.resolve import Resolved
from p2phub.engine.search import Search
from p2phub.engine.waiting import Looks
from p2phub.errors import HubError
from p2phub.identity import PeerAddress, parse_peer_address
from p2phub.node.capping import JobCaps
from p2phub.node.compose import Parts
from p2phub.node.durations import parse_duration
from p2phub.node.earlier import left_of_earlier
from p2phub.node.rates import Rates, parse_cap
from p2phub.node.running import JsonObject, Running
from p2phub.node.unfinished import Options
from p2phub.observe import Done, Event, FilesLeft, FilesReady, Listening, Remark, Unmatched, Watch
from p2phub.store import Origin

if TYPE_CHECKING:
    from p2phub.engine.opening import TellOpened
    from p2phub.engine.readers import Readers

MakeRoom = Callable[[int], Awaitable[None]]


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
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    tensors: Sequence[str] = (),
    columns: Sequence[str] = (),
    row_groups: Sequence[str] = (),
    allow_unsafe: bool | None = None,
    link: bool = False,
) -> JsonObject:
    """Return what was fetched, once all of it is verified and durable in the folder `into`.

    `mirrors` are templates beside the configured ones; `up` and `down` are bytes a second; `wait` is for how long to
    wait for somebody who has it, `allow_unsafe` whether files that may run code when they are loaded are put in place,
    None of either: as the settings say. `link`: what is here may get a further name. Raises HubError.
    """
    parts = node.parts
    given = tuple(parse_peer_address(provider) for provider in providers)
    wait_s = parts.config.wait if wait is None else parse_duration(wait)
    resolved = await parts.resolver.resolve(ref, given, mirrors, looks=Looks(wait_s, watch))
    wish = engine.Wish(
        reference=ref,
        manifest=resolved.manifest,
        destination=Path(into),
        force=force,
        wait_s=wait_s,
        first=tuple(first),
        in_order=in_order,
        choice=engine.Choice(
            include=tuple(include),
            exclude=tuple(exclude),
            tensors=tuple(tensors),
            columns=tuple(columns),
            row_groups=tuple(row_groups),
        ),
        allow_unsafe=is_unsafe_allowed(parts, allow_unsafe),
        link=link,
    )
    rates = Rates(*(None if rate is None else parse_cap(rate) for rate in (up, down)))
    done = await fetch_and_share(
        node,
        watch,
        wish,
        resolved,
        Openness(is_public(resolved), serve=serve, exchange=exchange),
        given=given,
        mirrors=mirrors,
        caps=JobCaps(resolved.manifest, rates, background),
        options=_options(wish),
    )
    await _end_earlier(node, watch, resolved, wish.destination)
    return done.as_json()


async def _end_earlier(node: Running, watch: Watch, resolved: Resolved, folder: Path) -> None:
    """Tell what an earlier version left in the folder, and forget those of which nothing is left."""
    with suppress(HubError):  # What was fetched is here, whatever is the matter with what describes an earlier one.
        if left := await node.parts.workers.run(lambda: left_of_earlier(node, resolved, folder)):
            watch(FilesLeft(left))
        await node.keeping.end_earlier(folder)


def _options(wish: engine.Wish) -> Options:
    """Return what of a fetch is to be said again for it to go on."""
    choice = wish.choice
    several = {
        "include": choice.include,
        "exclude": choice.exclude,
        "tensor": choice.tensors,
        "columns": choice.columns,
        "row-groups": choice.row_groups,
    }
    flags = {"force": wish.force, "link": wish.link}
    given = [(name, value) for name, values in several.items() for value in values]
    return (*given, *((name, "") for name, is_said in flags.items() if is_said))


async def fetch_and_share(
    node: Running,
    watch: Watch,
    wish: engine.Wish,
    resolved: Resolved,
    openness: Openness,
    *,
    given: Sequence[PeerAddress],
    mirrors: Sequence[str],
    caps: JobCaps,
    make_room: MakeRoom | None = None,
    opened: TellOpened | None = None,
    readers: Readers | None = None,
    options: Options = (),
) -> Done:
    """Fetch what was resolved, and give it on as `openness` says, then and from then on. Raises HubError."""
    kin = caps.rates.down is None and not caps.background
    search = search_for(node, resolved, given, mirrors, kin=kin)
    if node.nursery is not None:
        node.nursery.start_soon(_get_ready, node.parts)
    await _before_the_first_byte(node, watch, resolved.manifest, openness)
    done = await carry_out(
        node,
        watch,
        wish,
        search,
        openness,
        caps=caps,
        make_room=make_room,
        opened=opened,
        readers=readers,
        options=options,
    )
    if openness.serves or (openness.serve and resolved.release is None and search.announced):
        await node.parts.workers.run(lambda: _share(node.parts, resolved.manifest))
    node.shelf_changed(resolved.manifest)
    return done


async def carry_out(
    node: Running,
    watch: Watch,
    wish: engine.Wish,
    search: Search,
    openness: Openness,
    *,
    caps: JobCaps,
    make_room: MakeRoom | None = None,
    opened: TellOpened | None = None,
    readers: Readers | None = None,
    options: Options = (),
) -> Done:
    """Run a fetch as a job of the node, whose progress status tells; who may have it otherwise stays as it is."""
    with node.job(reference=wish.reference, into=str(wish.destination), caps=caps, options=options) as told:
        return await engine.fetch(
            wish,
            search=search,
            means=replace(_means(node.parts, openness), make_room=make_room),
            watch=_status_told_too(told, watch),
            started=lambda running: node.carried_out_by(told["job"], running),
            opened=opened,
            readers=readers,
        )


class Openness(msgspec.Struct, frozen=True):
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


def is_unsafe_allowed(parts: Parts, said: bool | None) -> bool:
    """Whether files that may run code when they are loaded are put in place: as `said`, else as the settings are."""
    return parts.config.allow_unsafe if said is None else said


def is_public(resolved: Resolved) -> bool:
    return resolved.release is not None and not resolved.release.private


def search_for(
    node: Running, resolved: Resolved, given: Sequence[PeerAddress], mirrors: Sequence[str], *, kin: bool
) -> Search:
    """Return where to look for what was resolved: first where the user said. `kin`: whether who has files of it alone,
    or what it came of, may be looked for, too; their links are not under the job's own cap."""
    release = resolved.release
    name = None if release is None else (release.publisher, release.name, release.tag)
    # Of a private model nobody is told but who was named: that it is fetched, and under which name, is theirs to know.
    public = is_public(resolved)
    return Search(
        resolved.known_with(given),
        node.parts.open_finder,
        given=mirrors_of(mirrors, name=name, manifest=resolved.manifest),
        configured=mirrors_of(node.parts.config.mirrors, name=name, manifest=resolved.manifest) if public else (),
        open_lan=node.parts.open_lan_finder if public else None,
        public=public and kin,
        parents=parents_of(release) if release is not None and public else (),
    )


async def _get_ready(parts: Parts) -> None:
    """Open the home's index beside the first dial: to make a new one takes as many syncs as all else before the first
    byte."""
    with suppress(HubError):  # Whoever needs it meets it again; here it would end the node.
        await parts.workers.run(parts.store.get_ready)


async def _before_the_first_byte(node: Running, watch: Watch, manifest: Digest, openness: Openness) -> None:
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
    # By a place's word alone nothing is known to be shared already: it may list what was only ever private.
    if not serve or all(holding.origin is Origin.SHARED for holding in node.held(manifest)):
        node.parts.ledger.withhold(manifest, withheld=True)


def _share(parts: Parts, manifest: Digest) -> None:
    """Let what is for everybody be given on. But not what was adopted and not named: that somebody's public release
    says the same does not tell that it was not gated where it came from."""
    if manifest not in parts.ledger.withheld():
        return
    if all(holding.origin is not Origin.ADOPTED for holding in parts.store.holdings(manifest)):
        parts.ledger.withhold(manifest, withheld=False)


def _means(parts: Parts, openness: Openness) -> engine.Means:
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
        tally=parts.tally,
    )


def _status_told_too(told: JsonObject, watch: Watch) -> Watch:
    """Return what notes an event for `status` before `watch` has it. Status says how far it is, not of which files."""

    def watch_job(event: Event) -> None:
        if not isinstance(event, FilesReady | Remark | Unmatched):
            told.update(event.as_json())
        watch(event)

    return watch_job
