"""Fetch one manifest into a folder: the coordinator of a job.

One task owns all state of the fetch and takes events from one bounded channel: a candidate was found, a dial came
out, a link reported, a sync failed, time passed. It tells `transfer.Session` what happened and carries out what that
decides. Around it run tasks that own nothing: the search for providers, one task a link (`dialling`), the sync task.
The verdict is raised after the nursery has closed, or it would arrive wrapped in an ExceptionGroup.

Until the manifest and its chunk lists are here (`assembly`), there is nothing to lease; the first provider that opens
is asked for them. Source: proto/transfer.md; DESIGN "Leases", "Many sources", "No silent stall".
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from pathlib import Path

import trio

from p2phub import limits
from p2phub.content import Codec, Digest, RangeSet
from p2phub.discovery import Candidate
from p2phub.engine.assembly import Assembly
from p2phub.engine.dialling import Dialled, Reported, Target, run_link
from p2phub.engine.heartbeat import HoldsNow, Silent, keep_company
from p2phub.engine.meter import LOOK_S, Meter
from p2phub.engine.providers import Provider, ProviderBook
from p2phub.engine.search import Search
from p2phub.engine.workers import Workers
from p2phub.errors import (
    ChunkMismatch,
    DiskError,
    HubError,
    Malformed,
    PeerError,
    PeerGone,
    PeerStalled,
    ProtocolViolation,
)
from p2phub.identity import PeerAddress, PeerId
from p2phub.net import Blobs, Closed, Dialler, Link, Opened, Refused, Report, Returned, Verified
from p2phub.observe import Done, PeerDropped, Source, Started, Watch
from p2phub.store import Arrival, Store
from p2phub.transfer import Action, Drop, Grant, LinkId, Revoke, Session

DIALS_AT_ONCE = 4
SEARCH_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What to fetch. `patience_s`: how long to look on after the last provider of a begun fetch is gone, or busy."""

    reference: str
    manifest: Digest
    destination: Path
    force: bool = False
    patience_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Means:
    """What a fetch works with. `own` is this node, which is never a provider of its own fetch."""

    dialler: Dialler
    store: Store
    workers: Workers
    own: PeerId


@dataclass(frozen=True, slots=True)
class _SearchEnded:
    """One round of the search has told all it found."""


@dataclass(frozen=True, slots=True)
class _SyncFailed:
    error: HubError


_Item = Candidate | _SearchEnded | Dialled | Reported | HoldsNow | Silent | _SyncFailed


class _LinkState:
    """A link that is up; `held` once it opened, `asked_at` while it owes an answer about the manifest."""

    def __init__(self, link: Link, provider: Provider) -> None:
        self.link = link
        self.provider = provider
        self.held: RangeSet | None = None
        self.asked: set[Digest] = set()
        self.asked_at: float | None = None


async def fetch(wish: Wish, *, search: Search, means: Means, watch: Watch) -> Done:
    """Return once every chunk is verified, durable and at its place. Raises NoProvider, Damaged, DiskError."""
    job = _Fetch(wish, search, means, watch)
    try:
        await job.transfer()
        assert job.arrival is not None
        path = await means.workers.run(job.arrival.finish)
    finally:
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


