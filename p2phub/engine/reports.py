"""What a link's report does to a fetch.

Reports come one at a time to the one task that owns the fetch, and in two stages: until what describes the manifest is
here there is no session, and they bring pages, lists, and the chunks it begins with; from then on the session decides,
and is told. A peer's fault ends what it does for us and nothing else. Our disk's, or one in what the publisher signed,
ends the fetch: nobody else could do better.
"""

from __future__ import annotations

import logging

from p2phub.content import RangeSet
from p2phub.engine.company import accompany
from p2phub.engine.giving_place import knock_s
from p2phub.engine.job import Job, LinkState
from p2phub.engine.preparing import advance, join
from p2phub.errors import ChunkMismatch, DiskError, Malformed, PeerError, PeerGone, PeerRefused, ProtocolViolation
from p2phub.identity import PeerAddress, PeerId
from p2phub.net import Blobs, Cancelled, Closed, Opened, Refused, Report, Returned, Verified
from p2phub.observe import Source, SourceLacks
from p2phub.transfer import LinkId

_log = logging.getLogger(__name__)
_NEEDS_DESCRIPTION = "let its owner run `p2phub publish --mirror-files`, or name a node that has it with --provider"


async def take_report(job: Job, number: LinkId, report: Report, now: float) -> None:
    """Carry on with what link `number` reported. Raises the error that ends the fetch: of our disk, or the manifest."""
    state = job.links[number]
    match report:
        case Opened():
            await _opened(job, number, state, report, now)
        case Blobs():
            job.meter.received(state.link.peer, 0, now=now)
            _tell_source(job, state)
            if job.session is None:  # Else it is what another gave sooner.
                job.meter.described(state.link.peer, sum(map(len, report.blobs)))
                job.questions.came(state.asked, job.assembly.add(report.blobs), now=now)
                await advance(job)
        case Verified():
            _verified(job, number, state, report, now)
        case Refused():
            if report.chunks:
                job.means.tally.refused[report.reason] += len(report.chunks)
            if job.session is not None and report.chunks:
                _tell_lacking(job, state, report)
                job.act(job.session.refused(number, report.chunks, report.reason, now=now))
            elif state.asked.coming and state.provider.is_mirror:
                await _is_bare(job, state)
            elif state.asked.coming:
                job.drop(state, PeerGone("does not have the manifest's pages", peer=str(state.link.peer)))
        case Returned():
            if job.session is not None:
                job.act(job.session.returned(number, report.chunks, now=now))
        case Cancelled():
            if job.session is not None:
                job.act(job.session.cancelled(number, report.chunks, report.unasked, now=now))
        case Closed():
            await _closed(job, number, state, report, now)


async def _opened(job: Job, number: LinkId, state: LinkState, report: Opened, now: float) -> None:
    provider = state.provider
    state.held = report.held if state.kin is None else job.kin[state.kin].held_by_who_has(report.held)
    holds = "it is there" if provider.is_mirror else f"it holds {len(state.held):,} chunks"
    _log.info("%s answers at %s: %s", provider.peer, state.link.address, holds)
    provider.opened(has_some=bool(state.held))
    job.meter.received(provider.peer, 0, now=now)
    if isinstance(provider.peer, PeerId) and state.kin is None:  # Else it is none of this swarm.
        where = PeerAddress(provider.peer, state.link.address)
        if job.means.exchange is not None:
            job.means.exchange.budget.proved(where.address)
            job.means.exchange.saw(job.wish.manifest, where, now=now)
        accompany(job, state.provider, where)
    if report.blobs or not provider.is_mirror:  # A mirror answers whether or not it has anything of this.
        _tell_source(job, state)
    if job.session is not None:
        join(job, number, state, now)
        return
    if report.blobs:
        job.assembly.add(report.blobs)
        state.asked.has_given = True
    if report.prefix and not job.prefix:
        job.prefix = report.prefix
        job.count(state.link, sum(len(data) for _, data in report.prefix), now)
    await advance(job, news=bool(report.blobs))


def _tell_source(job: Job, state: LinkState) -> None:
    if not state.provider.told:
        state.provider.told = True
        job.watch(Source(str(state.provider.peer), str(state.link.address), state.link.via))


