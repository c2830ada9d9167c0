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


def kept_back(job: Job, now: float) -> Collection[SourceId]:
    """Return the providers that are not dialled now. Where nobody lied that is nobody, and costs nothing."""
    standings = job.standings
    if not standings.liars_known:
        return ()
    given = job.meter.received_from
    unproven = [each for each in job.providers if each.live and not standings.is_proven(given(each.peer))]
    tried = frozenset(chain.from_iterable(map(_parties, unproven)))
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


def _is_of_use(job: Job, provider: Provider) -> bool:
    """Whether `provider` is on the way to give something, so that others can wait."""
    session = job.session
    return provider.dialling > 0 or (bool(provider.links) and (session is None or session.holds_missing(provider.peer)))
