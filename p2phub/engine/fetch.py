"""Fetch one manifest into a folder: the coordinator of a job.

One task owns all state of the fetch and takes events from one bounded channel: a candidate was found, a dial came
out, a link reported, a sync failed, time passed. It tells `transfer.Session` what happened and carries out what that decides.
Around it run tasks that own nothing: the search for providers, a dial-and-report task a link, the sync task.
The verdict is raised after the nursery has closed, or it would arrive wrapped in an ExceptionGroup.

Until the manifest and its chunk lists are here (`Assembly`), there is nothing to lease; the first provider that opens
is asked for them. Source: proto/transfer.md; DESIGN "Leases", "Many sources", "No silent stall".
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import trio

from p2phub import limits
from p2phub.content import Codec, Digest, RangeSet
from p2phub.discovery import Candidate
from p2phub.engine.assembly import Assembly
from p2phub.engine.providers import Provider, ProviderBook
from p2phub.engine.search import Search
from p2phub.engine.workers import Workers
from p2phub.errors import (
    ChunkMismatch,
    DiskError,
    HubError,
    PeerError,
    PeerGone,
    PeerStalled,
)
from p2phub.identity import PeerAddress, PeerId
from p2phub.net import Blobs, Closed, Dialler, Link, Opened, Refused, Report, Returned, Verified
from p2phub.observe import Done, PeerDropped, Progress, Source, SourceBytes, Started, Waiting, Watch
from p2phub.store import Arrival, Store
from p2phub.transfer import Action, Drop, Grant, LinkId, Revoke, Session

DIALS_AT_ONCE = 4
PROGRESS_S = 0.5


@dataclass(frozen=True, slots=True)
class Wish:
    """What to fetch. `patience_s`: how long to look on after a fetch that had begun lost its last provider."""

    reference: str
    manifest: Digest
    destination: Path
    force: bool = False
    patience_s: float = 60.0


# --- what arrives at the coordinator -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _SearchEnded:
    """One round of the search has told all it found."""


@dataclass(frozen=True, slots=True)
class _Dialled:
    provider: PeerId
    link: LinkId
    opened: Link | PeerError


@dataclass(frozen=True, slots=True)
class _Reported:
    link: LinkId
    report: Report


@dataclass(frozen=True, slots=True)
class _SyncFailed:
    error: HubError


_Item = Candidate | _SearchEnded | _Dialled | _Reported | _SyncFailed


class _LinkState:
    """A link that was dialled; `held` once it opened."""

    def __init__(self, link: Link, provider: Provider) -> None:
        self.link = link
        self.provider = provider
        self.held: RangeSet | None = None
        self.asked_at: float | None = None  # When it was asked for metadata that has not come.


async def fetch(
    wish: Wish, *, search: Search, dialler: Dialler, store: Store, workers: Workers, own: PeerId, watch: Watch
) -> Done:
    """Return once every chunk is verified, durable and at its place. Raises NoProvider, Damaged, DiskError."""
    return await _Fetch(wish, search, dialler, store, workers, own, watch).run()


class _Fetch:
    def __init__(
        self,
        wish: Wish,
        search: Search,
        dialler: Dialler,
        store: Store,
        workers: Workers,
        own: PeerId,
        watch: Watch,
    ) -> None:
        self.wish = wish
        self.search = search
        self.dialler = dialler
        self.store = store
        self.workers = workers
        self.own = own
        self.watch = watch
        self.began = trio.current_time()
        self.assembly = Assembly(wish.manifest, store.blob)
        self.arrival: Arrival | None = None
        self.session: Session | None = None
        self.providers = ProviderBook(own)
        self.links: dict[LinkId, _LinkState] = {}
        self.link_count = 0
        self.prefix: tuple[tuple[int, bytes], ...] = ()
        self.prefix_asked = False
        self.received: Counter[PeerId] = Counter()
        self.bytes_reused = 0
        self.bytes_before = 0  # Verified when the session began: what was here, and the first flight.
        self.first_byte_s: float | None = None
        self.last_byte_at = self.began
        self.searching = False
        self.rounds = 0
        self.search_again_at: float | None = None
        self.lost_at: float | None = None
        self.unsynced_bytes = 0
        self.synced_at = self.began
        self.sync_wanted = trio.Event()
        self.progress_at = self.began
        self.progress_bytes = 0
        self.rate = 0.0
        self.waiting_told_at = -math.inf
        send, self.inbox = trio.open_memory_channel[_Item](limits.REPORTS_WAITING_MAX)
        self.send = send

    async def run(self) -> Done:
        verdict: HubError | None = None
        try:
            if not self.assembly.missing():
                await self._begin()
            async with trio.open_nursery() as nursery:
                self.nursery = nursery
                nursery.start_soon(self._sync_when_wanted)
                try:
                    await self._coordinate()
                    self._tell_progress(trio.current_time())  # All is verified now; syncing it is still to come.
                except HubError as error:
                    verdict = error
                for state in self.links.values():
                    state.link.close()
                nursery.cancel_scope.cancel()
            if verdict is not None:
                raise verdict
            assert self.arrival is not None
            path = await self.workers.run(self.arrival.finish)
        finally:
            if self.arrival is not None:
                self.arrival.close()
        return Done(
            path=str(path),
            bytes_received=sum(self.received.values()),
            bytes_reused=self.bytes_reused,
            seconds=trio.current_time() - self.began,
            first_byte_s=self.first_byte_s,
            sources=[SourceBytes(str(peer), count) for peer, count in self.received.most_common()],
        )

    # --- the loop ------------------------------------------------------------------------------------------------

    async def _coordinate(self) -> None:
        """Return when all is verified. Raises the verdict if it cannot be."""
        if self._complete:
            return
        self._start_search()
        while not self._complete:
            item: _Item | None = None
            with trio.move_on_at(self._next_deadline()):
                item = await self.inbox.receive()
            now = trio.current_time()
            if item is not None:
                await self._take(item, now)
            if self.session is not None:
                self._act(self.session.tick(now=now), now)
            self._on_time(now)
            self._dial_more(now)
            self._give_up_or_wait(now)

    @property
    def _complete(self) -> bool:
        return self.session is not None and self.session.complete

    async def _take(self, item: _Item, now: float) -> None:
        match item:
            case Candidate():
                self.providers.found(item)
            case _SearchEnded():
                self.searching = False
            case _Dialled():
                self._dialled(item, now)
            case _Reported():
                await self._reported(item.link, item.report, now)
            case _SyncFailed():
                raise item.error

    def _next_deadline(self) -> float:
        now = trio.current_time()
        times = [now + PROGRESS_S]
        if self.session is not None:
            times.append(self.session.deadline() or math.inf)
        if self.search_again_at is not None:
            times.append(self.search_again_at)
        return max(now, min(times))

    def _on_time(self, now: float) -> None:
        if self.session is not None and now - self.progress_at >= PROGRESS_S:
            self._tell_progress(now)
        if self.unsynced_bytes >= limits.SYNC_BYTES or (self.unsynced_bytes and now - self.synced_at >= limits.SYNC_S):
            self.unsynced_bytes, self.synced_at = 0, now
            self.sync_wanted.set()
        for state in list(self.links.values()):
            if state.asked_at is not None and now - state.asked_at > limits.STALL_S:
                self._drop(state, PeerStalled("no answer to a question about the manifest", peer=str(state.link.peer)))
        quiet_s = now - self.last_byte_at
        if quiet_s >= limits.STALL_S and now - self.waiting_told_at >= limits.STALL_S:
            self.waiting_told_at = now
            live = [str(provider.peer) for provider in self.providers if provider.live]
            whom = f" from {', '.join(live)}" if live else "; no provider is connected"
            reason = f"no byte for {quiet_s:.0f} s{whom}"
            self.watch(Waiting(reason=reason, next="asking other providers" if live else "looking for providers again"))

    def _tell_progress(self, now: float) -> None:
        if self.session is None:
            return
        verified = self.bytes_before + self.session.bytes_verified
        passed = now - self.progress_at
        if passed > 0:
            recent = (verified - self.progress_bytes) / passed
            self.rate = recent if self.rate == 0.0 else 0.6 * self.rate + 0.4 * recent
        self.progress_at, self.progress_bytes = now, verified
        self.watch(Progress(bytes_verified=verified, bytes_per_s=round(self.rate, 1)))

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
        if self.session is None:
            return 1
        return self.session.links_wanted(provider.peer)

    def _dial(self, provider: Provider) -> None:
        provider.dialling += 1
        number, self.link_count = self.link_count, self.link_count + 1
        prefix_bytes = 0
        if self.session is None and not self.prefix_asked:
            # One provider pushes the beginning; a second push of the same bytes would be waste.
            prefix_bytes, self.prefix_asked = limits.PREFIX_BYTES_MAX, True
        self.nursery.start_soon(self._run_link, provider, number, prefix_bytes)

    async def _run_link(self, provider: Provider, number: LinkId, prefix_bytes: int) -> None:
        try:
            link = await self._open(provider, prefix_bytes)
        except PeerError as error:
            await self.send.send(_Dialled(provider.peer, number, error))
            return
        try:
            await self.send.send(_Dialled(provider.peer, number, link))
            while True:
                report = await link.next_report()
                await self.send.send(_Reported(number, report))
                if isinstance(report, Closed):
                    return
        finally:
            link.close()

    async def _open(self, provider: Provider, prefix_bytes: int) -> Link:
        """Dial the provider's addresses one by one. Raises the last error."""
        error: PeerError = PeerGone("no address to dial", peer=str(provider.peer))
        for address in tuple(provider.addresses):
            try:
                return await self.dialler.open_link(
                    PeerAddress(provider.peer, address),
                    self.wish.manifest,
                    prefix_bytes=prefix_bytes,
                    via=provider.via,
                )
            except PeerError as exc:
                error = exc
        raise error

    def _dialled(self, item: _Dialled, now: float) -> None:
        provider = self.providers[item.provider]
        provider.dialling -= 1
        if isinstance(item.opened, PeerError):
            self._prefix_lost()
            provider.failed(item.opened, now)
        else:
            provider.links.add(item.link)
            self.links[item.link] = _LinkState(item.opened, provider)

    def _prefix_lost(self) -> None:
        """Whoever was to push the beginning is gone: the next dial asks for it again."""
        if self.session is None:
            self.prefix_asked = False

    # --- reports ---------------------------------------------------------------------------------------------------

    async def _reported(self, number: LinkId, report: Report, now: float) -> None:
        state = self.links[number]
        match report:
            case Opened():
                await self._opened(number, state, report, now)
            case Blobs():
                state.asked_at = None
                self.last_byte_at = now
                self.assembly.add(report.blobs)
                await self._advance(now)
            case Verified():
                self._count(state.link.peer, report.bytes, now)
                assert self.session is not None
                assert self.arrival is not None
                self.arrival.verified(report.chunks)
                self._act(self.session.verified(number, report.chunks, report.bytes, now=now), now)
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
        self.last_byte_at = now
        provider.opened()
        if not provider.told:
            provider.told = True
            self.watch(Source(str(provider.peer), str(state.link.address), state.link.via))
        if self.session is None:
            self.assembly.add(report.blobs)
            if report.prefix and not self.prefix:
                self.prefix = report.prefix
                self._count(provider.peer, sum(len(data) for _, data in report.prefix), now)
            await self._advance(now)
        else:
            self._join(number, state, now)

    async def _advance(self, now: float) -> None:
        """Ask for what is missing of the metadata, or begin the transfer."""
        if self.session is not None:
            return
        missing = self.assembly.missing()
        if not missing:
            await self._begin()
            for number, state in list(self.links.items()):
                if state.held is not None:
                    self._join(number, state, trio.current_time())
            return
        open_links = [state for state in self.links.values() if state.held is not None]
        if open_links and not any(state.asked_at is not None for state in open_links):
            state = min(open_links, key=lambda state: state.provider.failures)
            state.asked_at = now
            state.link.ask(missing[: limits.BLOBS_PER_REQUEST_MAX])

    async def _begin(self) -> None:
        """The manifest and its lists are here: prepare the disk, then there is something to lease."""
        wish = self.wish

        def prepare() -> Arrival:
            self.store.put_blobs(self.assembly.new_blobs())
            manifest, table = self.assembly.manifest(), self.assembly.table()
            return self.store.arrive(manifest, wish.manifest, table, wish.destination, force=wish.force)

        arrival = self.arrival = await self.workers.run(prepare)
        table, held = arrival.plan.table, arrival.have
        self.bytes_reused = table.bytes_of(held)
        self.watch(
            Started(
                reference=wish.reference,
                manifest=wish.manifest.text(Codec.MSGPACK),
                bytes_total=table.bytes_total,
                bytes_held=self.bytes_reused,
            )
        )
        useful = [(chunk, data) for chunk, data in self.prefix if chunk not in held]
        self.prefix = ()

        def write_prefix() -> RangeSet:
            for chunk, data in useful:
                arrival.write(chunk, data)
            return RangeSet.from_indices(chunk for chunk, _ in useful)

        if useful:
            written = await self.workers.run(write_prefix)
            arrival.verified(written)
            self.unsynced_bytes += table.bytes_of(written)
            held |= written
        now = trio.current_time()
        # Requesters that start together ask for different bytes, so that they can serve each other.
        rotation = int.from_bytes(self.own.public_key[:8], "big") % max(1, len(table)) if self.search.crowded else 0
        self.session = Session(table, held, rotation=rotation, now=now)
        self.bytes_before = table.bytes_of(held)
        self.progress_at, self.progress_bytes = now, self.bytes_before

    def _join(self, number: LinkId, state: _LinkState, now: float) -> None:
        assert self.session is not None
        assert self.arrival is not None
        assert state.held is not None
        state.link.use(self.arrival.plan)
        self._act(self.session.joined(number, state.link.peer, state.held, now=now), now)

    async def _closed(self, number: LinkId, state: _LinkState, report: Closed, now: float) -> None:
        provider = state.provider
        del self.links[number]
        provider.links.discard(number)
        if isinstance(report.error, DiskError):
            raise report.error
        if self.session is not None:
            self._act(self.session.closed(number, report.error, report.returned, now=now), now)
        if report.error is not None and not (self._complete and isinstance(report.error, PeerGone)):
            provider.failed(report.error, now)
            self._tell_dropped(provider.peer, report.error)
        if self.session is None:
            self._prefix_lost()
            await self._advance(now)

    def _count(self, peer: PeerId, count: int, now: float) -> None:
        self.received[peer] += count
        self.unsynced_bytes += count
        self.last_byte_at = now
        self.lost_at = None
        if self.first_byte_s is None:
            self.first_byte_s = now - self.began

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
        state.asked_at = None
        state.provider.failed(error, trio.current_time())
        self._tell_dropped(state.provider.peer, error)
        state.link.close()

    def _tell_dropped(self, peer: PeerId, error: HubError) -> None:
        where = (error.file, error.chunk) if isinstance(error, ChunkMismatch) else (None, None)
        self.watch(PeerDropped(peer_id=str(peer), reason=error.message, file=where[0], chunk=where[1]))

    def _give_up_or_wait(self, now: float) -> None:
        """Search again, or raise the verdict, when nothing that runs can bring the fetch forward."""
        if self._complete or self.searching or self._can_progress(now):
            return
        if self.search_again_at is not None:
            if now >= self.search_again_at:
                self._start_search()
            return
        self.lost_at = now if self.lost_at is None else self.lost_at
        begun = any(self.received.values())
        patience_s = self.wish.patience_s if begun and not self.providers.all_lied() else 0.0
        if self.search.more() or now - self.lost_at < patience_s:
            self.search_again_at = now if self.search.more() else max(now + 1.0, self.providers.next_retry(now))
            return
        raise self.providers.verdict(self.wish.reference, self.search.asked())

    def _can_progress(self, now: float) -> bool:
        if self.providers.dialling:
            return True
        if self.session is None:
            return bool(self.links)
        if self.links:
            return bool(self.session.missing - self.session.unavailable)
        return False

    # --- the sync task -----------------------------------------------------------------------------------------------

    async def _sync_when_wanted(self) -> None:
        while True:
            await self.sync_wanted.wait()
            self.sync_wanted = trio.Event()
            assert self.arrival is not None
            try:
                await self.workers.run(self.arrival.sync)
            except HubError as error:
                await self.send.send(_SyncFailed(error))
                return