def _tell_lacking(job: Job, state: LinkState, report: Refused) -> None:
    """Tell once that a mirror has not got a file as it was published, which no waiting mends."""
    provider = state.provider
    if not provider.is_mirror or provider.lacks is not None:
        return
    file, _ = _place_of(job, report.chunks)
    why = "its length is not that of what was published" if report.reason == "changed" else "it is not there"
    provider.lacks = f"cannot give {file}: {why}"
    job.watch(SourceLacks(peer_id=str(provider.peer), file=file, reason=why))


async def _is_bare(job: Job, state: LinkState) -> None:
    """A mirror has nothing that describes the manifest: others are asked for that, and it may give chunks later."""
    job.questions.left(state.asked)
    state.bare = True
    state.provider.last_error = PeerGone(
        "does not have what describes the manifest", peer=str(state.link.peer), hint=_NEEDS_DESCRIPTION
    )
    await advance(job)


def _verified(job: Job, number: LinkId, state: LinkState, report: Verified, now: float) -> None:
    job.count(state.link, report.bytes, now)
    job.effort.note(report.spent, now=now)
    if report.bytes:
        _tell_source(job, state)
    if job.session is None:  # The first answer is on its way: the link says that bytes come, no more.
        assert not report.chunks, "chunks are granted by a session"
        if job.means.down.is_pressed(job.wish.manifest):
            state.asked.moved_at = now  # An answer is on its way, as fast as our own cap lets it.
        return
    job.act(job.session.verified(number, report.chunks, report.bytes, now=now))


async def _closed(job: Job, number: LinkId, state: LinkState, report: Closed, now: float) -> None:
    provider = state.provider
    del job.links[number]
    provider.links.discard(number)
    job.questions.left(state.asked)
    if isinstance(report.error, DiskError | Malformed):  # Our disk's fault, or the publisher's: nobody can help.
        raise report.error
    provider.lied_about = provider.lied_about or _lied_about(job, report)
    _count_end(job, report)
    if job.session is not None:
        job.act(job.session.closed(number, report.error, report.returned, now=now))
    if state.kin is not None and isinstance(report.error, PeerRefused) and state.kin in provider.kin:
        provider.kin.remove(state.kin)  # Others it may have all the same.
    if report.error is not None and not (job.complete and isinstance(report.error, PeerGone)):
        provider.failed(report.error, now)
        job.tell_dropped(provider, report.error)
        if provider.turned_us_away and not provider.is_hearsay:
            provider.retry_at = min(provider.retry_at, now + knock_s(job))
            if job.session is None and isinstance(provider.peer, PeerId):
                accompany(job, provider, PeerAddress(provider.peer, state.link.address))
    if job.session is None:
        if provider.banned and isinstance(report.error, PeerError):
            job.standings.lied(provider.peer, report.error, now=now)
        job.prefix_asked = job.prefix_asked and provider.is_mirror
        await advance(job)


def _count_end(job: Job, report: Closed) -> None:
    tally = job.means.tally
    if isinstance(report.error, ChunkMismatch):
        tally.refused["wrong"] += 1
    if isinstance(report.error, ChunkMismatch | ProtocolViolation):
        tally.dropped["lied"] += 1
    elif report.error is not None and not (job.complete and isinstance(report.error, PeerGone)):
        tally.dropped["gone"] += 1


def _lied_about(job: Job, report: Closed) -> tuple[str, int] | None:
    """Return the file and chunk that a lie was told about: of a broken answer, the first chunk it was owed for."""
    error = report.error
    if isinstance(error, ChunkMismatch):
        return error.file, error.chunk
    if not isinstance(error, ProtocolViolation):
        return None
    if job.arrival is None or not report.returned:
        return "manifest", 0
    return _place_of(job, report.returned)


def _place_of(job: Job, chunks: RangeSet) -> tuple[str, int]:
    """Return the file of the first of `chunks`, and which of the file's chunks it is."""
    assert job.arrival is not None, "chunks are of a manifest that is known"
    table, first = job.arrival.plan.table, chunks.runs[0][0]
    file = table.file_of(first)
    return job.arrival.plan.path_of(file), first - table.span(file)[0]
