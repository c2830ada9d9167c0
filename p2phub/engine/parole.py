"""Whom a fetch does not dial now because somebody lied at the same address: see `transfer.standing`.

An address is known before anybody proves a key there, so whoever is said to be where liars were can be left for later
before it costs a connection and a batch.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain

from p2phub.engine.job import Job
from p2phub.engine.providers import Provider
from p2phub.identity import MirrorId, SourceId
from p2phub.transfer import Party, party_of

TRIED_S = 5.0  # So long one of a suspect address has to show what it is before the next is dialled.


def kept_back(job: Job, now: float) -> Collection[SourceId]:
    """Return the providers that are not dialled now. Where nobody lied that is nobody, and costs nothing."""
    standings = job.standings
    if not standings.liars_known:
        return ()
    given = job.meter.received_from
    trying = [each for each in job.providers if _is_tried(job, each, now) and not standings.is_proven(given(each.peer))]
    tried = frozenset(chain.from_iterable(map(_parties, trying)))
    others = any(_is_of_use(job, each) for each in job.providers)
    return [
        each.peer
        for each in job.providers
        if not each.live
        and standings.kept_back(_parties(each), given=given(each.peer), tried=tried, others=others, now=now)
    ]


def _parties(provider: Provider) -> list[Party]:
    if isinstance(provider.peer, MirrorId):
        return []
    return [party_of(provider.peer, address) for address in provider.addresses]


def _is_tried(job: Job, provider: Provider, now: float) -> bool:
    """Whether it may soon be seen what `provider` gives. Who gives nothing, or drips, keeps nobody back for long."""
    opens = any(job.links[number].held is None for number in provider.links)
    is_new = now - provider.linked_at < TRIED_S and (opens or _is_of_use(job, provider))
    return provider.dialling > 0 or is_new


def _is_of_use(job: Job, provider: Provider) -> bool:
    """Whether `provider` is on the way to give something, so that others can wait."""
    session = job.session
    return provider.dialling > 0 or (bool(provider.links) and (session is None or session.holds_missing(provider.peer)))
