"""Whose link gives its place to a provider that has none.

A fetch keeps a few links. Who holds nothing of what is missing, or refuses it all, would keep out whoever does have it,
and names of such are free: so it is let go of once somebody else waits.
"""

from __future__ import annotations

from p2phub import limits
from p2phub.engine.job import Job, LinkState
from p2phub.engine.providers import RETRY_S
from p2phub.errors import PeerRefused

USELESS_S = 2.0  # How long a link may be of no use while others wait: one that fetches, too, soon has something.


def most_links(job: Job) -> int:
    """How many links there may be: in a crowd more than elsewhere, and never more than the cap leaves room for."""
    wanted = limits.BULK_THREADS_MAX if job.session is None else job.session.links_max
    return min(wanted, job.means.down.links_max(job.wish.manifest))


def waits_for_place(job: Job, now: float) -> bool:
    """Whether all places are taken, and some provider without a link could be dialled now."""
    return job.providers.links + job.providers.dialling >= most_links(job) and any(
        not provider.live and not provider.out and provider.can_be_dialled and now >= provider.retry_at
        for provider in job.providers
    )


def make_place(job: Job, now: float) -> None:
    """Let go of the link that has been of no use for longest, if somebody waits for its place.

    One at a time; it is not dialled again soon.
    """
    if job.session is None or any(state.leaving for state in job.links.values()) or not waits_for_place(job, now):
        return
    useless = [state for state in job.links.values() if _is_useless(job, state, now)]
    if not useless:
        return
    state = min(useless, key=lambda each: each.useless_since)
    if now - state.useless_since < USELESS_S:
        return
    state.leaving = True
    job.drop(state, PeerRefused("it has nothing of what is missing, and others wait", reason="not-held"))
    # In a crowd it may soon have something, and has its turn after those that had none.
    state.provider.retry_at = now + (RETRY_S[1] if job.crowd else RETRY_S[-1])


def _is_useless(job: Job, state: LinkState, now: float) -> bool:
    assert job.session is not None
    if state.held is None or job.session.holds_missing(state.link.peer):
        state.useless_since = float("inf")
        return False
    state.useless_since = min(state.useless_since, now)
    return True
