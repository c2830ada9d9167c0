"""Say of a running fetch what each source does and what bounds the whole: `p2phub status --explain JOB`.

It reads the job's state and changes nothing. Called in the loop, between two turns of the coordinator.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection

from p2phub.engine.job import Job
from p2phub.engine.nearness import nearness_of
from p2phub.engine.parole import kept_back
from p2phub.engine.providers import Provider, when
from p2phub.errors import PeerStalled
from p2phub.identity import SourceId
from p2phub.net import Spent
from p2phub.observe import Explanation, SourceNow, WaitNow
from p2phub.transfer import LinkNow

EVIDENCE_S = 0.1  # What took the threads less than this says nothing of what bounds.
MOST = 0.5  # Of the bulk threads' time: what takes as much is what bounds.
QUIET_S = 4.0  # Of a source from which something is due: a link tells each 2 to 3 s that bytes come, however slowly.
_KEPT_BACK = "not dialled now: others at its address lied, and one of them is tried at a time"
SLOW_PARTS = 8  # A source that gives less than this part of what the fastest gives is called slow.


def explain(job: Job, waiting: WaitNow | None, *, now: float) -> Explanation:
    """Return what can be said now. `waiting`: how it waits for providers, if it does."""
    session = job.session
    links = session.links_now(now=now) if session is not None else ()
    bound, because = _bound(job, links, now=now)
    back = kept_back(job, now)
    return Explanation(
        bytes_verified=job.bytes_before + (session.bytes_verified if session is not None else 0),
        bytes_missing=session.bytes_missing if session is not None else None,
        bytes_duplicate=session.bytes_duplicate if session is not None else 0,
        bound=bound,
        because=because,
        waiting=waiting,
        sources=tuple(_source(job, provider, links, back, now=now) for provider in job.providers),
    )


def _bound(job: Job, links: tuple[LinkNow, ...], *, now: float) -> tuple[str, str]:
    session = job.session
    if session is None:
        asked = [str(state.link.peer) for state in job.links.values() if not state.bare]
        if not asked and job.links:
            return "metadata", "no source that is connected has the manifest's pages and chunk lists"
        if not asked:
            return "providers", "no provider is connected yet"
        return "metadata", f"the manifest's pages and chunk lists are asked of {', '.join(asked)}"
    if session.complete and job.readers is not None:
        return "readers", "all is here that somebody wanted to read"
    if session.complete:
        return "disk", "every byte is verified; it is being made durable and put at its place"
    if not any(link.bytes_leased for link in links):
        gone = [str(each.peer) for each in job.providers if each.had_some and not each.out]
        if not links and gone:
            more = f" (and {len(gone) - 1} more)" if len(gone) > 1 else ""
            return "providers", f"no provider is connected; gone, or without an answer: {gone[0]}{more}"
        missing = session.unavailable
        if missing:
            return "holders", f"no provider holds {_chunk_name(job, missing.runs[0][0])} (and {len(missing) - 1} more)"
        if not links:
            return "providers", "no provider is connected"
    if session.waits_for_disk:
        return "disk", "this disk is slower than what comes: what is verified is made durable before more is asked for"
    if job.means.down.is_pressed(job.wish.manifest):
        return "cap", "the cap on what this node, or this job, may receive"
    return _bound_by_effort(job.effort.recent(now=now))


def _bound_by_effort(spent: Spent) -> tuple[str, str]:
    total = spent.receive_s + spent.check_s + spent.write_s
    if total < EVIDENCE_S:
        return "network", "hardly a byte came lately"
    shares = f"of {total:.1f} s, {spent.receive_s / total:.0%} went into receiving"
    shares += f", {spent.check_s / total:.0%} into checking, {spent.write_s / total:.0%} into writing"
    if spent.write_s / total >= MOST:
        return "disk", f"this disk is slower than what comes: {shares}"
    if spent.check_s / total >= MOST:
        return "hash", f"this processor is slower than what comes: {shares}"
    return "network", f"the network, or what the providers send, is slower than this machine: {shares}"


def _chunk_name(job: Job, chunk: int) -> str:
    assert job.arrival is not None
    table = job.arrival.plan.table
    file = table.file_of(chunk)
    return f"chunk {chunk - table.span(file)[0]} of {job.arrival.plan.path_of(file)}"


def _source(
    job: Job, provider: Provider, links: tuple[LinkNow, ...], back: Collection[SourceId], *, now: float
) -> SourceNow:
    own = [link for link in links if link.peer == provider.peer] if provider.links else []  # Most of a crowd have none.
    leased = sum(link.bytes_leased for link in own)
    windows = [job.links[number].link.window for number in provider.links if number in job.links]
    trips = [window.trip_s for window in windows if window.trip_s is not None]
    return SourceNow(
        peer_id=str(provider.peer),
        via=provider.via,
        nearness=str(nearness_of(job, provider)),
        addresses=tuple(str(address) for address in provider.addresses),
        links=len(provider.links),
        bytes_received=job.meter.received_from(provider.peer),
        bytes_per_s=round(sum(link.bytes_per_s for link in own), 1),
        bytes_leased=leased,
        window_bytes=sum(window.bytes_max for window in windows),
        trip_s=round(min(trips), 5) if trips else None,
        silent_s=round(min(link.silent_s for link in own), 1) if leased else None,
        state=_KEPT_BACK if provider.peer in back and not provider.out else _state(job, provider, own, links, now=now),
    )


def _state(job: Job, provider: Provider, own: list[LinkNow], links: tuple[LinkNow, ...], *, now: float) -> str:
    session = job.session
    if provider.banned or (session is not None and session.banned(provider.peer)):
        if provider.lied_about is not None:
            file, chunk = provider.lied_about
            return f"banned: chunk {chunk} of {file} was not what was signed ({provider.last_error})"
        return f"banned: {provider.last_error}"
    if provider.unusable:
        return f"no mirror, and not asked again: {provider.last_error}"
    if not provider.links:
        if not provider.dialling and (why := job.sparing.why_not(provider.peer, now=now)) is not None:
            return why
        how = "not reached" if provider.linked_at == -math.inf else "lost"
        how = "not answering" if isinstance(provider.last_error, PeerStalled) else how
        why = f"{how}: {provider.last_error}" if provider.last_error is not None else "not dialled"
        if provider.dialling:
            return "being dialled" if provider.last_error is None else f"{why}; being dialled again"
        if not provider.can_be_dialled:
            return f"{why}; no address is known"
        return f"{why}; dialled again {when(provider.retry_at - now)}" if provider.retry_at > now else why
    working = [link for link in own if link.bytes_leased]
    if not own and any(job.links[number].bare for number in provider.links):
        return "connected; has nothing that describes the manifest"
    if not own:
        return "connected; its first answer is due"
    if not working:
        if any(link.busy_s > 0 for link in own):
            return f"busy; asked again in {max(link.busy_s for link in own):.1f} s"
        if session is not None and not session.holds_missing(provider.peer):
            return provider.lacks or "holds nothing that is missing"
        if session is not None and session.waits_for_disk:
            return "idle: this disk is behind"
        return "idle: what is left is asked of others"
    silent_s = min(link.silent_s for link in working)
    if silent_s >= QUIET_S:
        return f"silent for {silent_s:.0f} s while something is due"
    return _slowness(working, links, pressed=job.means.down.is_pressed(job.wish.manifest)) or "sending"


def _slowness(own: list[LinkNow], links: tuple[LinkNow, ...], *, pressed: bool) -> str | None:
    """Say that a source which sends is slow, if it is, measured by itself or by the others, and our own cap does not
    bound all."""
    rate = sum(link.bytes_per_s for link in own)
    before = sum(link.slowed_from for link in own if link.slowed_from is not None)
    if before and not pressed:
        return f"slow: at most {_rate(rate)} now, where it gave {_rate(before)}"
    if any(link.is_late for link in own) and not pressed:
        return f"slow: its next answer is late, {min(link.silent_s for link in own):.1f} s after the last sign of life"
    by_peer: defaultdict[SourceId, float] = defaultdict(float)
    for link in links:
        by_peer[link.peer] += link.bytes_per_s
    fastest = max(by_peer.values())
    if rate and rate * SLOW_PARTS < fastest and not pressed:
        return f"slow: {_rate(rate)}, where the fastest source gives {_rate(fastest)}"
    return None


def _rate(rate: float) -> str:
    return f"{rate / 1e6:.1f} MB/s" if rate >= 1e6 else f"{rate / 1e3:.0f} kB/s"
