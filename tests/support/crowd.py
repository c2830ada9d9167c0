"""A crowd that wants the same thing, in simulated time: one seeder with a cap, requesters that serve each other.

Each requester has a session of its own; links share the upload rate of whoever sends. A requester learns what another
holds every `have_s`. It knows nobody's plans, as in life: what two ask for at the same time the seeder sends twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from p2phub import limits
from p2phub.content import ChunkTable, RangeSet
from p2phub.identity import PeerId
from p2phub.transfer import Action, Drop, Grant, Revoke, Session

STEP_S = 0.05


@dataclass
class Stream:
    """One link of a requester to whoever sends. Chunks are sent in the order of `asked`; what is asked will come."""

    sender: int
    lease: RangeSet = field(default_factory=RangeSet)
    asked: RangeSet = field(default_factory=RangeSet)
    credit: float = 0.0
    window: int = 1

    def ask(self) -> None:
        """Ask for as much of the lease as the window lets: what was asked for is not given back."""
        more = (self.lease - self.asked).first(max(0, self.window - len(self.asked)))
        self.asked = self.asked | more


@dataclass
class Requester:
    number: int
    session: Session
    up: float
    streams: dict[int, Stream] = field(default_factory=dict)
    done_at: float | None = None
    received: dict[int, int] = field(default_factory=dict)


class Crowd:
    """`requesters` peers that want `table`; number 0 is the seeder, with `up` bytes/s for all."""

    def __init__(
        self,
        table: ChunkTable,
        requesters: int,
        *,
        up: float,
        peer_up: float,
        have_s: float = 0.5,
        known_after_s: float = 0.5,
        links_max: int = limits.CROWD_LINKS_MAX,
        spread: bool = True,
    ) -> None:
        self.table, self.up, self.have_s, self.known_after_s = table, up, have_s, known_after_s
        self.now = 0.0
        self.sent = 0
        self.links_max = links_max
        self.spread = spread
        self.everything = RangeSet.whole(len(table))
        self.crowd = [
            Requester(number, Session(table, RangeSet(), now=0.0), peer_up) for number in range(1, requesters + 1)
        ]
        self._links = 0
        for each in self.crowd:
            if spread:
                each.session.spread(self._id(each.number), [])
            self._join(each, 0)
            self._join(each, 0)

    def run(self, *, seconds_max: float = 600.0) -> None:
        steps, acquainted = 0, False
        while any(each.done_at is None for each in self.crowd) and self.now < seconds_max:
            self.now = (steps := steps + 1) * STEP_S
            if not acquainted and self.now >= self.known_after_s:
                acquainted = True
                self._acquaint()
            if acquainted and steps % round(self.have_s / STEP_S) == 0:
                self._tell_held()
            self._move()
            for each in self.crowd:
                if each.done_at is None and each.session.complete:
                    each.done_at = self.now
                if (deadline := each.session.deadline()) is not None and deadline <= self.now:
                    self._carry_out(each, each.session.tick(now=self.now))

    @property
    def copies(self) -> float:
        """How many copies the seeder sent."""
        return self.sent / self.table.bytes_total

    @property
    def seconds(self) -> float:
        return max(each.done_at or float("inf") for each in self.crowd)

    def _held(self, number: int) -> RangeSet:
        return self.everything if number == 0 else self.crowd[number - 1].session.have

    def _id(self, number: int) -> PeerId:
        return PeerId(sha256(b"%d" % number).digest())

    def _join(self, each: Requester, sender: int) -> None:
        link, self._links = self._links, self._links + 1
        each.streams[link] = Stream(sender)
        self._carry_out(each, each.session.joined(link, self._id(sender), self._held(sender), now=self.now))

    def _acquaint(self) -> None:
        """Everybody hears of the others, and links to some of them, as many as there is room for."""
        for each in self.crowd:
            if self.spread:
                others = [self._id(other.number) for other in self.crowd if other is not each]
                self._carry_out(each, each.session.spread(self._id(each.number), others))
            known = sorted(
                (other.number for other in self.crowd if other is not each),
                key=lambda number: sha256(b"%d %d" % (each.number, number)).digest(),
            )
            for number in known[: self.links_max - len(each.streams)]:
                self._join(each, number)

    def _tell_held(self) -> None:
        for each in self.crowd:
            for link, stream in list(each.streams.items()):
                if stream.sender and each.done_at is None:
                    self._carry_out(each, each.session.held(link, self._held(stream.sender), now=self.now))

    def _carry_out(self, each: Requester, actions: Sequence[Action]) -> None:
        for action in actions:
            stream = each.streams[action.link]
            match action:
                case Grant(chunks=chunks):
                    stream.lease = stream.lease | chunks
                    stream.ask()
                case Revoke():
                    stream.lease, back = stream.asked, stream.lease - stream.asked
                    self._carry_out(each, each.session.returned(action.link, back, now=self.now))
                case Drop(error=error):
                    del each.streams[action.link]
                    self._carry_out(each, each.session.closed(action.link, error, stream.lease, now=self.now))

    def _move(self) -> None:
        busy: dict[int, list[tuple[Requester, int, Stream]]] = {}
        for each in self.crowd:
            for link, stream in each.streams.items():
                if stream.lease:
                    busy.setdefault(stream.sender, []).append((each, link, stream))
                else:
                    stream.credit = 0.0
        for sender, streams in busy.items():
            rate = (self.up if sender == 0 else self.crowd[sender - 1].up) / len(streams)
            for each, link, stream in streams:
                self._send(each, link, stream, sender, rate)

    def _send(self, each: Requester, link: int, stream: Stream, sender: int, rate: float) -> None:
        stream.credit += rate * STEP_S
        stream.window = max(1, int(min(limits.WINDOW_BYTES_MAX, 0.25 * rate) // limits.MIB))
        done = stream.asked.first(int(stream.credit // limits.MIB))
        if not done:
            return
        size = self.table.bytes_of(done)
        stream.credit -= size
        stream.lease, stream.asked = stream.lease - done, stream.asked - done
        stream.ask()
        if sender == 0:
            self.sent += size
        each.received[sender] = each.received.get(sender, 0) + size
        self._carry_out(each, each.session.verified(link, done, size, now=self.now))
