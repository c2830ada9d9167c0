"""What a fetch hears from its providers beside the bytes: what they hold by now, and who else there is.

They tell when there is something new; how long each is left alone in between depends on how much we need it. Peers that
others name are candidates like any other, within bounds: so many of one teller, and so many dials to an address where
nobody proved a key.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import trio

from p2phub import limits
from p2phub.discovery import Candidate
from p2phub.engine.exchange import Told, worth_dialling
from p2phub.engine.giving_place import most_links
from p2phub.engine.heartbeat import HoldsNow, Terms, keep_company
from p2phub.engine.job import Job
from p2phub.engine.providers import Provider
from p2phub.errors import PeerRefused
from p2phub.identity import PeerAddress, PeerId
from p2phub.store import Arrival
from p2phub.transfer import Session

_log = logging.getLogger(__name__)
MEET_S = 0.2  # Who comes and goes changes the shares of all, so that is not looked at all the time.
FEW_TELLERS = 4  # With more links than that, each is asked for news so much more seldom.
LONG_BYTES = 8 * limits.MIB  # More than a moment's work until it proves otherwise: at once in company.


def accompany(job: Job, provider: Provider, where: PeerAddress) -> None:
    """Keep a control connection to `provider`, a peer that proved its key there, if there is none yet. While nobody
    gives us anything also to one that had no place for us: it knows who else there is."""
    provider.met_at = where.address
    if provider.accompanied:
        return
    provider.accompanied = True
    exchange = job.means.exchange
    terms = Terms(
        pause_s=lambda: _pause_s(job, provider),
        wait_s=lambda: limits.THANKS_S if job.crowd and _holds_all(job, provider) else limits.HEARTBEAT_S,
        got=lambda: _got(job, provider),
        port=0 if exchange is None or job.means.shelf is None else exchange.port_towards(where.address),
        wanted=lambda: _is_company(job, provider) and not provider.banned,
        long=lambda: _long(job, provider),
    )

    async def keep() -> None:
        dialler, manifest = job.means.dialler, job.wish.manifest
        lost = True
        while lost:
            lost = await keep_company(where, manifest, dialler=dialler, tell=job.send, terms=terms)
            if lost:
                await trio.sleep(limits.HEARTBEAT_S)  # It ended it, or had no place for it: perhaps it has one later.
        provider.accompanied = False

    job.nursery.start_soon(keep)


def take_holding(job: Job, item: HoldsNow, now: float) -> None:
    """A provider holds more, or less, than when its links opened."""
    for number in sorted(job.providers[item.peer].links):
        state = job.links[number]
        if state.held is not None and state.held != item.held:
            state.held = item.held  # Not told again: without a session it is what the link joins with.
            if job.session is not None:
                job.act(job.session.held(number, item.held, now=now))


def take_told(job: Job, item: Told) -> None:
    """A provider named other peers of the swarm."""
    if job.means.exchange is None:
        return
    teller = job.providers[item.teller]
    if teller.met_at is None or not _is_company(job, teller):
        return  # It is gone, and so is what its word was worth.
    named = worth_dialling(item.peers, heard_from=teller.met_at)
    for each in named[: limits.CANDIDATES_PER_TELLER_MAX - teller.named]:
        if job.providers.found(Candidate(each, "exchange")):
            teller.named += 1
            _log.info("%s names %s, who fetches this, too", teller.peer, each)


def _is_company(job: Job, provider: Provider) -> bool:
    return provider.live or (provider.turned_us_away and job.session is None)


def meet(job: Job, now: float) -> None:
    """Tell the session who else fetches this now, so that all ask for different chunks: who was named, was not found
    gone, and does not hold all."""
    session = job.session
    if session is None or job.means.exchange is None:
        return
    if now < job.met_at + MEET_S * (1 + len(job.crowd) / 8) and (
        not job.crowd or any(_fetches_too(session, job.providers[peer]) for peer in job.crowd)
    ):
        return  # Shares are worked out for each of them. But where only names are left, nobody is to be waited for.
    others = frozenset(
        provider.peer
        for provider in job.providers
        if isinstance(provider.peer, PeerId) and provider.told_by_others and _fetches_too(session, provider)
    )
    if others != job.crowd:
        job.crowd, job.met_at = others, now
        job.act(session.spread(job.means.own, others))


def _fetches_too(session: Session, provider: Provider) -> bool:
    """Whether `provider`, whom others named, was not found gone, does not hold all, and did not lie."""
    return (
        not provider.banned
        and (bool(provider.links) or not provider.failures or isinstance(provider.last_error, PeerRefused))
        and not session.holds_all(provider.peer)
    )


@contextmanager
def among_others(job: Job, arrival: Arrival) -> Iterator[None]:
    """Serve what arrives to the others of the swarm, and hear of those who come for it."""
    shelf, exchange = job.means.shelf, job.means.exchange
    if shelf is None:
        yield
        return

    def hear(member: PeerAddress) -> None:
        if member.peer != job.means.own and worth_dialling([member], heard_from=member.address):
            with suppress(trio.WouldBlock):  # So much goes on that one more source would change nothing.
                job.send.send_nowait(Candidate(member, "exchange"))

    with shelf.serving(arrival):
        if exchange is None:
            yield
            return
        with exchange.listening(job.wish.manifest, hear, now=trio.current_time()):
            yield


async def _long(job: Job, provider: Provider) -> None:
    """Return once company is worth a connection: there is much to fetch, or the provider is fetching, too."""
    await job.begun.wait()
    session = job.session
    if session is None or (session.bytes_missing < LONG_BYTES and session.holds_all(provider.peer)):
        await trio.sleep_forever()


def _pause_s(job: Job, provider: Provider) -> float:
    """Return how long to leave `provider` alone. Many tell us as much as a few when each is asked more seldom."""
    session = job.session
    if session is None:
        return limits.NEWS_S
    many = max(1.0, len(job.links) / FEW_TELLERS)
    if session.holds_all(provider.peer):  # All it has to tell is who comes.
        room = sum(each.live for each in job.providers) < most_links(job)
        return limits.NEWS_SOON_S if room else 4 * limits.NEWS_S
    return many * (limits.NEWS_S if session.holds_missing(provider.peer) else limits.NEWS_SOON_S)


def _holds_all(job: Job, provider: Provider) -> bool:
    return job.session is not None and job.session.holds_all(provider.peer)


def _got(job: Job, provider: Provider) -> tuple[tuple[PeerId, int], ...]:
    """Return what `provider` is told of the others' merits, now and then, and note them here."""
    now = trio.current_time()
    if job.means.thanks is None or now < provider.thanked_at + limits.THANKS_S:
        return ()
    provider.thanked_at = now
    got = {each.peer: job.meter.received_from(each.peer) for each in job.providers if isinstance(each.peer, PeerId)}
    job.means.thanks.gave_us(job.wish.manifest, got)
    told = [(peer, count) for peer, count in got.items() if count and peer != provider.peer]
    return tuple(sorted(told, key=lambda each: -each[1])[: limits.GOT_TOLD_MAX])
