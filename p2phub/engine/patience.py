"""When a fetch looks for providers again, and when it gives up."""

from __future__ import annotations

import logging

from p2phub.engine.job import Job, SearchEnded
from p2phub.engine.places import waiting

_log = logging.getLogger(__name__)
SEARCH_AGAIN_S = 1.0


class Patience:
    """The rounds of the search of one fetch."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._rounds = 0
        self.searching = False
        self.search_again_at: float | None = None

    def start_search(self) -> None:
        """Begin the next round."""
        job = self._job
        self.searching = True
        self.search_again_at = None
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
        # Dials to whom other peers named may take long and find nobody: they do not keep us from asking further.
        if self._can_progress(now, by_hearsay=not job.search.more()):
            self.search_again_at = None
            return
        if self.search_again_at is not None:
            if now >= self.search_again_at:
                self.start_search()
            return
        job.lost_at = now if job.lost_at is None else job.lost_at
        hopeful = job.meter.bytes_received > 0 or job.providers.busy() or job.providers.may_come_back()
        patience_s = job.wish.patience_s if hopeful and not self._nobody_comes_back() else 0.0
        if job.search.more():
            self.search_again_at = now
        elif now - job.lost_at < patience_s:
            self.search_again_at = min(now + SEARCH_AGAIN_S * 2 ** min(self._rounds, 4), job.lost_at + patience_s)
            left_s = job.lost_at + patience_s - now
            _log.info(
                "nobody has what is missing; searching again in %.0f s, for %.0f s more",
                self.search_again_at - now,
                left_s,
            )
        else:
            raise job.providers.verdict(job.wish.reference, job.search.asked())

    def _nobody_comes_back(self) -> bool:
        session = self._job.session
        return self._job.providers.nobody_comes_back(lambda peer: session is None or session.holds_missing(peer))

    def _can_progress(self, now: float, *, by_hearsay: bool) -> bool:
        job = self._job
        if waiting(job, now) or job.sparing.held_back:
            return True  # It gets one from a link of no use, or there is one that is of use.
        dialling = any(each.dialling and (by_hearsay or not each.is_hearsay) for each in job.providers)
        if dialling or any(state.held is None for state in job.links.values()):
            return True
        if job.session is None:
            return any(not state.bare for state in job.links.values())
        if not job.session.bytes_missing:
            return True  # All is had; some link has yet to say that it writes no more.
        return any(job.session.holds_missing(state.provider.peer) for state in job.links.values())
