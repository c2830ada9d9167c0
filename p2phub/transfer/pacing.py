"""How bytes are let through under a cap on their rate: who may move how much, and when. Pure: `now` is an argument.

A `Bucket` fills at the cap's rate and holds a burst of `BURST_S`, so over any time t no more than rate * t + one burst
passes. A `Pacer` is one direction of a node: its bucket, a bucket for each job with a cap of its own, and the asks that
wait. An ask passes when the node's bucket and its job's both have room. Of those that could, the one that began
furthest behind goes first (start-time fair queueing, Goyal 1996): flows share by their weights, whatever the number of
connections they ask with; a flow of weight w counts each byte 1 / w times. What a flow does not ask for is the others'.
Flows of one `Share` count together, so that who asks for two things at once gets no more by that.
Rates are bytes a second, lengths bytes, times seconds of any one clock that does not go back.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable

from p2phub import limits

BURST_S = 0.1  # 1 % of the 10 s over which a cap is judged; and what a thread that wakes late can catch up with.
BURST_BYTES_MIN = 8 * limits.KIB
PIECE_BYTES_MAX = limits.MIB
PIECE_BYTES_LOW = 32 * limits.KIB  # A piece is made smaller for whoever has little weight, since its turns come seldom,
PIECE_PART_LOW = 1 / 4  # but, below this size, to no less than this part.
BACKGROUND_WEIGHT = 1 / 16  # Of a foreground flow: it yields nearly all, and its connections stay alive.


class Bucket:
    """What may pass at `rate`; None lets everything through."""

    __slots__ = ("_at", "_tokens", "rate")

    def __init__(self, rate: float | None, *, now: float) -> None:
        self.rate = rate
        self._tokens = 0.0  # Nothing is saved before the first moment: a cap that is lifted and set gives no burst.
        self._at = now

    @property
    def burst_bytes(self) -> float:
        """The most that is saved while nothing passes."""
        return math.inf if self.rate is None else max(self.rate * BURST_S, BURST_BYTES_MIN)

    def set_rate(self, rate: float | None, *, now: float) -> None:
        """Go on at `rate`. What was saved stays, as far as it is a burst of the new rate."""
        self._settle(now)
        if self.rate is None:
            self._tokens = 0.0
        self.rate = rate
        self._tokens = min(self._tokens, self.burst_bytes)

    def wait_s(self, count: int, *, now: float) -> float:
        """Return in how long `count` bytes may pass; 0 if at once. More than a burst passes on a full bucket's debt."""
        if self.rate is None:
            return 0.0
        self._settle(now)
        lacking = min(float(count), self.burst_bytes) - self._tokens
        return lacking / self.rate if lacking > 1e-6 else 0.0  # Below a millionth of a byte it is rounding.

    def spend(self, count: int, *, now: float) -> None:
        """Note that `count` bytes pass."""
        if self.rate is not None:
            self._settle(now)
            self._tokens -= count

    def _settle(self, now: float) -> None:
        if self.rate is not None:
            self._tokens = min(self.burst_bytes, self._tokens + max(0.0, now - self._at) * self.rate)
        self._at = max(self._at, now)


class Share:
    """Whose bytes count together. `finish`: where what it was granted or waits for ends, in virtual time."""

    __slots__ = ("__weakref__", "finish")

    def __init__(self) -> None:
        self.finish = 0.0


class Flow:
    """Who shares: all asks of one flow together get one share. `job` names the cap that holds beside the node's."""

    __slots__ = ("__weakref__", "background", "job", "party", "share", "weight")

    def __init__(self, job: Hashable = None, *, background: bool = False, share: Share | None = None) -> None:
        self.job = job
        self.background = background
        self.share = Share() if share is None else share
        self.party: Hashable = None  # Who is served by it (`slots`); None: nobody, it is ours.
        self.weight = 1.0  # Above 0, at most 1. May be set anew at any time, for what is asked from then on.

    @property
    def counts_for(self) -> float:
        """What part of a full share it gets."""
        return self.weight * (BACKGROUND_WEIGHT if self.background else 1.0)


class Ask:
    """`count` bytes that wait to pass: no more than were asked for, and less once a cap was lowered. `start`: where it
    stands in virtual time, `charge`: what it adds to the share. Identity is what counts."""

    __slots__ = ("charge", "count", "flow", "granted", "start")

    def __init__(self, flow: Flow, count: int, start: float) -> None:
        self.flow, self.count, self.start = flow, count, start
        self.charge = count / flow.counts_for
        self.granted = False

    def shrink(self, most: int) -> None:
        """Wait for at most `most` bytes, at the same place."""
        if self.count > most:
            given_back = self.charge * (1 - most / self.count)
            self.flow.share.finish -= given_back
            self.charge -= given_back
            self.count = most


