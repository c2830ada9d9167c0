"""Whose link gives its place to a provider that has none.

A fetch keeps a few links. Who holds nothing of what is missing, or refuses it all, or gives hardly anything, would keep
out whoever does better, and names of such are free: so it is let go of once somebody else waits. And since all whom a
fetch has may be equally bad, the slowest goes now and then while there are some that were never tried; and of one that
has several, as who is far away has, while anybody waits: one alone could take all places, and then give hardly
anything. So it is before the session begins, too, when nobody yet has answered in time.
"""

from __future__ import annotations

import math

from p2phub import limits
from p2phub.engine.job import Job, LinkState
from p2phub.engine.parole import kept_back
from p2phub.engine.providers import RETRY_S, Provider
from p2phub.errors import PeerRefused
from p2phub.transfer import LinkId

USELESS_S = 2.0  # How long a link may be of no use while others wait: one that fetches, too, soon has something.
HOPED_S = 0.5  # The same, while one waits that may soon have what we see at nobody,
HOPE_RESTS_S = 10.0  # unless it had a link so lately.
TRY_NEW_S = 5.0  # So often the slowest link gives its place to one that was never tried, however alike all are;
TRY_NEW_IN_CROWD_S = 10.0  # in a crowd more seldom, where most are slow, and soon will not be.


def most_links(job: Job) -> int:
    """How many links there may be: in a crowd more than elsewhere, and never more than the cap leaves room for."""
    wanted = limits.BULK_THREADS_MAX if job.session is None else job.session.links_max
    return min(wanted, job.means.down.links_max(job.wish.manifest))


def kept(job: Job) -> int:
    """Return how many of the places are not for members of the crowd: one for a provider that we found ourselves and
    that had no place for us, until there is a link to one that has all. Our share has to come from there."""
    session = job.session
    if session is None or not job.crowd or any(session.holds_all(state.link.peer) for state in job.links.values()):
        return 0
    return int(most_links(job) > 1 and any(each.turned_us_away and not each.is_hearsay for each in job.providers))


def knock_s(job: Job) -> float:
    """Return how long at most to leave one alone that had no place for us: while our share is to come from there we
    knock so often that all of a crowd together do it once a second for each place that there is."""
    session = job.session
    if session is None or not session.hoped_from(job.means.own):
        return math.inf
    return RETRY_S[0] * max(1.0, len(job.crowd) / limits.DATA_CONNECTIONS_MAX)


def waiting(job: Job, now: float) -> list[Provider]:
    """Return who could be dialled now and has no link, if all places are taken."""
    if job.providers.links + job.providers.dialling < most_links(job) - kept(job):
        return []
    back = kept_back(job, now)
    return [
        provider
        for provider in job.providers
        if not provider.live and provider.is_due(now)
        if provider.peer not in back and provider.peer not in job.sparing.held_back
    ]


def make_place(job: Job, now: float) -> None:
    """Let go of the links that have been of no use for longest, as many as wait for their places.

    In a crowd one at a time: there all are slow, being asked by many, and soon have something, so that the slowest goes
    more seldom. But it goes: whoever names one more that fetches makes a crowd. None is dialled again soon.
    """
    session = job.session
    others = waiting(job, now)
    if session is None or not others:
        for state in job.links.values():
            state.useless_since = math.inf
        if session is None and others:
            _make_place_to_ask(job, others, now)
        return
    leaving = sum(state.leaving for state in job.links.values())
    room = (1 if job.crowd else len(others)) - leaving
    untried = 0 if job.crowd else sum(_is_untried(each) for each in others) - leaving
    hoped = any(session.hoped_from(each.peer) for each in others if now - each.linked_at >= HOPE_RESTS_S)
    useless = [
        state
        for number, state in job.links.items()
        if not state.leaving and _is_useless(job, number, state, untried=untried > 0, now=now)
    ]
    for state in sorted(useless, key=lambda each: each.useless_since):
        hardly_moves = session.holds_missing(state.link.peer) and not state.busy
        patience_s = HOPED_S if hoped and not session.hoped_from(state.link.peer) else USELESS_S
        if room <= 0 or (hardly_moves and untried <= 0) or now - state.useless_since < patience_s:
            continue
        room, untried = room - 1, untried - 1
        why = "hardly moves" if hardly_moves else "is busy" if state.busy else "has nothing of what is missing"
        _let_go(job, state, why, now)
    every_s = TRY_NEW_IN_CROWD_S if job.crowd else TRY_NEW_S
    if room > 0 and not useless and leaving <= 0 and now - job.tried_at >= every_s:
        number = session.slowest(now=now, of_several=not any(map(_is_untried, others)))
        if number is not None and not (slowest := job.links[number]).leaving:
            job.tried_at = now
            _let_go(job, slowest, "is the slowest", now)


def _make_place_to_ask(job: Job, others: list[Provider], now: float) -> None:
    """Let go of one that has not opened, or was late with what describes the manifest, if all are like that."""
    if (
        now - job.tried_at < TRY_NEW_S
        or not any(map(_is_untried, others))
        or job.means.down.is_pressed(job.wish.manifest)
    ):
        return
    links = [state for state in job.links.values() if not state.leaving]
    if links and all(
        state.asked.was_late or (state.held is None and now - state.provider.linked_at >= TRY_NEW_S) for state in links
    ):
        job.tried_at = now
        _let_go(
            job, min(links, key=lambda state: (state.held is not None, state.asked.has_given)), "keeps us waiting", now
        )


def _let_go(job: Job, state: LinkState, why: str, now: float) -> None:
    state.leaving = True
    job.drop(state, PeerRefused(f"it {why}, and others wait", reason="not-held"))
    # In a crowd it may soon have something, and has its turn after those that had none.
    state.provider.retry_at = now + (RETRY_S[1] if job.crowd else RETRY_S[-1])


def _is_untried(provider: Provider) -> bool:
    return provider.linked_at == -math.inf and not provider.failures


def _is_useless(job: Job, number: LinkId, state: LinkState, *, untried: bool, now: float) -> bool:
    """Note whether a link is of no use: it has nothing for us, or is busy whatever it is asked for, or hardly moves
    while some were never tried."""
    session = job.session
    assert session is not None
    state.busy = session.says_busy(number)
    if state.held is not None and (
        not session.holds_missing(state.link.peer) or state.busy or (untried and session.hardly_moves(number, now=now))
    ):
        state.useless_since = min(state.useless_since, now)
        return True
    state.useless_since = float("inf")
    return False
