"""Whom a fetch dials next: in which order its providers have their turn, as long as there is a place for a link.

Those that are due (`Provider.is_due`), and that neither `sparing` nor `parole` keeps back, are dialled in this order:

1. whom the user named for this fetch, peers and mirrors, until a link to them was up;
2. the nearer ones (`nearness`). While something is missing that nobody has, only who is metered comes later: it may
   be with anybody, however far;
3. those that not only other peers told us of: with the rest perhaps nobody is there to answer, so the last of
   DIALS_AT_ONCE is never for them;
4. in a crowd, who may soon have most of what we see at nobody, unless a link to it was up a moment ago;
5. those that had no link yet, then whose last one came up longest ago;
6. in a crowd, by a draw that is another at each node, so that not all of them dial the same.

A provider is dialled at all of its addresses, which race (`dialling`); those that the user did not name cost a budget.
Whose links make place for whom stands in `giving_place`. Source: docs/decisions/0066, proto/transfer.md.
"""

from __future__ import annotations

import logging
import math
from functools import partial
from itertools import count

from p2phub import limits
from p2phub.discovery import Nearness
from p2phub.engine.dialling import Dialled, Target, run_link
from p2phub.engine.giving_place import HOPE_RESTS_S, kept, most_links
from p2phub.engine.job import Job, LinkState
from p2phub.engine.kin import kin_wanted
from p2phub.engine.mirrors import run_mirror
from p2phub.engine.nearness import in_order, nearness_of
from p2phub.engine.parole import kept_back
from p2phub.engine.providers import RETRY_S, Provider
from p2phub.errors import PeerError
from p2phub.identity import Address, MirrorId, PeerId
from p2phub.transfer import party_of

_log = logging.getLogger(__name__)
DIALS_AT_ONCE = 8  # So that a crowd gets to know itself soon.


class Turns:
    """The dials of one fetch: begun as tasks in the job's nursery, each of which tells the job a `Dialled`."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._numbers = count()

    def dial_more(self, now: float) -> None:
        """Dial who is due, one after the other, until there are DIALS_AT_ONCE or no place for a link is left."""
        providers = self._job.providers
        places = most_links(self._job) - providers.links
        dials_max = min(DIALS_AT_ONCE, places)
        hearsay_max = min(DIALS_AT_ONCE - 1, places - kept(self._job))
        if providers.dialling >= dials_max or not self._somebody_wanted():
            return
        back = kept_back(self._job, now)
        for provider in self._due(now):
            if provider.peer in back:
                continue
            while len(provider.links) + provider.dialling < self._links_wanted(provider):
                if providers.dialling >= dials_max:
                    return
                if provider.is_hearsay and providers.dialling >= hearsay_max:
                    break
                addresses = self._addresses(provider, now)
                if not addresses and not provider.is_mirror:
                    provider.retry_at = now + RETRY_S[-1]
                    break
                self._dial(provider, addresses)
                back = kept_back(self._job, now)  # One of a suspect address at a time.

    def dialled(self, item: Dialled, now: float) -> None:
        """Take in what came of a dial."""
        job = self._job
        provider = job.providers[item.peer]
        provider.dialling -= 1
        provider.forget(item.not_there)
        if isinstance(item.link, PeerError):
            # If it was to push the beginning, the next one shall.
            job.prefix_asked = job.prefix_asked and provider.is_mirror
            provider.failed(item.link, now)
            return
        if isinstance(item.peer, PeerId):
            job.means.budget.proved(item.link.address)
            job.standings.met(item.peer, party_of(item.peer, item.link.address), now=now)
            provider.answered(item.link.address, took_s=item.took_s)
        provider.links.add(item.number)
        provider.linked_at = now
        job.links[item.number] = LinkState(item.link, provider, item.kin)

    def _due(self, now: float) -> list[Provider]:
        """Return who could be dialled now, in order."""
        job = self._job
        # In a crowd a live one has all the links it gets, and is not worth a closer look.
        due = [
            provider
            for provider in job.providers
            if provider.is_due(now) and not (job.crowd and provider.live)
            if provider.peer not in job.sparing.held_back
            if not (provider.kin and provider.live)
        ]
        nearer_first = job.session is None or not job.session.unavailable
        return sorted(due, key=partial(self._turn, nearer_first=nearer_first, now=now))

    def _turn(
        self, provider: Provider, *, nearer_first: bool, now: float
    ) -> tuple[bool, Nearness, bool, int, float, bytes]:
        """Return what `provider` is ranked by among those that are due: the least is dialled first."""
        crowd, session = self._job.crowd, self._job.session
        hoped = 0
        if crowd and session is not None and now - provider.linked_at >= HOPE_RESTS_S:
            hoped = session.hoped_from(provider.peer)
        named_now = provider.by_user and provider.linked_at == -math.inf
        near = nearness_of(self._job, provider)
        if not nearer_first and near is not Nearness.METERED:
            near = Nearness.FAR
        draw = provider.draw if crowd else b""
        return not named_now, near, provider.is_hearsay, -hoped, provider.linked_at, draw

    def _somebody_wanted(self) -> bool:
        """Whether a link to anybody may be worth it: in a crowd, where who has one gets no second, nobody is worth more
        than a stranger, such as this node itself."""
        session = self._job.session
        return session is None or not self._job.crowd or session.links_wanted(self._job.means.own) > 0

    def _links_wanted(self, provider: Provider) -> int:
        if self._job.session is None:
            return 1
        trips = [state.link.window.trip_s for state in self._job.links.values() if state.provider is provider]
        return self._job.session.links_wanted(provider.peer, trip_s=min(filter(None, trips), default=0.0))

    def _addresses(self, provider: Provider, now: float) -> tuple[Address, ...]:
        """Return where to try `provider`, in order; but for what the user named, within the budget of dials."""
        budget = self._job.means.budget
        return tuple(
            address
            for address in in_order(self._job, provider)
            if address in provider.given or budget.allow(address, now=now)
        )

    def _dial(self, provider: Provider, addresses: tuple[Address, ...]) -> None:
        job = self._job
        provider.dialling += 1
        number = next(self._numbers)
        _log.info("dialling %s at %s", provider.peer, ", ".join(map(str, addresses)) or "its URL")
        if isinstance(provider.peer, MirrorId):
            run = partial(
                run_mirror, wants_manifest=job.session is None, open_mirrors=job.means.open_mirrors, tell=job.send
            )
            job.nursery.start_soon(run, provider.peer, number, job.wish.manifest)
            return
        prefix_bytes = 0
        if job.session is None and not job.prefix_asked and job.choosing is None:
            # One provider pushes the beginning; a second push of the same bytes would be waste, and so would be one
            # to who wants only a part, which may stand elsewhere.
            prefix_bytes = job.means.down.ahead_bytes(job.wish.manifest, limits.PREFIX_BYTES_MAX)
            job.prefix_asked = True
        provider.tried.update(provider.addresses)  # What the budget kept back, too, or it would be no end of new ones.
        kin = kin_wanted(job, provider)
        manifest = job.wish.manifest if kin is None else kin
        target = Target(provider.peer, addresses, provider.via, manifest, prefix_bytes, is_kin=kin is not None)
        job.nursery.start_soon(run_link, target, number, job.means.dialler, job.send)
