"""Fetch one manifest into a folder: the coordinator of a job.

One task owns all state of the fetch (`job`) and takes events from one bounded channel: a candidate was found, a dial
came out, a link reported, a sync failed, time passed. It tells `transfer.Session` what happened and carries out what
that decides. Around it run tasks that own nothing: the search for providers, one task a link (`dialling`), the sync
task. The verdict is raised after the nursery has closed, or it would arrive wrapped in an ExceptionGroup.

Source: proto/transfer.md; DESIGN "Leases", "Many sources", "No silent stall".
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable
from functools import partial

import trio

from p2phub import limits
from p2phub.discovery import Candidate, Nearness
from p2phub.engine.company import meet, take_holding, take_told
from p2phub.engine.dialling import Dialled, Reported, Target, run_link
from p2phub.engine.exchange import Told
from p2phub.engine.explain import explain
from p2phub.engine.heartbeat import HoldsNow, Silent
from p2phub.engine.job import Item, Job, LinkState, Means, SearchEnded, Wish
from p2phub.engine.meter import LOOK_S
from p2phub.engine.mirrors import run_mirror
from p2phub.engine.nearness import ask_lan_if_long, in_order, nearness_of, spare
from p2phub.engine.parole import kept_back
from p2phub.engine.patience import Patience
from p2phub.engine.places import HOPE_RESTS_S, kept, make_place, most_links
from p2phub.engine.preparing import begin, late_at, look
from p2phub.engine.providers import RETRY_S, Provider
from p2phub.engine.reports import take_report
from p2phub.engine.search import Search
from p2phub.engine.soon import tell_ready
from p2phub.engine.syncing import SyncFailed
from p2phub.errors import HubError, PeerError
from p2phub.identity import Address, MirrorId, PeerId
from p2phub.net import Verified
from p2phub.observe import Done, Explanation, Watch
from p2phub.transfer import party_of

__all__ = ["Means", "Running", "Wish", "fetch"]

_log = logging.getLogger(__name__)
DIALS_AT_ONCE = 8  # So that a crowd gets to know itself soon.
DIAL_LOOK_S = 0.1  # How soon it is looked at who could be dialled after what comes all the time and seldom changes it.


class Running:
    """A fetch under way, for whoever looks on, or reads what it fetches; in the loop that it runs in."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def explain(self) -> Explanation:
        """Say what bounds it."""
        return explain(self._job, now=trio.current_time())

    def want_soon(self, path: str, start: int, stop: int) -> None:
        """Fetch bytes `start` ..< `stop` of a file before all else that is missing, and before what was wanted so up to
        now; the last SOON_RANGES_MAX ranges are remembered. Before the manifest is known, too. Raises NotFound if it
        has no such file, UsageError for no range."""
        self._job.soon.move_up(path, start, stop)
        self._job.want_soon()


async def fetch(
    wish: Wish,
    *,
    search: Search,
    means: Means,
    watch: Watch,
    started: Callable[[Running], None] = lambda running: None,
) -> Done:
    """Return once every chunk is verified, durable and at its place. Raises NoProvider, Damaged, DiskError, and
    UsageError for a pattern that is none.

    `started` is given the fetch, good while it runs.
    """
    job = Job(wish, search, means, watch, now=trio.current_time())
    started(Running(job))
    try:
        await _transfer(job)
        assert job.arrival is not None
        path = await means.workers.run(job.arrival.finish)
        if job.soon.wants_files:
            tell_ready(watch, await means.workers.run(partial(job.soon.take_ready, job.arrival)))
    finally:
        job.others.close()
        if job.arrival is not None:
            job.arrival.close()
    return Done(
        path=str(path),
        bytes_received=job.meter.bytes_received,
        bytes_reused=job.bytes_reused,
        seconds=round(trio.current_time() - job.meter.began, 3),
        first_byte_s=job.meter.first_byte_s,
        sources=job.meter.sources,
    )


