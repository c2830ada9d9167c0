"""The caps that hold now: the node's, by configuration, schedule and `p2phub limit`, and those of its jobs.

Decides what the two throttles of `net.throttle` are set to, and sets them. What `limit` set holds until the schedule's
next change. Two jobs that fetch one manifest share their caps, the lower of each; a background job yields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import msgspec
from msgspec.structs import replace

from p2phub.content import Digest
from p2phub.node.rates import Rates
from p2phub.node.schedule import Row, rates_at
from p2phub.transfer import left_for_background

LOOK_S = 1.0


class Direction(Protocol):
    """What is set of one direction: `net.throttle.Throttle`."""

    @property
    def rate(self) -> float | None: ...

    def set_rate(self, rate: float | None) -> None: ...

    def admit(self, job: Digest, rate: float | None = None, *, background: bool = False) -> None: ...

    def forget(self, job: Digest) -> None: ...


class Directions(Protocol):
    """Both of a node: `net.throttle.Caps`."""

    @property
    def up(self) -> Direction: ...

    @property
    def down(self) -> Direction: ...


class JobCaps(msgspec.Struct, frozen=True):
    """What one fetch asked for. `background`: it gets what the others leave."""

    manifest: Digest
    rates: Rates
    background: bool = False


class Capping:
    """Keeps `caps` as they should be. One owner: the node's loop."""

    def __init__(self, caps: Directions, configured: Rates, schedule: Sequence[Row] = ()) -> None:
        self._caps, self._configured, self._schedule = caps, configured, tuple(schedule)
        self._scheduled = configured
        self.node = configured
        self._jobs: dict[int, JobCaps] = {}
        self._left: float | None = None
        self._apply()

    @property
    def by_schedule(self) -> bool:
        """Whether what holds is what a row of the schedule says, not the configuration or a `limit`."""
        return self.node == self._scheduled != self._configured

    def look(self, wall: datetime, moving: Mapping[int, float]) -> None:
        """Do what the local time `wall` asks for. `moving`: how fast each job receives, bytes a second."""
        scheduled = rates_at(self._schedule, self._configured, wall)
        if scheduled != self._scheduled:
            self._scheduled = self.node = scheduled
        foreground = [moving.get(number, 0.0) for number, job in self._jobs.items() if not job.background]
        self._left = left_for_background(foreground)
        self._apply()

    def limit_node(self, **changes: int | None) -> None:
        """Set `up`, `down` or both, until the schedule's next change."""
        self.node = replace(self.node, **changes)
        self._apply()

    def job(self, number: int) -> JobCaps | None:
        return self._jobs.get(number)

    def admit(self, number: int, job: JobCaps) -> None:
        """A job begins."""
        self._jobs[number] = job
        if not job.background:
            self._left = left_for_background([0.0])
        self._apply()

    def limit_job(self, number: int, **changes: int | None) -> None:
        """Set `up`, `down` or both of a job that runs."""
        job = self._jobs[number]
        self._jobs[number] = replace(job, rates=replace(job.rates, **changes))
        self._apply()

    def forget(self, number: int) -> None:
        """A job is over."""
        manifest = self._jobs.pop(number).manifest
        if all(job.manifest != manifest for job in self._jobs.values()):
            self._caps.up.forget(manifest)
            self._caps.down.forget(manifest)
        self._apply()

    def _apply(self) -> None:
        up, down = self._caps.up, self._caps.down
        if up.rate != self.node.up:
            up.set_rate(self.node.up)
        if down.rate != self.node.down:
            down.set_rate(self.node.down)
        for manifest in {job.manifest for job in self._jobs.values()}:
            jobs = [job for job in self._jobs.values() if job.manifest == manifest]
            background = all(job.background for job in jobs)
            up.admit(manifest, _lowest(jobs, lambda rates: rates.up), background=background)
            rate = _lowest(jobs, lambda rates: rates.down)
            if background and self.node.down is None and self._left is not None:
                # Under a cap of the node's the pacer lets background yield; without one there is nothing to share.
                rate = self._left if rate is None else min(rate, self._left)
            down.admit(manifest, rate, background=background)


def _lowest(jobs: Sequence[JobCaps], of: Callable[[Rates], int | None]) -> float | None:
    return min((rate for job in jobs if (rate := of(job.rates)) is not None), default=None)