class Pacer:
    """One direction of one node. One owner, or a lock around it."""

    def __init__(self, rate: float | None, *, now: float) -> None:
        self._node = Bucket(rate, now=now)
        self._jobs: dict[Hashable, Bucket] = {}
        self._waiting: list[Ask] = []
        self._virtual = 0.0

    @property
    def rate(self) -> float | None:
        """The node's cap."""
        return self._node.rate

    @property
    def is_limited(self) -> bool:
        """Whether any cap is set."""
        return self._node.rate is not None or bool(self._jobs)

    @property
    def waiting(self) -> tuple[Ask, ...]:
        return tuple(self._waiting)

    def rate_of(self, job: Hashable) -> float | None:
        """Return the lower one of the node's cap and that of `job`."""
        bucket = self._jobs.get(job)
        rates = [rate for rate in (self._node.rate, bucket.rate if bucket else None) if rate is not None]
        return min(rates, default=None)

    def piece_bytes(self, flow: Flow) -> int:
        """Return how much to ask for at once: under a low cap, or with little weight, a little often."""
        rate = self.rate_of(flow.job)
        if rate is None:
            return PIECE_BYTES_MAX
        full = min(PIECE_BYTES_MAX, max(BURST_BYTES_MIN, rate * BURST_S) / 2)
        return int(max(full * flow.counts_for, min(PIECE_BYTES_LOW, full * PIECE_PART_LOW)))

    def set_rate(self, rate: float | None, *, now: float) -> None:
        """Set the node's cap. What waits becomes pieces of the new one, or a large one would be followed by silence."""
        self._node.set_rate(rate, now=now)
        self._shrink()

    def set_job_rate(self, job: Hashable, rate: float | None, *, now: float) -> None:
        """Set the cap of one job; None lifts it."""
        if rate is None:
            self._jobs.pop(job, None)
        elif job in self._jobs:
            self._jobs[job].set_rate(rate, now=now)
        else:
            self._jobs[job] = Bucket(rate, now=now)
        self._shrink()

    def _shrink(self) -> None:
        for ask in self._waiting:
            ask.shrink(self.piece_bytes(ask.flow))

    def ask(self, flow: Flow, count: int) -> Ask:
        """Wait for `count` bytes; `grant` says when they may pass, and how many of them."""
        ask = Ask(flow, count, start=max(self._virtual, flow.share.finish))
        flow.share.finish = ask.start + ask.charge
        self._waiting.append(ask)
        return ask

    def withdraw(self, ask: Ask) -> None:
        """The bytes will not pass."""
        if not ask.granted:
            self._waiting.remove(ask)

    def grant(self, *, now: float) -> list[Ask]:
        """Return the asks that pass now, in order."""
        granted: list[Ask] = []
        while (ask := self._next(now)) is not None and not self._node.wait_s(ask.count, now=now):
            self._node.spend(ask.count, now=now)
            if (job := self._jobs.get(ask.flow.job)) is not None:
                job.spend(ask.count, now=now)
            self._virtual = max(self._virtual, ask.start)
            self._waiting.remove(ask)
            ask.granted = True
            granted.append(ask)
        return granted

    def wait_s(self, *, now: float) -> float | None:
        """Return in how long `grant` is worth a call, if nothing else happens; None if nothing waits."""
        if not self._waiting:
            return None
        ask = self._next(now)
        if ask is not None:
            return self._node.wait_s(ask.count, now=now)
        return min(self._job_wait_s(each, now) for each in self._waiting)

    def _next(self, now: float) -> Ask | None:
        """Return who is next for the node's bucket: of those whose job lets them, the one furthest behind."""
        ready = (ask for ask in self._waiting if not self._job_wait_s(ask, now))
        return min(ready, key=lambda ask: ask.start, default=None)

    def _job_wait_s(self, ask: Ask, now: float) -> float:
        job = self._jobs.get(ask.flow.job)
        return job.wait_s(ask.count, now=now) if job is not None else 0.0


def left_for_background(foreground: Iterable[float]) -> float | None:
    """Return the cap of background jobs where the node has none, while others move at the rates `foreground`.

    None where there are no others. Nobody knows how much the line could carry, so what they move is the measure; while
    they are only beginning, background moves the least that keeps its connections alive.
    """
    rates = list(foreground)
    return max(float(limits.CAP_MIN), sum(rates) * BACKGROUND_WEIGHT) if rates else None
