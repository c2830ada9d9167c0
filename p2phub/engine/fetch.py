"""Fetch one manifest into a folder: the coordinator of a job.

One task owns all state of the fetch (`job`) and takes events from one bounded channel: a candidate was found, a dial
came out, a link reported, a sync failed, time passed. It tells `transfer.Session` what happened and carries out what
that decides. Around it run tasks that own nothing: the search for providers, one task a link (`dialling`), the sync
task. Whom to let go of for others decide `nearness` and `giving_place`, whom to dial next `turns`, when to give up
`patience`. The verdict is raised after the nursery has closed, or it would arrive wrapped in an ExceptionGroup.

Source: proto/transfer.md; docs/decisions/0050-engine.md.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from p2phub.content import ChunkTable, RangeSet
from p2phub.discovery import Candidate
from p2phub.engine.awaited import tell_ready
from p2phub.engine.choice import Choice
from p2phub.engine.company import meet, take_holding, take_told
from p2phub.engine.dialling import Dialled, Reported
from p2phub.engine.exchange import Told
from p2phub.engine.explain import explain
from p2phub.engine.giving_place import make_place
from p2phub.engine.heartbeat import HoldsNow, Silent
from p2phub.engine.job import Item, Job, KinKnown, KinSearchEnded, Means, ReadersChanged, SearchEnded, Wish
from p2phub.engine.kin import look_for_kin, turn_to_next
from p2phub.engine.nearness import ask_lan_if_long, spare
from p2phub.engine.patience import Patience
from p2phub.engine.preparing import begin, late_at, look, look_early
from p2phub.engine.reports import take_report
from p2phub.engine.search import Search
from p2phub.engine.suspects import LookFailed
from p2phub.engine.syncing import Synced, SyncFailed
from p2phub.engine.turns import Turns
from p2phub.errors import HubError
from p2phub.net import Verified
from p2phub.observe import Done, Explanation, Remark, Watch

if TYPE_CHECKING:
    from p2phub.engine.opening import TellOpened
    from p2phub.engine.readers import Readers

__all__ = ["Choice", "Means", "Running", "Wish", "fetch"]

DIAL_LOOK_S = 0.1  # How soon it is looked at who could be dialled after what comes all the time and seldom changes it.


class Running:
    """A fetch under way, for whoever looks on, or reads what it fetches; in the loop that it runs in."""

    def __init__(self, job: Job, patience: Patience) -> None:
        self._job, self._patience = job, patience

    def explain(self) -> Explanation:
        """Say what bounds it, and how long it waits where nobody is there."""
        now = trio.current_time()
        return explain(self._job, self._patience.wait_now(now), now=now)

    @property
    def arriving(self) -> tuple[ChunkTable, RangeSet] | None:
        """The chunks of the manifest, and which are verified and on this disk by now; None before they are known."""
        arrival = self._job.arrival
        return None if arrival is None else (arrival.plan.table, arrival.have)

    @property
    def links(self) -> int:
        """How many links it has, to whomever."""
        return len(self._job.links)

    def want_soon(self, path: str, start: int, stop: int) -> None:
        """Fetch bytes `start` ..< `stop` of a file before all else that is missing, and before what was wanted so up to
        now; the last SOON_RANGES_MAX ranges are remembered. Before the manifest is known, too. Raises NotFound if it
        has no such file, UsageError for no range."""
        self._job.awaited.move_up(path, start, stop)
        self._job.want_soon()


async def fetch(
    wish: Wish,
    *,
    search: Search,
    means: Means,
    watch: Watch,
    started: Callable[[Running], None] = lambda running: None,
    opened: TellOpened | None = None,
    readers: Readers | None = None,
) -> Done:
    """Return once every chunk is verified, durable and at its place. Raises NoProvider, Damaged, DiskError, Unsafe for
    files that the wish does not allow, and UsageError for a pattern that is none.

    `started` is given the fetch, good while it runs. `opened` is told of tensors, in the order in which `wish` names
    them, as each can be read; then nothing goes to its place, and the unfinished files stay for whoever reads them.
    `readers`: fetch what they claim and nothing else, until they are done.
    """
    job = Job(wish, search, means, watch, now=trio.current_time(), opened=opened, readers=readers)
    patience = Patience(job)
    started(Running(job, patience))
    try:
        await _transfer(job, patience)
        assert job.arrival is not None
        if job.telling is not None:
            await job.telling.look()
        path, remarks = await means.workers.run(partial(_finish, job))
        for remark in remarks:
            watch(remark)
        if job.awaited.wants_files:
            tell_ready(watch, await means.workers.run(partial(job.awaited.take_ready, job.arrival)))
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


async def _transfer(job: Job, patience: Patience) -> None:
    """Return when every chunk is verified and written. Raises the verdict if that cannot be."""
    verdict: HubError | None = None
    if not job.missing():
        await begin(job)
    async with trio.open_nursery() as job.nursery:
        job.nursery.start_soon(job.syncing.run, job.send)
        if job.opened is not None:
            job.nursery.start_soon(_tell_opened, job)
        if not job.wish.allow_unsafe and job.readers is None:
            job.nursery.start_soon(look_early, job)
        try:
            await _Coordinator(job, patience).run()
        except HubError as error:
            verdict = error
        job.nursery.cancel_scope.cancel()
    if verdict is not None:
        raise verdict
    job.watch(job.meter.final(now=trio.current_time()))


async def _tell_opened(job: Job) -> None:
    """Tell of tensors as they come, once it is known what there is."""
    await job.begun.wait()
    assert job.telling is not None
    await job.telling.run(job.send)


def _finish(job: Job) -> tuple[Path, list[Remark]]:
    """Put all that was fetched, and what is made of it, at its place; return where, and what is to be said of it.
    Blocks. Raises DiskError, Damaged."""
    assert job.arrival is not None
    if job.opened is not None:
        return job.wish.destination, []
    if job.readers is not None:
        from p2phub.engine.readers import place_whole

        place_whole(job)
        return job.wish.destination, []
    if job.chosen is None:
        return job.arrival.finish(), []
    made, remarks = job.chosen.make(job.arrival.read_plan(), job.assembly.manifest())
    return job.arrival.finish(made), remarks


class _Coordinator:
    """The loop: what came is taken, then the clock looked at, then dialled, then given up or not."""

    def __init__(self, job: Job, patience: Patience) -> None:
        self.job = job
        self.patience = patience
        self.turns = Turns(job)
        self.dial_at = -math.inf

    async def run(self) -> None:
        try:
            await self._run()
        finally:
            if self.job.readers is not None:
                self.job.readers.end()

    async def _run(self) -> None:
        if not self.job.complete:
            self.patience.start_search()
        while not self.job.is_over(trio.current_time()):
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
            if self.job.readers is not None:
                self.job.readers.let_links_rest(now)
            if now >= self.dial_at and not self.job.complete:
                self.dial_at = now + DIAL_LOOK_S
                ask_lan_if_long(self.job, now)
                look_for_kin(self.job, now)
                spare(self.job, searching=self.patience.searching, now=now)
                make_place(self.job, now)
                turn_to_next(self.job)
                self.turns.dial_more(now)
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
            case ReadersChanged():
                pass  # It is looked at below who could bring that.
            case Synced():
                pass  # There is room again: `_on_time` has the session look.
            case KinKnown():
                job.kin[item.kin] = item.numbers
            case KinSearchEnded():
                job.seeking_kin = False
            case Dialled():
                self.turns.dialled(item, now)
            case Reported():
                await take_report(job, item.number, item.report, now)
            case HoldsNow():
                take_holding(job, item, now)
            case Told():
                take_told(job, item)
            case Silent():
                for number in sorted(job.providers[item.peer].links):
                    job.drop(job.links[number], item.error)
            case SyncFailed() | LookFailed():
                raise item.error

    def _next_deadline(self) -> float:
        now = trio.current_time()
        times = [self.patience.look_at(now), self.patience.search_again_at or math.inf]
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
            if not self.patience.at_rest and (progress := job.meter.progress(now=now)) is not None:
                job.watch(progress)
        job.syncing.look(now=now)
        look(job, now)
        told_elsewhere = job.complete or self.patience.at_rest or (self.patience.waits_long(now) and not job.links)
        if not told_elsewhere and (waiting := job.meter.quiet(self._who_lives, now=now)) is not None:
            job.watch(waiting)

    def _who_lives(self) -> list[str]:
        return [str(provider.peer) for provider in self.job.providers if provider.live]


def _is_frequent(item: Item) -> bool:
    """Whether `item` is of the kind that a busy fetch hears all the time."""
    return isinstance(item, HoldsNow) or (isinstance(item, Reported) and isinstance(item.report, Verified))