async def _transfer(job: Job) -> None:
    """Return when every chunk is verified and written. Raises the verdict if that cannot be."""
    verdict: HubError | None = None
    if not job.assembly.missing():
        await begin(job)
    async with trio.open_nursery() as job.nursery:
        job.nursery.start_soon(job.syncing.run, job.send)
        try:
            await _Coordinator(job).run()
        except HubError as error:
            verdict = error
        job.nursery.cancel_scope.cancel()
    if verdict is not None:
        raise verdict
    job.watch(job.meter.final(now=trio.current_time()))


class _Coordinator:
    """The loop: what came is taken, then the clock looked at, then dialled, then given up or not."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.patience = Patience(job)
        self.link_count = 0
        self.dial_at = -math.inf

    async def run(self) -> None:
        if not self.job.complete:
            self.patience.start_search()
        while not self.job.complete:
            item = await self._next_item()
            now = trio.current_time()
            if self.job.session is not None:
                self.job.session.capped = self.job.means.down.is_pressed(self.job.wish.manifest)
            if item is None or not _is_frequent(item):
                self.dial_at = now
            if item is not None:
                await self._take(item, now)
                if self.job.session is not None:  # Whatever came may have settled the last of a chunk.
                    self.job.note_written()
            self._on_time(now)
            if now >= self.dial_at:
                self.dial_at = now + DIAL_LOOK_S
                ask_lan_if_long(self.job, now)
                self._dial_more(now)
                self.patience.give_up_or_wait(now)

    async def _next_item(self) -> Item | None:
        """Return what arrived, or None when it is time to look at the clock. What is here comes before the clock."""
        await trio.lowlevel.checkpoint()
        with contextlib.suppress(trio.WouldBlock):
            return self.job.inbox.receive_nowait()
        with trio.move_on_at(self._next_deadline()):
            return await self.job.inbox.receive()
        return None

    async def _take(self, item: Item, now: float) -> None:
        job = self.job
        match item:
            case Candidate():
                job.providers.found(item)
            case SearchEnded():
                self.patience.searching = False
            case Dialled():
                self._dialled(item, now)
            case Reported():
                await take_report(job, item.number, item.report, now)
            case HoldsNow():
                take_holding(job, item, now)
            case Told():
                take_told(job, item)
            case Silent():
                for number in sorted(job.providers[item.peer].links):
                    job.drop(job.links[number], item.error)
            case SyncFailed():
                raise item.error

    def _next_deadline(self) -> float:
        now = trio.current_time()
        times = [now + LOOK_S, self.patience.search_again_at or math.inf]
        if self.job.session is not None:
            times.append(self.job.session.deadline() or math.inf)
        else:
            times.append(late_at(self.job, now))
        return max(now, min(times))

    def _on_time(self, now: float) -> None:
        job = self.job
        if job.session is not None:
            meet(job, now)
            job.act(job.session.tick(now=now))
            job.meter.verified(job.bytes_before + job.session.bytes_verified)
            if (progress := job.meter.progress(now=now)) is not None:
                job.watch(progress)
        job.syncing.look(now=now)
        look(job, now)
        if (waiting := job.meter.quiet(self._who_lives, now=now)) is not None:
            job.watch(waiting)

    def _who_lives(self) -> list[str]:
        return [str(provider.peer) for provider in self.job.providers if provider.live]

    # --- dialling --------------------------------------------------------------------------------------------------

    def _dial_more(self, now: float) -> None:
        spare(self.job, searching=self.patience.searching, now=now)
        make_place(self.job, now)
        providers = self.job.providers
        links_max, keeps = most_links(self.job), kept(self.job)
        if providers.dialling >= DIALS_AT_ONCE or providers.dialling + providers.links >= links_max:
            return
        # In a crowd a live one has all the links it gets, and is not worth a closer look.
        due = [
            provider
            for provider in providers
            if now >= provider.retry_at and provider.can_be_dialled and not (self.job.crowd and provider.live)
            if provider.peer not in self.job.sparing.held_back
        ]
        back = kept_back(self.job, now)
        # What nobody has may be with anybody, however far.
        nearer_first = self.job.session is None or not self.job.session.unavailable
        for provider in sorted(due, key=partial(self._turn, nearer_first=nearer_first)):
            if provider.peer in back:
                continue
            while len(provider.links) + provider.dialling < self._links_wanted(provider):
                dialling = providers.dialling
                if dialling >= DIALS_AT_ONCE or dialling + providers.links >= links_max:
                    return
                full = dialling >= DIALS_AT_ONCE - 1 or dialling + providers.links >= links_max - keeps
                if provider.is_hearsay and full:
                    break
                addresses = self._may_be_dialled(provider, now)
                if not addresses and not provider.is_mirror:
                    provider.retry_at = now + RETRY_S[-1]
                    break
                self._dial(provider, addresses)
                back = kept_back(self.job, now)  # One of a suspect address at a time.

    def _turn(self, provider: Provider, *, nearer_first: bool) -> tuple[bool, int, bool, int, float, bytes]:
        """Return where `provider` stands among those that are due.

        Whom the user named comes first, then the nearer ones. Of those as near, whom others named comes last, and never
        at the last place to dial: perhaps nobody is there to answer. Then who may soon have what we see at nobody, then
        those that had no turn yet.
        """
        crowd, session = self.job.crowd, self.job.session
        hoped = 0
        if crowd and session is not None and trio.current_time() - provider.linked_at >= HOPE_RESTS_S:
            hoped = session.hoped_from(provider.peer)
        named_now = bool(provider.given) and provider.linked_at == -math.inf
        near = nearness_of(self.job, provider)
        if not nearer_first and near is not Nearness.METERED:
            near = Nearness.FAR
        draw = provider.draw if crowd else b""
        return not named_now, near, provider.is_hearsay, -hoped, provider.linked_at, draw

    def _links_wanted(self, provider: Provider) -> int:
        if provider.out:
            return 0
        return 1 if self.job.session is None else self.job.session.links_wanted(provider.peer)

    def _may_be_dialled(self, provider: Provider, now: float) -> tuple[Address, ...]:
        """Return the addresses of `provider` to try, in order; but for what the user named, within the budget of
        dials."""
        budget = self.job.means.budget
        return tuple(
            address
            for address in in_order(self.job, provider)
            if address in provider.given or budget.allow(address, now=now)
        )

    def _dial(self, provider: Provider, addresses: tuple[Address, ...]) -> None:
        job = self.job
        provider.dialling += 1
        number, self.link_count = self.link_count, self.link_count + 1
        _log.info("dialling %s at %s", provider.peer, ", ".join(map(str, addresses)) or "its URL")
        if isinstance(provider.peer, MirrorId):
            run = partial(
                run_mirror, wants_manifest=job.session is None, open_mirrors=job.means.open_mirrors, tell=job.send
            )
            job.nursery.start_soon(run, provider.peer, number, job.wish.manifest)
            return
        prefix_bytes = 0
        if job.session is None and not job.prefix_asked:
            # One provider pushes the beginning; a second push of the same bytes would be waste.
            prefix_bytes = job.means.down.ahead_bytes(job.wish.manifest, limits.PREFIX_BYTES_MAX)
            job.prefix_asked = True
        provider.tried.update(provider.addresses)  # What the budget kept back, too, or it would be no end of new ones.
        target = Target(provider.peer, addresses, provider.via, job.wish.manifest, prefix_bytes)
        job.nursery.start_soon(run_link, target, number, job.means.dialler, job.send)

    def _dialled(self, item: Dialled, now: float) -> None:
        job = self.job
        provider = job.providers[item.peer]
        provider.dialling -= 1
        provider.forget(item.not_there)
        if isinstance(item.link, PeerError):
            # If it was to push the beginning, the next one shall.
            job.prefix_asked = job.prefix_asked and provider.is_mirror
            provider.failed(item.link, now)
        else:
            if isinstance(item.peer, PeerId):
                job.means.budget.proved(item.link.address)
                job.standings.met(item.peer, party_of(item.peer, item.link.address), now=now)
                provider.answered_s[item.link.address] = item.took_s
            provider.links.add(item.number)
            provider.linked_at = now
            job.links[item.number] = LinkState(item.link, provider)


def _is_frequent(item: Item) -> bool:
    """Whether `item` is of the kind that a busy fetch hears all the time."""
    return isinstance(item, HoldsNow) or (isinstance(item, Reported) and isinstance(item.report, Verified))
