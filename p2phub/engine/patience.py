"""When a fetch looks for providers again, and when it gives up.

It waits for as long as the user said (`Wish.wait_s`), whether somebody may come back or not; else for `patience_s`, if
so. In a long wait, whose pace `waiting` has, nothing runs but a search now and then, with which those who are known are
dialled again; who was there a moment ago is tried sooner. What ends a wait is verified bytes.
"""

from __future__ import annotations

import logging
import math

from p2phub.engine.giving_place import waiting
from p2phub.engine.job import Job, SearchEnded
from p2phub.engine.kin import may_search, search_for_kin
from p2phub.engine.meter import LOOK_S
from p2phub.engine.providers import RETRY_S
from p2phub.engine.waiting import QUICK_S, ended, nobody_has_it, pause_s, says_next, says_waiting, soon_s
from p2phub.observe import WaitNow

_log = logging.getLogger(__name__)
REST_LOOK_S = 30.0  # How often the clock is looked at while nothing is due.


class Patience:
    """The rounds of the search of one fetch."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._rounds = 0
        self.searching = False
        self.search_again_at: float | None = None
        self._planned_at: float | None = None  # In a long wait: when to search again, whoever comes and goes meanwhile.
        self._told_of: float | None = None  # Since when nobody brought the fetch forward, as was told.

    @property
    def at_rest(self) -> bool:
        """Whether nothing is to be done for long, since nobody is there: until then no dial, nor anything to tell."""
        return self._planned_at is not None and self.search_again_at is not None

    def waits_long(self, now: float) -> bool:
        """Whether nobody brought the fetch forward for a while, and the user has it wait all the same."""
        job = self._job
        return job.wish.wait_s is not None and job.lost_at is not None and now - job.lost_at >= QUICK_S

    def wait_now(self, now: float) -> WaitNow | None:
        """Say for whom and how long the fetch waits; None while somebody who is connected may bring it forward."""
        job = self._job
        if job.complete or job.lost_at is None or self._links_help():
            return None
        searching = self.searching or job.seeking_kin
        again_at = now if searching else self.search_again_at or self._planned_at or now  # Else at a dial.
        again_s, left_s = max(0.0, again_at - now), max(0.0, job.lost_at + self._patience_s() - now)
        return WaitNow(
            reason=nobody_has_it(job.providers.away()),
            next=says_next(again_s, left_s),
            waited_s=round(now - job.lost_at, 1),
            again_s=round(again_s, 1),
            left_s=round(left_s, 1) if left_s < math.inf else None,
        )

    def look_at(self, now: float) -> float:
        """Return when to look at the clock again: soon, or when somebody is due to be dialled."""
        if not self.at_rest:
            return now + LOOK_S
        due = [each.retry_at for each in self._job.providers if not (each.live or each.out) and each.retry_at > now]
        return min([now + REST_LOOK_S, *due])

    def start_search(self) -> None:
        """Begin the next round."""
        job = self._job
        self.searching = True
        self.search_again_at = self._planned_at = None
        round_number, self._rounds = self._rounds, self._rounds + 1

        async def look() -> None:
            async with job.send.clone() as found:
                await job.search.look(job.wish.manifest, round_number, found)
            await job.send.send(SearchEnded())

        job.nursery.start_soon(look)

    def give_up_or_wait(self, now: float) -> None:
        """Search again, or raise the verdict, when nothing that runs can bring the fetch forward."""
        job = self._job
        if job.complete or self.searching:
            return
        if job.lost_at is None and self._planned_at is not None:
            self._wake(now)
        # Dials to whom other peers named may take long and find nobody: they do not keep us from asking further.
        if self._can_progress(now, by_hearsay=not job.search.more()):
            self.search_again_at = None
            return
        if self.search_again_at is not None:
            if now >= self.search_again_at:
                self.start_search()
            return
        job.lost_at = now if job.lost_at is None else job.lost_at
        if job.search.more():
            self.search_again_at = now
        elif may_search(job):
            search_for_kin(job)  # Nobody is left who has it whole.
        elif job.seeking_kin:
            return
        elif now < (until := job.lost_at + self._patience_s()) or self._planned_at is not None:
            self._wait(now, until)
        else:
            error = job.providers.verdict(job.wish.reference, job.search.asked())
            if job.wish.mend is not None:  # `verify --repair` has no --wait to be told of.
                raise error
            raise ended(error, wait_s=job.wish.wait_s, waited_s=now - job.lost_at)

    def _patience_s(self) -> float:
        """Return how long to wait for somebody: as the user said; else a while, if those who were there may be back."""
        job = self._job
        if job.wish.wait_s is not None:
            return job.wish.wait_s
        hopeful = job.meter.bytes_received > 0 or job.providers.busy() or job.providers.may_come_back()
        return job.wish.patience_s if hopeful and not self._nobody_comes_back() else 0.0

    def _wait(self, now: float, until: float) -> None:
        """Plan the next search, and say so where the user asked for a wait."""
        job = self._job
        assert job.lost_at is not None
        news = job.wish.wait_s is not None and self._told_of != job.lost_at
        if not self.waits_long(now):
            self.search_again_at = min(now + soon_s(self._rounds), until)
        else:  # If it is planned already, somebody was dialled or there meanwhile, and gave nothing.
            news = self._planned_at is None
            pause = pause_s(self._rounds, waited_s=now - job.lost_at)
            self._planned_at = self._planned_at or min(now + pause, until)
            self.search_again_at = self._planned_at
            self._rest(now, self._planned_at)
        again_s, left_s = max(0.0, self.search_again_at - now), until - now
        _log.info("nobody has what is missing; searching again in %.0f s, for %.0f s more", again_s, left_s)
        if news:
            self._told_of = job.lost_at
            job.watch(says_waiting(nobody_has_it(job.providers.away()), again_s=again_s, left_s=left_s))

    def _rest(self, now: float, until: float) -> None:
        """Have those who failed time and again dialled when it is searched again, and no sooner."""
        for each in self._job.providers:
            if not each.live and each.failures >= len(RETRY_S) and now < each.retry_at:
                each.retry_at = max(each.retry_at, until)

    def _wake(self, now: float) -> None:
        """Somebody is back: perhaps others are."""
        self._planned_at = None
        for each in self._job.providers:
            each.retry_at = min(each.retry_at, now + RETRY_S[-1])

    def _nobody_comes_back(self) -> bool:
        session = self._job.session
        return self._job.providers.nobody_comes_back(lambda peer: session is None or session.holds_missing(peer))

    def _can_progress(self, now: float, *, by_hearsay: bool) -> bool:
        job = self._job
        if waiting(job, now) or job.sparing.held_back:
            return True  # It gets one from a link of no use, or there is one that is of use.
        dialling = any(each.dialling and (by_hearsay or not each.is_hearsay) for each in job.providers)
        return dialling or self._links_help()

    def _links_help(self) -> bool:
        """Whether somebody who is connected may have something to give, or has yet to say."""
        job = self._job
        if any(state.held is None for state in job.links.values()):
            return True
        if job.session is None:
            return any(not state.bare for state in job.links.values())
        if not job.session.bytes_missing:
            return True  # All is had; some link has yet to say that it writes no more.
        return any(job.session.holds_missing(state.provider.peer) for state in job.links.values())
