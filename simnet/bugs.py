"""Bugs to plant, by name: each breaks one promise of the production code, and some scenario must notice.

A green run means something only as far as these are caught (`tests/simulation/test_planted_bugs.py`). Each is a patch
of a production class for the length of a run; nothing in p2phub knows of it. Those that break a bound stand in
`excess`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Any
from unittest import mock

from msgspec.structs import replace

from p2phub import limits
from p2phub.content import ChunkRef, RangeSet
from p2phub.discovery import ProviderRecords
from p2phub.engine import dialling, reports
from p2phub.engine.assembly import Assembly
from p2phub.engine.meter import Meter
from p2phub.engine.patience import Patience
from p2phub.engine.providers import Provider
from p2phub.engine.resolve import Resolver
from p2phub.engine.sparing import Sparing
from p2phub.errors import ChunkMismatch, HubError, PeerError, PeerGone, ProtocolViolation
from p2phub.identity import SourceId
from p2phub.manifest import Judgement, Known, Verdict, judge
from p2phub.net import Closed
from p2phub.net.chunk_writer import ChunkWriter
from p2phub.net.lease import Lease, Window
from p2phub.net.link import BulkLink
from p2phub.store import memory_arrival
from p2phub.store.arrival import FilesystemArrival
from p2phub.store.journal import Remembered
from p2phub.store.memory import MemoryStore
from p2phub.store.memory_files import OpenMemoryFile
from p2phub.transfer import Session, Slots
from p2phub.transfer.endgame import Endgame
from p2phub.transfer.leases import Leases
from p2phub.transfer.picker import Picker
from p2phub.transfer.standing import Standings
from p2phub.wire import BulkRequester
from simnet import carrier
from simnet.excess import EXCESSES, Plant

PLANTS: dict[str, Plant] = {}


def _plant(build: Plant) -> Plant:
    PLANTS[build.__name__.removeprefix("_").replace("_", "-")] = build
    return build


def plants() -> dict[str, Plant]:
    """Return every bug that there is to plant, by its name."""
    return PLANTS | EXCESSES


@contextmanager
def planted(names: Sequence[str]) -> Iterator[None]:
    """Have these bugs for a while."""
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(plants()[name]())
        yield


@_plant
def _skip_the_digest_check() -> AbstractContextManager[Any]:
    def unchecked(self: BulkRequester, refs: Sequence[ChunkRef], data: memoryview) -> Iterator[Any]:
        at = 0
        for ref in refs:
            yield ref, data[at : at + ref.length]
            at += ref.length

    return mock.patch.object(BulkRequester, "_checked", unchecked)


@_plant
def _forget_the_ban() -> AbstractContextManager[Any]:
    stack = ExitStack()
    failed, closed = Provider.failed, Session.closed

    def forgiving(self: Provider, error: HubError, now: float) -> None:
        failed(self, error, now)
        self.banned = False

    def as_if_gone(self: Session, link: int, error: HubError | None, returned: RangeSet, *, now: float) -> Any:
        lied = isinstance(error, ChunkMismatch | ProtocolViolation)
        return closed(self, link, PeerGone("gone") if lied else error, returned, now=now)

    stack.enter_context(mock.patch.object(Provider, "failed", forgiving))
    stack.enter_context(mock.patch.object(Session, "closed", as_if_gone))
    return stack


@_plant
def _ban_whoever_fails() -> AbstractContextManager[Any]:
    failed = Provider.failed

    def harsh(self: Provider, error: HubError, now: float) -> None:
        failed(self, error, now)
        self.banned = True

    return mock.patch.object(Provider, "failed", harsh)


@_plant
def _blame_whoever_goes() -> AbstractContextManager[Any]:
    lied_about = reports._lied_about

    def blaming(job: Any, report: Any) -> tuple[str, int] | None:
        return ("model.safetensors", 0) if report.error is not None else lied_about(job, report)

    return mock.patch.object(reports, "_lied_about", blaming)


@_plant
def _report_before_the_write() -> AbstractContextManager[Any]:
    write, close = ChunkWriter.write, ChunkWriter.close
    waiting: dict[int, tuple[Sequence[ChunkRef], bytes]] = {}

    def lazy(self: ChunkWriter, refs: Sequence[ChunkRef], data: memoryview, wanted: object = None) -> None:
        before = waiting.pop(id(self), None)
        waiting[id(self)] = (refs, bytes(data))
        if before:
            write(self, before[0], memoryview(before[1]))

    def at_last(self: ChunkWriter) -> None:
        before = waiting.pop(id(self), None)
        if before:
            write(self, before[0], memoryview(before[1]))
        close(self)

    stack = ExitStack()
    stack.enter_context(mock.patch.object(ChunkWriter, "write", lazy))
    stack.enter_context(mock.patch.object(ChunkWriter, "close", at_last))
    return stack


@_plant
def _write_at_the_wrong_place() -> AbstractContextManager[Any]:
    write = ChunkWriter._write

    def shifted(self: ChunkWriter, file: int, data: memoryview, offset: int, *, whole: bool) -> None:
        write(self, file, data, offset + 1 if offset > limits.MIB else offset, whole=whole)

    return mock.patch.object(ChunkWriter, "_write", shifted)


@_plant
def _believe_a_full_disk() -> AbstractContextManager[Any]:
    write = ChunkWriter._write

    def deaf(self: ChunkWriter, file: int, data: memoryview, offset: int, *, whole: bool) -> None:
        with suppress(HubError):
            write(self, file, data, offset, whole=whole)

    return mock.patch.object(ChunkWriter, "_write", deaf)


@_plant
def _ignore_the_window() -> AbstractContextManager[Any]:
    return mock.patch.object(Window, "bytes_max", property(lambda self: 64 * limits.MIB))


@_plant
def _never_pick_the_last_chunk() -> AbstractContextManager[Any]:
    pick = Picker.pick

    def shy(self: Picker, tiers: tuple[RangeSet, ...], *args: Any, **options: Any) -> Any:
        last = RangeSet.of([(len(self._table) - 1, len(self._table))])
        return pick(self, tuple(tier - last for tier in tiers), *args, **options)

    return mock.patch.object(Picker, "pick", shy)


@_plant
def _pick_twice() -> AbstractContextManager[Any]:
    grant = BulkLink.grant
    granted: dict[int, RangeSet] = {}

    def generous(self: BulkLink, chunks: RangeSet) -> None:
        grant(self, chunks | granted.get(id(self), RangeSet()))
        granted[id(self)] = chunks

    return mock.patch.object(BulkLink, "grant", generous)


@_plant
def _lose_what_is_revoked() -> AbstractContextManager[Any]:
    revoke = Lease.revoke

    def lossy(self: Lease) -> RangeSet:
        revoke(self)
        return RangeSet()

    return mock.patch.object(Lease, "revoke", lossy)


@_plant
def _lose_what_a_dead_link_had() -> AbstractContextManager[Any]:
    def nothing(self: Leases, link: Any, chunks: RangeSet) -> None:
        link.lease_bytes = 0

    return mock.patch.object(Leases, "release", nothing)


@_plant
def _stop_the_stall_clock() -> AbstractContextManager[Any]:
    stack = ExitStack()
    stack.enter_context(mock.patch.object(Session, "_patience_ends", return_value=float("inf")))
    stack.enter_context(mock.patch.object(Endgame, "_ask_again", return_value=[]))
    stack.enter_context(mock.patch.object(limits, "SOCKET_CALL_S", 1e6))
    stack.enter_context(mock.patch("p2phub.engine.heartbeat.PATIENCE_S", 1e6))
    return stack


@_plant
def _take_back_in_vain() -> AbstractContextManager[Any]:
    help_idle = Endgame.help

    def tireless(self: Endgame, idle: Any, owing: Any, *, now: float, **options: Any) -> Any:
        for link in owing.links:
            link.kept_until = now
        return help_idle(self, idle, owing, now=now, **options)

    return mock.patch.object(Endgame, "help", tireless)


@_plant
def _never_ask_again() -> AbstractContextManager[Any]:
    return mock.patch.object(Endgame, "_ask_again", return_value=[])


@_plant
def _let_readers_wait() -> AbstractContextManager[Any]:
    return mock.patch.object(Endgame, "hasten", side_effect=lambda *args, **options: [])


@_plant
def _forget_what_is_read() -> AbstractContextManager[Any]:
    return mock.patch.object(Session, "want_soon", return_value=[])


@_plant
def _run_progress_backwards() -> AbstractContextManager[Any]:
    def careless(self: Meter, verified: int) -> None:
        self._verified = verified - (verified // limits.MIB % 3) * limits.MIB

    return mock.patch.object(Meter, "verified", careless)


@_plant
def _credit_the_wrong_peer() -> AbstractContextManager[Any]:
    received = Meter.received
    first: dict[int, Any] = {}

    def confused(self: Meter, peer: Any, count: int, *, now: float) -> None:
        received(self, first.setdefault(id(self), peer), count, now=now)

    return mock.patch.object(Meter, "received", confused)


@_plant
def _leave_connections_open() -> AbstractContextManager[Any]:
    return mock.patch.object(carrier.SimChannel, "close", lambda self: self._stream.end())


@_plant
def _never_sync() -> AbstractContextManager[Any]:
    return mock.patch("p2phub.limits.SYNC_S", 1e9)


@_plant
def _trust_hints_after_a_crash() -> AbstractContextManager[Any]:
    def trusting(table: Any, hints: Any) -> RangeSet:
        return RangeSet.of(run for _, ranges in hints for run in ranges.runs)

    return mock.patch.object(memory_arrival, "matching_chunks", trusting)


@_plant
def _journal_before_the_data() -> AbstractContextManager[Any]:
    return mock.patch.object(FilesystemArrival, "_make_durable", return_value=None)


@_plant
def _serve_a_changed_file() -> AbstractContextManager[Any]:
    return mock.patch.object(OpenMemoryFile, "unchanged", return_value=True)


@_plant
def _say_done_too_early() -> AbstractContextManager[Any]:
    return mock.patch.object(Session, "complete", property(lambda self: self._leases.bytes_missing <= limits.MIB))


@_plant
def _hammer_who_is_gone() -> AbstractContextManager[Any]:
    stack = ExitStack()
    stack.enter_context(mock.patch("p2phub.engine.providers.RETRY_S", (0.0,)))
    stack.enter_context(mock.patch("p2phub.transfer.standing.GONE_REST_S", 0.0))
    return stack


@_plant
def _serve_all_alike() -> AbstractContextManager[Any]:
    return mock.patch.object(Slots, "weight", return_value=1.0)


@_plant
def _give_up_at_once() -> AbstractContextManager[Any]:
    def impatient(self: Patience, now: float) -> None:
        job = self._job
        if not job.complete and not self.searching and not self._can_progress(now, by_hearsay=True):
            raise job.providers.verdict(job.wish.reference, job.search.asked())

    return mock.patch.object(Patience, "give_up_or_wait", impatient)


@_plant
def _ask_for_blobs_forever() -> AbstractContextManager[Any]:
    return mock.patch.object(Assembly, "add", return_value=set())


@_plant
def _keep_who_is_of_no_use() -> AbstractContextManager[Any]:
    stack = ExitStack()
    stack.enter_context(mock.patch("p2phub.engine.fetch.make_place"))
    stack.enter_context(mock.patch("p2phub.engine.patience.waiting", return_value=[]))
    return stack


@_plant
def _believe_whoever_answers_last() -> AbstractContextManager[Any]:
    def gullible(known: Known | None, candidate: Known, *, now: float) -> Judgement:
        return Judgement(Verdict.NEWER, candidate)

    return mock.patch("p2phub.engine.resolve.judge", gullible)


@_plant
def _forget_what_was_believed() -> AbstractContextManager[Any]:
    return mock.patch.object(Resolver, "_known", return_value=None)


@_plant
def _hide_a_contradiction() -> AbstractContextManager[Any]:
    def discreet(known: Known | None, candidate: Known, *, now: float) -> Judgement:
        judgement = judge(known, candidate, now=now)
        return Judgement(judgement.verdict, replace(judgement.known, evidence=()))

    return mock.patch("p2phub.engine.resolve.judge", discreet)


@_plant
def _wait_for_who_cannot_be_reached() -> AbstractContextManager[Any]:
    return mock.patch.object(limits, "DIAL_S", 1e6)


@_plant
def _leave_links_open_when_cancelled() -> AbstractContextManager[Any]:
    async def forgetful(dialled: dialling.Dialled, link: Any, tell: Any) -> None:
        await tell.send(dialled)
        report = None
        while not isinstance(report, Closed):
            report = await link.next_report()
            await tell.send(dialling.Reported(dialled.number, report))

    return mock.patch.object(dialling, "relay", forgetful)


@_plant
def _begin_anew_each_time() -> AbstractContextManager[Any]:
    arrive = MemoryStore.arrive

    def forgetful(self: MemoryStore, *args: Any, **options: Any) -> Any:
        self.unfinished.clear()
        return arrive(self, *args, **options)

    stack = ExitStack()
    stack.enter_context(mock.patch.object(MemoryStore, "arrive", forgetful))
    stack.enter_context(mock.patch("p2phub.store.arriving.read_journal", return_value=Remembered()))
    return stack


@_plant
def _rest_for_ever() -> AbstractContextManager[Any]:
    def grudging(self: Standings, peer: SourceId, *, now: float) -> None:
        self._known(peer, now=now).rest_until = float("inf")

    return mock.patch.object(Standings, "lost", grudging)


@_plant
def _ban_the_neighbours() -> AbstractContextManager[Any]:
    lied = Standings.lied

    def unjust(self: Standings, peer: SourceId, evidence: PeerError, *, now: float) -> None:
        lied(self, peer, evidence, now=now)
        parties = self._known(peer, now=now).parties
        for other in [known for known in self._of.values() if known.parties & parties]:
            other.evidence = other.evidence or evidence

    return mock.patch.object(Standings, "lied", unjust)


@_plant
def _try_all_keys_of_a_liar() -> AbstractContextManager[Any]:
    return mock.patch.object(Standings, "kept_back", return_value=False)


@_plant
def _name_no_providers() -> AbstractContextManager[Any]:
    return mock.patch.object(ProviderRecords, "get", return_value=())


@_plant
def _keep_every_line() -> AbstractContextManager[Any]:
    return mock.patch.object(Sparing, "_not_worth", return_value=[])


@_plant
def _pay_for_nothing() -> AbstractContextManager[Any]:
    return mock.patch.object(Sparing, "_others_do", return_value=False)


@_plant
def _let_them_rest() -> AbstractContextManager[Any]:
    return mock.patch.object(Sparing, "_wake")
