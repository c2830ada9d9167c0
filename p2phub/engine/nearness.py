"""What nearness does to a fetch: who is dialled first, who is left alone while nearer ones do, when the LAN is asked.

The rules stand in `sparing`, what is near in `discovery.Surroundings`. Called beside `places.make_place`.
"""

from __future__ import annotations

from collections.abc import Collection

from p2phub.discovery import Nearness
from p2phub.engine.job import Job
from p2phub.engine.parole import kept_back
from p2phub.engine.providers import Provider
from p2phub.engine.sparing import FEW_PARTS, Facts, Seen
from p2phub.errors import PeerRefused
from p2phub.identity import Address, MirrorId, SourceId
from p2phub.transfer import LinkNow

LONG_AFTER_S = 2.0  # A fetch that has run for so long,
LONG_S = 5.0  # and would take so much longer, is worth a look around.


def nearness_of(job: Job, provider: Provider) -> Nearness:
    """Return how near `provider` is: by the address where it is connected, else the nearest that is known."""
    near = job.means.near
    if isinstance(provider.peer, MirrorId):
        return near.of_mirror(provider.peer)
    addresses = provider.addresses
    if provider.links:
        addresses = [job.links[number].link.address for number in provider.links if number in job.links] or addresses
    if len(addresses) == 1:  # As of most of a crowd, all of whom are looked at for each that comes.
        return near.of(addresses[0])
    return min(map(near.of, addresses), default=Nearness.FAR)


def in_order(job: Job, provider: Provider) -> list[Address]:
    """Return the addresses of `provider` in the order in which to try them: those that another peer named last, the
    nearer ones first, and of those the one that answered soonest. None that is metered while that waits."""
    near = job.means.near
    usable = [
        address
        for address in provider.addresses
        if not (job.sparing.metered_waits and near.of(address) is Nearness.METERED)
    ]
    usable.sort(key=lambda each: (each in provider.hearsay, near.of(each), provider.answered_s.get(each, float("inf"))))
    return usable


def spare(job: Job, *, searching: bool, now: float) -> None:
    """Let go of those that nearer ones make needless, and note who is not to be dialled."""
    providers = [each for each in job.providers if not each.out]
    classes = {nearness_of(job, each) for each in providers}
    dear = {each.peer for each in providers if _is_dear(job, each)} if job.means.near.has_metered else set()
    if len(classes) < 2 and Nearness.METERED not in classes and not dear and not job.sparing.resting:
        job.sparing.all_alike()
        return
    session = job.session
    links = session.links_now(now=now) if session is not None else ()
    facts = Facts(
        session.hold_missing if session is not None else None,
        session.bytes_missing if session is not None else 0,
        job.meter.silent_s(now=now),
        searching,
    )
    back = kept_back(job, now)
    seen = [_seen(job, each, links, back, now) for each in providers]
    for going in job.sparing.look(seen, facts, now=now):
        _let_go(job, job.providers[going.source], going, now)
    _dial_where_metered(job, [each for each in providers if each.peer in dear], now)


def _dial_where_metered(job: Job, dear: Collection[Provider], now: float) -> None:
    """Have those dialled again that were dialled without their metered addresses, once these wait no longer."""
    withheld = job.sparing.withheld
    if job.sparing.metered_waits:
        withheld.update(each.peer for each in dear if nearness_of(job, each) is not Nearness.METERED)
        return
    for provider in dear:
        if provider.peer in withheld and not provider.dialling:
            withheld.remove(provider.peer)
            provider.retry_at = provider.retry_at if provider.live else now


def _is_dear(job: Job, provider: Provider) -> bool:
    """Whether a metered address of `provider` is known, beside those that are nearer."""
    near = job.means.near
    return near.has_metered and any(near.of(address) is Nearness.METERED for address in provider.addresses)


def _seen(job: Job, provider: Provider, links: tuple[LinkNow, ...], back: Collection[SourceId], now: float) -> Seen:
    """Return what `provider` does now; `back`: whom `parole` keeps from being dialled."""
    states = [(number, job.links[number]) for number in sorted(provider.links)]
    own = [link for link in links if link.peer == provider.peer]
    session = job.session
    linked = any(
        state.held is not None and not state.leaving and (session is not None or not state.bare) for _, state in states
    )
    coming = provider.dialling > 0 or any(state.held is None for _, state in states)
    if not states and not coming and provider.is_due(now) and provider.peer not in back:
        coming = session is None or session.links_wanted(provider.peer) > 0
    # What an idle one did that has nothing more for us says nothing of the rest.
    of_use = session is not None and session.holds_missing(provider.peer)
    best = sum(link.bytes_per_s for link in own)
    owes = not best and any(link.bytes_leased for link in own)
    return Seen(
        provider.peer,
        nearness_of(job, provider),
        linked,
        coming,
        rate=sum(link.bytes_per_s for link in own if not link.is_late and (of_use or link.bytes_leased)),
        best=best,
        owes_since=min(now - link.unmoved_s for link in own) if owes else None,
        brought=job.meter.brought_by(provider.peer),
        dear=_is_dear(job, provider),
    )


def _let_go(job: Job, provider: Provider, going: Seen, now: float) -> None:
    why = (
        "it is metered, and others bring the fetch forward"
        if going.nearness is Nearness.METERED
        else f"nearer sources bring at least {FEW_PARTS:.0f} times as much, so its line is left free"
    )
    for number in sorted(provider.links):
        state = job.links[number]
        if not state.leaving:
            state.leaving = True
            job.drop(state, PeerRefused(f"let go of: {why}", reason="not-held"))
    provider.failures = 0  # No fault of its own; how long it rests says `sparing`.
    provider.retry_at = now


def is_long(job: Job, now: float) -> bool:
    """Whether the fetch, begun a while ago, would take a while more."""
    session = job.session
    if session is None or now - job.meter.began < LONG_AFTER_S:
        return False
    rate = sum(link.bytes_per_s for link in session.links_now(now=now))
    return session.bytes_missing > rate * LONG_S


def ask_lan_if_long(job: Job, now: float) -> None:
    """Have the local network asked, too, once, if the fetch proves long: most are over before that is worth it."""
    if job.session is None or not job.search.may_look_near or not is_long(job, now):
        return

    async def look() -> None:
        async with job.send.clone() as found:
            await job.search.look_near(job.wish.manifest, found)

    job.search.may_look_near = False
    job.nursery.start_soon(look)