class _Fetch:
    def __init__(self, wish: Wish, search: Search, means: Means, watch: Watch) -> None:
        self.wish = wish
        self.search = search
        self.means = means
        self.watch = watch
        self.meter = Meter(now=trio.current_time())
        self.assembly = Assembly(wish.manifest, means.store.blob)
        self.arrival: Arrival | None = None
        self.session: Session | None = None
        self.bytes_reused = 0  # On this disk before anything was asked for.
        self.bytes_before = 0  # Verified when the session began: those, and the first flight.
        self.providers = ProviderBook(means.own)
        self.links: dict[LinkId, _LinkState] = {}
        self.link_count = 0
        self.prefix: tuple[tuple[int, bytes], ...] = ()
        self.prefix_asked = False
        self.searching = False
        self.rounds = 0
        self.search_again_at: float | None = None
        self.lost_at: float | None = None
        self.unsynced_bytes = 0
        self.synced_at = self.meter.began
        self.sync_wanted = trio.Event()
        self.send, self.inbox = trio.open_memory_channel[_Item](limits.REPORTS_WAITING_MAX)
        self.nursery: trio.Nursery

    async def transfer(self) -> None:
        """Return when every chunk is verified and written. Raises the verdict if that cannot be."""
        verdict: HubError | None = None
        if not self.assembly.missing():
            await self._begin()
        async with trio.open_nursery() as self.nursery:
            self.nursery.start_soon(self._sync_when_wanted)
            try:
                await self._coordinate()
            except HubError as error:
                verdict = error
            self.nursery.cancel_scope.cancel()
        if verdict is not None:
            raise verdict
        self.watch(self.meter.final(now=trio.current_time()))

    # --- the loop ------------------------------------------------------------------------------------------------

    async def _coordinate(self) -> None:
        if not self._complete:
            self._start_search()
        while not self._complete:
            item = await self._next_item()
            now = trio.current_time()
            if item is not None:
                await self._take(item, now)
            self._on_time(now)
            self._dial_more(now)
            self._give_up_or_wait(now)

    async def _next_item(self) -> _Item | None:
        """Return what arrived, or None when it is time to look at the clock. What is here comes before the clock."""
        await trio.lowlevel.checkpoint()
        with contextlib.suppress(trio.WouldBlock):
            return self.inbox.receive_nowait()
        with trio.move_on_at(self._next_deadline()):
            return await self.inbox.receive()
        return None

    @property
    def _complete(self) -> bool:
        return self.session is not None and self.session.complete

    async def _take(self, item: _Item, now: float) -> None:
        match item:
            case Candidate():
                self.providers.found(item)
            case _SearchEnded():
                self.searching = False
            case Dialled():
                self._dialled(item, now)
            case Reported():
                await self._reported(item.number, item.report, now)
            case HoldsNow():
                self._holds_now(item, now)
            case Silent():
                for number in sorted(self.providers[item.peer].links):
                    self._drop(self.links[number], item.error)
            case _SyncFailed():
                raise item.error

    def _next_deadline(self) -> float:
        now = trio.current_time()
        times = [now + LOOK_S, self.search_again_at or math.inf]
        if self.session is not None:
            times.append(self.session.deadline() or math.inf)
        return max(now, min(times))

    def _on_time(self, now: float) -> None:
        if self.session is not None:
            self._act(self.session.tick(now=now), now)
            self.meter.verified(self.bytes_before + self.session.bytes_verified)
            if (progress := self.meter.progress(now=now)) is not None:
                self.watch(progress)
        if self.unsynced_bytes and (self.unsynced_bytes >= limits.SYNC_BYTES or now - self.synced_at >= limits.SYNC_S):
            self.unsynced_bytes, self.synced_at = 0, now
            self.sync_wanted.set()
        for state in list(self.links.values()):
            if state.asked_at is not None and now - state.asked_at > limits.STALL_S:
                self._drop(state, PeerStalled("no answer to a question about the manifest", peer=str(state.link.peer)))
        live = [str(provider.peer) for provider in self.providers if provider.live]
        if (waiting := self.meter.quiet(live, now=now)) is not None:
            self.watch(waiting)

    # --- finding and dialling --------------------------------------------------------------------------------------

    def _start_search(self) -> None:
        self.searching = True
        self.search_again_at = None
        round_number, self.rounds = self.rounds, self.rounds + 1

        async def look() -> None:
            async with self.send.clone() as found:
                await self.search.look(self.wish.manifest, round_number, found)
            await self.send.send(_SearchEnded())

        self.nursery.start_soon(look)

    def _dial_more(self, now: float) -> None:
        for provider in self.providers:
            if now < provider.retry_at or not provider.addresses:
                continue
            while len(provider.links) + provider.dialling < self._links_wanted(provider):
                dialling = self.providers.dialling
                if dialling >= DIALS_AT_ONCE or dialling + self.providers.links >= limits.BULK_THREADS_MAX:
                    return
                self._dial(provider)

    def _links_wanted(self, provider: Provider) -> int:
        if provider.banned:
            return 0
        return 1 if self.session is None else self.session.links_wanted(provider.peer)

    def _dial(self, provider: Provider) -> None:
        provider.dialling += 1
        number, self.link_count = self.link_count, self.link_count + 1
        prefix_bytes = 0
        if self.session is None and not self.prefix_asked:
            # One provider pushes the beginning; a second push of the same bytes would be waste.
            prefix_bytes, self.prefix_asked = limits.PREFIX_BYTES_MAX, True
        target = Target(provider.peer, tuple(provider.addresses), provider.via, self.wish.manifest, prefix_bytes)
        self.nursery.start_soon(run_link, target, number, self.means.dialler, self.send)

    def _dialled(self, item: Dialled, now: float) -> None:
        provider = self.providers[item.peer]
        provider.dialling -= 1
        provider.forget(item.not_there)
        if isinstance(item.link, PeerError):
            self.prefix_asked = False  # If it was to push the beginning, the next one shall.
            provider.failed(item.link, now)
        else:
            provider.links.add(item.number)
            self.links[item.number] = _LinkState(item.link, provider)

    # --- reports ---------------------------------------------------------------------------------------------------

    async def _reported(self, number: LinkId, report: Report, now: float) -> None:
        state = self.links[number]
        match report:
            case Opened():
                await self._opened(number, state, report, now)
            case Blobs():
                self.meter.received(state.link.peer, 0, now=now)
                state.asked -= self.assembly.add(report.blobs)
                state.asked_at = now if state.asked else None
                await self._advance(now)
            case Verified():
                self._verified(number, state, report, now)
            case Refused():
                if self.session is not None and report.chunks:
                    self._act(self.session.refused(number, report.chunks, report.reason, now=now), now)
                elif state.asked_at is not None:
                    self._drop(state, PeerGone("does not have the manifest's pages", peer=str(state.link.peer)))
            case Returned():
                if self.session is not None:
                    self._act(self.session.returned(number, report.chunks, now=now), now)
            case Closed():
                await self._closed(number, state, report, now)

    async def _opened(self, number: LinkId, state: _LinkState, report: Opened, now: float) -> None:
        provider = state.provider
        state.held = report.held
        provider.opened()
        self.meter.received(provider.peer, 0, now=now)
        if not provider.accompanied:
            self._keep_company(state)
        if not provider.told:
            provider.told = True
            self.watch(Source(str(provider.peer), str(state.link.address), state.link.via))
        if self.session is not None:
            self._join(number, state, now)
            return
        self.assembly.add(report.blobs)
        if report.prefix and not self.prefix:
            self.prefix = report.prefix
            self._count(provider.peer, sum(len(data) for _, data in report.prefix), now)
        await self._advance(now)

    def _keep_company(self, state: _LinkState) -> None:
        provider = state.provider
        provider.accompanied = True

        async def keep() -> None:
            where = PeerAddress(provider.peer, state.link.address)
            await keep_company(
                where,
                self.wish.manifest,
                dialler=self.means.dialler,
                tell=self.send,
                wanted=lambda: not provider.banned,
            )
            provider.accompanied = False

        self.nursery.start_soon(keep)

    def _holds_now(self, item: HoldsNow, now: float) -> None:
        for number in sorted(self.providers[item.peer].links):
            state = self.links[number]
            if self.session is not None and state.held is not None and state.held != item.held:
                state.held = item.held
                self._act(self.session.held(number, item.held, now=now), now)

    def _verified(self, number: LinkId, state: _LinkState, report: Verified, now: float) -> None:
        self._count(state.link.peer, report.bytes, now)
        if self.session is None:  # The first answer is on its way: the link says that bytes come, no more.
            assert not report.chunks, "chunks are granted by a session"
            return
        assert self.arrival is not None
        self.arrival.verified(report.chunks)
        self._act(self.session.verified(number, report.chunks, report.bytes, now=now), now)

    def _count(self, peer: PeerId, count: int, now: float) -> None:
        self.meter.received(peer, count, now=now)
        self.unsynced_bytes += count
        self.lost_at = None

    async def _closed(self, number: LinkId, state: _LinkState, report: Closed, now: float) -> None:
        provider = state.provider
        del self.links[number]
        provider.links.discard(number)
        if isinstance(report.error, DiskError | Malformed):  # Our disk's fault, or the publisher's: nobody can help.
            raise report.error
        provider.lied_about = provider.lied_about or self._lied_about(report)
        if self.session is not None:
            self._act(self.session.closed(number, report.error, report.returned, now=now), now)
        if report.error is not None and not (self._complete and isinstance(report.error, PeerGone)):
            provider.failed(report.error, now)
            self._tell_dropped(provider, report.error)
        if self.session is None:
            self.prefix_asked = False
            await self._advance(now)

    # --- from metadata to transfer -----------------------------------------------------------------------------------

    async def _advance(self, now: float) -> None:
        """Ask for what is missing of the metadata, or begin the transfer."""
        if self.session is not None or any(state.asked for state in self.links.values()):
            return
        missing = await self.means.workers.run(self.assembly.missing)
        if not missing:
            await self._begin()
            for number, state in list(self.links.items()):
                if state.held is not None:
                    self._join(number, state, trio.current_time())
            return
        open_links = [state for state in self.links.values() if state.held is not None]
        if open_links:
            state = min(open_links, key=lambda state: state.provider.failures)
            wanted = missing[: limits.BLOBS_ASKED_MAX]
            state.asked, state.asked_at = {digest for digest, _ in wanted}, now
            state.link.ask(wanted)

    async def _begin(self) -> None:
        """The manifest and its lists are here: prepare the disk, then there is something to lease."""
        wish, means = self.wish, self.means

        def prepare() -> Arrival:
            means.store.put_blobs(self.assembly.new_blobs())
            manifest, table = self.assembly.manifest(), self.assembly.table()
            return means.store.arrive(manifest, wish.manifest, table, wish.destination, force=wish.force)

        arrival = self.arrival = await means.workers.run(prepare)
        table, held = arrival.plan.table, arrival.have
        self.bytes_reused = table.bytes_of(held)
        manifest = wish.manifest.text(Codec.MSGPACK)
        self.watch(Started(wish.reference, manifest, bytes_total=table.bytes_total, bytes_held=self.bytes_reused))
        useful = [(chunk, data) for chunk, data in self.prefix if chunk not in held]
        self.prefix = ()

        def write_prefix() -> RangeSet:
            for chunk, data in useful:
                arrival.write(chunk, data)
            return RangeSet.from_indices(chunk for chunk, _ in useful)

        if useful:
            written = await means.workers.run(write_prefix)
            arrival.verified(written)
            held |= written
        now = trio.current_time()
        # Requesters that start together ask for different bytes, so that they can serve each other.
        rotation = int.from_bytes(means.own.public_key[:8], "big") % max(1, len(table)) if self.search.crowded else 0
        self.session = Session(table, held, rotation=rotation, now=now)
        self.bytes_before = table.bytes_of(held)
        self.meter.here_already(self.bytes_before, now=now)

    def _join(self, number: LinkId, state: _LinkState, now: float) -> None:
        assert self.session is not None
        assert self.arrival is not None
        assert state.held is not None
        state.link.use(self.arrival.plan)
        self._act(self.session.joined(number, state.link.peer, state.held, now=now), now)

    # --- carrying out decisions --------------------------------------------------------------------------------------

    def _act(self, actions: list[Action], now: float) -> None:
        for action in actions:
            state = self.links.get(action.link)
            if state is None:
                continue
            match action:
                case Grant():
                    state.link.grant(action.chunks)
                case Revoke():
                    state.link.revoke()
                case Drop():
                    self._drop(state, action.error)

    def _drop(self, state: _LinkState, error: PeerError) -> None:
        """End a link for a reason of ours. Its `Closed` follows, without an error, so the reason is told here."""
        state.asked, state.asked_at = set(), None
        state.provider.failed(error, trio.current_time())
        self._tell_dropped(state.provider, error)
        state.link.close()

    def _lied_about(self, report: Closed) -> tuple[str, int] | None:
        """Return the file and chunk that a lie was told about: of a broken answer, the first chunk it was owed for."""
        error = report.error
        if isinstance(error, ChunkMismatch):
            return error.file, error.chunk
        if not isinstance(error, ProtocolViolation):
            return None
        if self.arrival is None or not report.returned:
            return "manifest", 0
        table, first = self.arrival.plan.table, report.returned.runs[0][0]
        file = table.file_of(first)
        return self.arrival.plan.path_of(file), first - table.span(file)[0]

    def _tell_dropped(self, provider: Provider, error: HubError) -> None:
        file, chunk = provider.lied_about or (None, None)
        self.watch(PeerDropped(peer_id=str(provider.peer), reason=error.message, file=file, chunk=chunk))

    def _give_up_or_wait(self, now: float) -> None:
        """Search again, or raise the verdict, when nothing that runs can bring the fetch forward."""
        if self._complete or self.searching:
            return
        if self._can_progress():
            self.search_again_at = None
            return
        if self.search_again_at is not None:
            if now >= self.search_again_at:
                self._start_search()
            return
        self.lost_at = now if self.lost_at is None else self.lost_at
        hopeful = self.meter.bytes_received > 0 or self.providers.busy()
        patience_s = self.wish.patience_s if hopeful and not self.providers.all_banned() else 0.0
        if self.search.more():
            self.search_again_at = now
        elif now - self.lost_at < patience_s:
            self.search_again_at = min(now + SEARCH_AGAIN_S * 2 ** min(self.rounds, 4), self.lost_at + patience_s)
        else:
            raise self.providers.verdict(self.wish.reference, self.search.asked())

    def _can_progress(self) -> bool:
        if self.providers.dialling or any(state.held is None for state in self.links.values()):
            return True
        if self.session is None:
            return bool(self.links)
        return bool(self.links) and bool(self.session.missing - self.session.unavailable)

    # --- the sync task -----------------------------------------------------------------------------------------------

    async def _sync_when_wanted(self) -> None:
        while True:
            await self.sync_wanted.wait()
            self.sync_wanted = trio.Event()
            assert self.arrival is not None
            try:
                await self.means.workers.run(self.arrival.sync)
            except HubError as error:
                await self.send.send(_SyncFailed(error))
                return
