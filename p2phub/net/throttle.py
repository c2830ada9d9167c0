"""Keep the caps of a node: who waits for its share of them, and who wakes whom.

What may pass when is `transfer.pacing`'s decision. A `Throttle` is one direction of a node, with the lock and the
clock. A thread that waits does so on a condition, which a `Stop` ends at once. Of all that wait, threads and tasks, one
at a time watches the clock (the leader); the others sleep until they are let through or it is their turn to lead.
Where bytes move, `paced` has them wait here. Source: proto/transfer.md §5; docs/decisions/0060.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Mapping
from contextlib import suppress
from typing import Protocol
from weakref import WeakValueDictionary

import msgspec
import trio

from p2phub import limits
from p2phub.identity import PeerId
from p2phub.transfer import Ask, Flow, Pacer, Party, Place, Share, Slots

PRESSED_S = 2.0  # A cap that made somebody wait this recently is what bounds the transfer.
AHEAD_S = 0.25  # What may be under way beyond what was let through, in seconds of the cap…
AHEAD_BYTES_MIN = 128 * limits.KIB  # …and at least this much.


class Sleep(Protocol):
    """Waits on a condition, whose lock is held, at most so long. Injected in tests."""

    def __call__(self, condition: threading.Condition, timeout_s: float | None) -> None: ...


def _sleep(condition: threading.Condition, timeout_s: float | None) -> None:
    condition.wait(timeout_s)


class Throttle:
    """One direction of one node. Thread-safe."""

    def __init__(
        self,
        rate: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = _sleep,
        condition: Callable[[threading.Lock], threading.Condition] = threading.Condition,
    ) -> None:
        self.clock, self._sleep, self._condition = clock, sleep, condition
        self._lock = threading.Lock()
        self._pacer = Pacer(rate, now=clock())
        self._wakers: dict[Ask, Callable[[], None]] = {}  # Of all that wait, the oldest first. Called under the lock.
        self._leader: Ask | None = None
        self._flows: WeakValueDictionary[tuple[Hashable, Hashable], Flow] = WeakValueDictionary()
        self._shares: OrderedDict[Party, Share] = OrderedDict()  # Kept: coming back for each piece must buy nothing.
        self._slots = Slots(secrets.token_bytes(32))
        self._jobs: dict[Hashable, _Job] = {}
        self.changed: Callable[[], None] = _nothing
        """Called after each change, by whoever made it: for one who keeps the same caps elsewhere, too."""
        self.showed: Callable[[Hashable, Mapping[PeerId, int]], None] = _nothing_shown
        """Called with what `show` was, likewise."""
        self.is_limited = rate is not None
        """Whether anything is capped. Read without the lock, once a call: all that an uncapped node pays."""

    @property
    def rate(self) -> float | None:
        """The node's cap, bytes a second."""
        return self._pacer.rate

    def set_rate(self, rate: float | None) -> None:
        """Set the node's cap. It holds at once, also for whoever waits."""
        with self._lock:
            self._pacer.set_rate(rate, now=self.clock())
            self._changed()
        self.changed()

    def admit(self, job: Hashable, rate: float | None = None, *, background: bool = False) -> None:
        """Note a job, with a cap of its own or None, or change it. In the background it yields to all others."""
        with self._lock:
            known = self._jobs.get(job)
            if known is not None and (known.rate, known.background) == (rate, background):
                return  # Nobody need wake up.
            known = known or _Job()
            self._jobs[job] = known
            known.rate = rate
            if known.background != background:
                known.background = background
                for (each, _), flow in self._flows.items():
                    if each == job:
                        flow.background = background
            self._pacer.set_job_rate(job, rate, now=self.clock())
            self._changed()
        self.changed()

    def forget(self, job: Hashable) -> None:
        """The job is over: what still moves for it has the node's cap alone."""
        self.admit(job)
        with self._lock:
            self._jobs.pop(job, None)
        self.changed()

    def jobs(self) -> list[tuple[Hashable, float | None, bool]]:
        """Return each job that was admitted, its cap and whether it is in the background."""
        with self._lock:
            return [(job, known.rate, known.background) for job, known in self._jobs.items()]

    def press(self, job: Hashable) -> None:
        """Note that a cap made `job` wait just now: elsewhere, where the same caps are kept."""
        with self._lock:
            known = self._jobs.get(job)
            if known is not None:
                known.waited_at = self.clock()

    def flow(self, job: Hashable, who: Hashable = None) -> Flow:
        """Return the share of `who` in `job`, under the caps of both node and job. One who asks twice has one share."""
        with self._lock:
            flow = self._flows.get((job, who))
            if flow is None:
                known = self._jobs.get(job)
                flow = self._flows[job, who] = Flow(job, background=known is not None and known.background)
            return flow

    # --- who is served -----------------------------------------------------------------------------------------------

    def enter(self, manifest: Hashable, party: Party, peer: PeerId) -> tuple[Place, Flow]:
        """Begin to serve a connection: it has a place until `leave`, and the share of its party in `manifest`."""
        with self._lock:
            share = self._shares.setdefault(party, Share())
            self._shares.move_to_end(party)
            if len(self._shares) > limits.TABS_MAX:
                self._shares.popitem(last=False)
            known = self._jobs.get(manifest)
            background = known is not None and known.background
            flow = self._flows.setdefault((manifest, party), Flow(manifest, background=background, share=share))
            flow.party = party
            return self._slots.enter(manifest, party, peer, now=self.clock()), flow

    def leave(self, place: Place) -> None:
        """The connection ended, or is being ended."""
        with self._lock:
            self._slots.leave(place)

    def gives_way(self, manifest: Hashable, party: Party, among: Collection[Place]) -> Place | None:
        """Return which of `among` is to be the place of one more connection, now that all are taken; None: it has to
        wait."""
        with self._lock:
            return self._slots.gives_way(manifest, party, among, now=self.clock())

    def show(self, manifest: Hashable, shown: Mapping[PeerId, int]) -> None:
        """Note what peers were seen to give to others (`transfer.Credit`): they are served by that."""
        if not shown:
            return
        with self._lock:
            self._slots.show(manifest, shown)
        self.showed(manifest, shown)

    def shown(self) -> list[tuple[Hashable, PeerId, int]]:
        """Return all that was shown."""
        with self._lock:
            return self._slots.shown()

    def gave(self, flow: Flow, count: int) -> None:
        """Note that so much goes out, where no cap makes it wait."""
        if flow.party is not None:
            with self._lock:
                self._slots.gave(flow.job, flow.party, count, now=self.clock())

    # --- what is capped ----------------------------------------------------------------------------------------------

    def rate_of(self, job: Hashable) -> float | None:
        """Return the cap that holds for `job`, bytes a second."""
        if not self.is_limited:
            return None
        with self._lock:
            return self._pacer.rate_of(job)

    def ahead_bytes(self, job: Hashable, most: int) -> int:
        """Return how much may be asked of one peer at once, `most` where there is no cap."""
        rate = self.rate_of(job)
        return most if rate is None else min(most, max(AHEAD_BYTES_MIN, int(rate * AHEAD_S)))

    def is_pressed(self, job: Hashable) -> bool:
        """Return whether a cap, not the peers, is what bounds `job` now."""
        if not self.is_limited:
            return False
        with self._lock:
            waits = any(ask.flow.job == job for ask in self._wakers)
            known = self._jobs.get(job)
            return waits or (known is not None and self.clock() - known.waited_at < PRESSED_S)

    def links_max(self, job: Hashable) -> int:
        """Return how many links the cap feeds: with more, providers hear nothing of one for so long that it ends."""
        return slots(self.rate_of(job), limits.CROWD_LINKS_MAX)

    def stop(self) -> Stop:
        """Return what ends the waits of one thread."""
        return Stop(self._lock)

    def take(self, flow: Flow, most: int, stop: Stop) -> int:
        """Block until a piece of at most `most` bytes may pass, and return its length; 0, at once, if `stop` was called
        or is while it waits."""
        condition = self._condition(self._lock)
        with self._lock:
            ask = self._begin(flow, most, condition.notify_all)
            stop.wake = condition.notify_all
            try:
                while not (ask.granted or stop.called):
                    self._sleep(condition, self._lead(ask))
                    self._grant()
            finally:
                stop.wake = _nothing
                self._end(ask)
            if ask.granted and flow.party is not None:
                self._slots.gave(flow.job, flow.party, ask.count, now=self.clock())
        return ask.count if ask.granted and not stop.called else 0

    async def pass_through(self, flow: Flow, count: int) -> None:
        """The same in a task of trio: return when `count` bytes may pass, piece by piece."""
        await trio.lowlevel.checkpoint()
        while count:
            count -= await self._pass_piece(flow, count)

    async def _pass_piece(self, flow: Flow, most: int) -> int:
        token, woken = trio.lowlevel.current_trio_token(), trio.Event()

        def set_woken() -> None:
            woken.set()  # The newest one.

        def wake() -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(set_woken)

        with self._lock:
            ask = self._begin(flow, most, wake)
        try:
            while not ask.granted:
                with self._lock:
                    timeout_s = self._lead(ask)
                with trio.move_on_after(float("inf") if timeout_s is None else timeout_s):
                    await woken.wait()
                woken = trio.Event()
                with self._lock:
                    self._grant()
        finally:
            with self._lock:
                self._end(ask)
        return ask.count

    # --- under the lock ----------------------------------------------------------------------------------------------

    def _begin(self, flow: Flow, most: int, wake: Callable[[], None]) -> Ask:
        if flow.party is not None:
            flow.weight = self._slots.weight(flow.job, flow.party, rate=self._pacer.rate, now=self.clock())
        ask = self._pacer.ask(flow, min(most, self._pacer.piece_bytes(flow)))
        self._wakers[ask] = wake
        self._grant()
        if not ask.granted and (job := self._jobs.get(flow.job)) is not None:
            job.waited_at = self.clock()
        return ask

    def _end(self, ask: Ask) -> None:
        self._pacer.withdraw(ask)
        self._wakers.pop(ask, None)
        if self._leader is ask:
            self._leader = None
            for wake in self._wakers.values():  # The next one leads.
                wake()
                break

    def _lead(self, ask: Ask) -> float | None:
        """Return how long `ask` should sleep: by the clock if it leads, else until it is woken."""
        if self._leader is None:
            self._leader = ask
        return self._pacer.wait_s(now=self.clock()) if self._leader is ask else None

    def _grant(self) -> None:
        for ask in self._pacer.grant(now=self.clock()):
            self._wakers.pop(ask)()

    def _changed(self) -> None:
        self.is_limited = self._pacer.is_limited
        self._grant()
        for wake in self._wakers.values():
            wake()


def slots(rate: float | None, most: int) -> int:
    """Return how many connections a cap feeds, at most `most`: each needs enough not to be taken for a dead one."""
    return most if rate is None else max(1, min(most, int(rate / limits.SLOT_RATE_MIN)))


class _Job:
    """What is known of a job."""

    __slots__ = ("background", "rate", "waited_at")

    def __init__(self) -> None:
        self.background = False
        self.rate: float | None = None
        self.waited_at = float("-inf")


def _nothing() -> None:
    """Nobody waits."""


def _nothing_shown(manifest: Hashable, shown: Mapping[PeerId, int]) -> None:
    """Nobody keeps the same elsewhere."""


class Stop:
    """How to end a thread's wait, and all its later ones. One thread waits; any may call. Made by `Throttle.stop`."""

    def __init__(self, lock: threading.Lock) -> None:
        self.called = False
        self.wake: Callable[[], None] = _nothing  # Under the lock.
        self._lock = lock

    def call(self) -> None:
        with self._lock:
            self.called = True
            self.wake()


class Caps(msgspec.Struct, frozen=True):
    """Both directions of a node. Nothing is capped by default."""

    up: Throttle = msgspec.field(default_factory=Throttle)
    down: Throttle = msgspec.field(default_factory=Throttle)
