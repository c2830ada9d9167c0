"""The state of one running fetch: what its coordinator owns, and how decisions of the session reach the links.

One task changes it, so it needs no lock. What reports do to it stands in `reports`, how it gets from a manifest's
metadata to leases in `preparing`, whom it dials next in `turns`, when it gives up in `patience`; `fetch` is the loop
that calls them.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import trio

from p2phub import limits
from p2phub.content import Digest, RangeSet, Renumbering, Run
from p2phub.discovery import Candidate, DialBudget, Surroundings
from p2phub.engine.assembly import Assembly, Wanted
from p2phub.engine.awaited import Awaited
from p2phub.engine.choice import Choice
from p2phub.engine.dialling import Dialled, Reported
from p2phub.engine.effort import Effort
from p2phub.engine.exchange import Exchange, Told
from p2phub.engine.heartbeat import HoldsNow, Silent
from p2phub.engine.meter import Meter
from p2phub.engine.mirrors import OpenMirrors, no_mirrors
from p2phub.engine.providers import Provider, ProviderBook
from p2phub.engine.questions import Asked, Questions
from p2phub.engine.search import Search
from p2phub.engine.serve import StoreShelf
from p2phub.engine.sparing import Sparing
from p2phub.engine.suspects import LookFailed, Suspects
from p2phub.engine.syncing import Synced, SyncFailed, Syncing
from p2phub.engine.thanks import Thanks
from p2phub.engine.workers import Workers
from p2phub.errors import HubError, PeerError
from p2phub.identity import PeerId
from p2phub.net import Cap, Dialler, Link, NoCap
from p2phub.observe import PeerDropped, Tally, Watch
from p2phub.store import Arrival, Store
from p2phub.transfer import Action, Cancel, Drop, Grant, LinkId, Revoke, Session, Standings

if TYPE_CHECKING:
    from p2phub.engine.choosing import Choosing, Chosen
    from p2phub.engine.opening import Telling, TellOpened
    from p2phub.engine.readers import Readers


class Wish(msgspec.Struct, frozen=True):
    """What to fetch. `patience_s`: how long to look on after the last provider of a begun fetch is gone, or busy;
    `wait_s`: the same as the user said it, with or without a provider to begin with (math.inf: for ever); None: they
    did not.

    `first`: gitignore patterns of files to fetch first, in this order; `in_order`: then the rest from front to back.
    `choice`: which part of it.
    `mend`: these files alone (by number), of which there are damaged copies at the destination: what is right of them
    is taken from there.
    `allow_unsafe`: put files in place that may run code when they are loaded, too. `link`: what is here already, and
    ours or the user's, may stand there as a further name of the same file.
    """

    reference: str
    manifest: Digest
    destination: Path
    force: bool = False
    patience_s: float = 60.0
    wait_s: float | None = None
    first: tuple[str, ...] = ()
    in_order: bool = False
    choice: Choice = Choice()
    mend: RangeSet | None = None
    allow_unsafe: bool = False
    link: bool = False


class Means(msgspec.Struct, frozen=True):
    """What a fetch works with. `own` is this node, which is never a provider of its own fetch. `open_mirrors` is called
    if the fetch has mirrors, and not before. `shelf`: where others may have what is verified while the fetch runs;
    None: nowhere. `exchange`: with whom peers of the swarm are told of; None: with nobody. `thanks`: where it is noted
    who gave what; None: nowhere. `down`: the cap on what it receives. `budget`: how often an address is dialled that
    the user did not name; one for a node, whomever it tells of its fetches. `near`: what is near this node.
    `make_room`: told how many bytes will be written, before the first is; raises DiskFull. None: as the disk has it.
    `tally`: where it is counted what came, and what did not."""

    dialler: Dialler
    store: Store
    workers: Workers
    own: PeerId
    open_mirrors: OpenMirrors = no_mirrors
    shelf: StoreShelf | None = None
    exchange: Exchange | None = None
    thanks: Thanks | None = None
    down: Cap = msgspec.field(default_factory=NoCap)
    budget: DialBudget = msgspec.field(default_factory=DialBudget)
    near: Surroundings = msgspec.field(default_factory=Surroundings)
    make_room: Callable[[int], Awaitable[None]] | None = None
    tally: Tally = msgspec.field(default_factory=Tally)


class SearchEnded(msgspec.Struct, frozen=True):
    """One round of the search has told all it found."""


class ReadersChanged(msgspec.Struct, frozen=True):
    """What readers want is not what it was; the session knows already."""


class KinKnown(msgspec.Struct, frozen=True):
    """A parent that somebody has, and which chunks it has of what is fetched. Told before whoever has it."""

    kin: Digest
    numbers: Renumbering


class KinSearchEnded(msgspec.Struct, frozen=True):
    """The search for kin has told all it found."""


Item = (
    Candidate
    | SearchEnded
    | KinKnown
    | KinSearchEnded
    | ReadersChanged
    | Dialled
    | Reported
    | HoldsNow
    | Silent
    | Told
    | Synced
    | SyncFailed
    | LookFailed
)
"""What the tasks of a fetch tell its coordinator."""


class LinkState:
    """A link that is up; `held` once it opened; `asked`: what of the manifest's blobs it was asked for.

    `bare`: a mirror that has files, and does not have what describes them. `leaving`: it was let go of for somebody
    who waits; `useless_since`: since when it has had nothing of what is missing, or was `busy` whatever it was asked
    for, or hardly moves, while others wait.
    """

    def __init__(self, link: Link, provider: Provider, kin: Digest | None = None) -> None:
        self.link = link
        self.kin = kin  # The manifest that it is asked for in place of what is fetched.
        self.provider = provider
        self.held: RangeSet | None = None
        self.asked = Asked()
        self.bare = False
        self.useless_since = math.inf
        self.busy = False
        self.leaving = False


class Job:
    """One fetch. `nursery` is there while it transfers."""

    def __init__(
        self,
        wish: Wish,
        search: Search,
        means: Means,
        watch: Watch,
        *,
        now: float,
        opened: TellOpened | None = None,
        readers: Readers | None = None,
    ) -> None:
        self.wish = wish
        self.search = search
        self.means = means
        self.watch = watch
        self.meter = Meter(now=now)
        self.effort = Effort()
        self.assembly = Assembly(wish.manifest, means.store.blob)
        self.questions = Questions()  # Until the session begins.
        self.arrival: Arrival | None = None
        self.others = ExitStack()  # What is served to others, and heard of them, while the arrival lasts.
        self.standings = Standings()
        self.session: Session | None = None
        # Other manifests and what they have of this one: large files alone that were missing when it began, parents.
        self.kin: dict[Digest, Renumbering] = {}
        self.seeking_kin = False
        self.begun = trio.Event()  # Set with the session.
        self.crowd: frozenset[PeerId] = frozenset()  # Who else fetches this, as the session was told last;
        self.met_at = -math.inf  # and when that was.
        self.tried_at = now  # When the slowest link gave its place to one that was never tried.
        self.sparing = Sparing(began=now)
        self.bytes_reused = 0  # On this disk before anything was asked for.
        self.bytes_before = 0  # Verified when the session began: those, and the first flight.
        self.providers = ProviderBook(means.own)
        for candidate in search.known:  # Before the first dial, so that all addresses of one take part in it.
            self.providers.found(candidate)
        for mirror in search.mirrors:
            self.providers.mirror(mirror, by_user=mirror in search.given)
        self.links: dict[LinkId, LinkState] = {}
        self.prefix: tuple[tuple[int, bytes], ...] = ()
        self.prefix_asked = False
        self.lost_at: float | None = None  # Since when nobody brings the fetch forward.
        self.awaited = Awaited(wish.first, in_order=wish.in_order)
        self.choosing = _choosing(wish.choice, makes=opened is None)
        self.chosen: Chosen | None = None  # With the arrival, where not all is wanted.
        self.opened = opened  # Who reads tensors while the rest arrives,
        self.telling: Telling | None = None  # and what tells them, with the arrival.
        self.readers = readers  # Those for whom alone it fetches, and what they want.
        self.suspects = Suspects(means.workers)
        self.syncing = Syncing(means.workers, self.awaited, watch, now=now)
        self.send, self.inbox = trio.open_memory_channel[Item](limits.REPORTS_WAITING_MAX)
        self.nursery: trio.Nursery

    @property
    def complete(self) -> bool:
        """Whether all is here that is wanted now."""
        return self.session is not None and self.session.complete

    def is_over(self, now: float) -> bool:
        """Whether nothing more will be wanted, either."""
        return self.complete and (self.readers is None or self.readers.are_done(now))

    def missing(self) -> list[Wanted]:
        """Return what of the metadata is to be asked for next; empty when the transfer can begin. Blocks. Raises
        Malformed, Damaged."""
        missing = self.assembly.missing()
        if missing or self.choosing is None:
            return missing
        return self.assembly.missing_layouts(self.choosing.layouts_of(self.assembly.manifest()))

    def count(self, link: Link, count: int, now: float) -> None:
        """Note `count` verified bytes that came over `link`."""
        self.means.tally.received[link.via] += count
        self.meter.received(link.peer, count, now=now)
        self.syncing.backlog.came(count)
        self.lost_at = None

    def note_written(self) -> None:
        """Tell the arrival what is written by now, and will not be written again. Raises DiskError."""
        assert self.session is not None
        assert self.arrival is not None
        if written := self.session.take_written():
            self.arrival.verified(written)
            if self.telling is not None:
                self.telling.note()
            if self.readers is not None:
                self.readers.note()
            self.suspects.came(written)
            if self.means.shelf is not None:
                self.means.shelf.bulletin.tell(self.wish.manifest)

    def want_soon(self) -> None:
        """Tell the session what is wanted soon by now, if it has begun."""
        if self.session is None or self.session.complete:
            return
        if runs := [*self.suspects.runs(), *self.awaited.runs()]:
            self.act(self.session.want_soon(runs, now=trio.current_time()))

    def want(self, runs: Sequence[Run]) -> None:
        """Readers want `runs` of chunks that are not had, in this order, and nothing else."""
        if self.session is None:
            return
        now = trio.current_time()
        if self.session.complete:  # Nobody was missed while nothing was.
            self.lost_at = None
        self.act(self.session.want_only(RangeSet.of(runs), now=now))
        self.act(self.session.want_soon(runs, now=now))
        with suppress(trio.WouldBlock):  # Else it is awake anyway.
            self.send.send_nowait(ReadersChanged())

    # --- carrying out decisions --------------------------------------------------------------------------------------

    def act(self, actions: list[Action]) -> None:
        """Carry out what the session decided."""
        for action in actions:
            state = self.links.get(action.link)
            if state is None:
                continue
            match action:
                case Grant():
                    state.link.grant(action.chunks)
                case Revoke():
                    state.link.revoke()
                case Cancel():
                    state.link.cancel(action.chunks)
                case Drop():
                    self.drop(state, action.error)

    def drop(self, state: LinkState, error: PeerError) -> None:
        """End a link for a reason of ours. Its `Closed` follows, without an error, so the reason is told here."""
        self.questions.left(state.asked)
        state.provider.failed(error, trio.current_time())
        state.leaving = True
        self.tell_dropped(state.provider, error)
        state.link.close()

    def tell_dropped(self, provider: Provider, error: HubError) -> None:
        """Tell the watcher that `provider` gives nothing more, unless another link to it is up, or why it is banned."""
        stays = any(not self.links[number].leaving for number in provider.links if number in self.links)
        if stays and not provider.banned:
            return
        provider.told = False  # It is a source again when it comes back.
        file, chunk = provider.lied_about or (None, None)
        self.watch(PeerDropped(peer_id=str(provider.peer), reason=error.message, file=file, chunk=chunk))


def _choosing(choice: Choice, *, makes: bool) -> Choosing | None:
    """Return what finds out what is meant, None where all is."""
    if not choice:
        return None
    from p2phub.engine.choosing import Choosing  # With the formats of files, which most fetches do without.

    return Choosing(choice, makes=makes)
