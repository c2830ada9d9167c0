"""A flash crowd, event by event: a `p2phub.transfer.Session` for each requester, on modelled links.

As shipped: all that is decided: who asks whom for which chunk (picker, shares, turns), how much at once, what is taken
back, whom it is worth to link to (`links_wanted`). Modelled: an uplink serves its links in turn, a chunk each; a
downlink takes what comes in the order in which it comes; a link takes a moment to be made, and a sender has
DATA_CONNECTIONS_MAX places; others tell what they hold every NEWS_S; a requester is told the publisher and
PEERS_TOLD_MAX others at random, and some time later those are known to want the same. There are no disks, hashes,
losses or liars: those are for `python -m simnet`.
Seconds, bytes, bytes a second.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from p2phub import limits
from p2phub.content import ChunkTable, RangeSet
from p2phub.engine.company import MEET_S
from p2phub.engine.giving_place import HOPE_RESTS_S, HOPED_S, USELESS_S
from p2phub.engine.providers import RETRY_S
from p2phub.errors import PeerGone
from p2phub.identity import PeerId, SourceId
from p2phub.transfer import Action, Cancel, Drop, Grant, Revoke, Session
from simnet.models.agenda import Agenda

DIAL_RTT = 4  # TCP, TLS, and the first request.
WINDOW_S = 0.25  # As in net.lease: so much of the measured rate is asked for at once,
WINDOW_BYTES_FIRST = 256 * limits.KIB  # and this, and more with what comes, before the first measurement.


@dataclass(frozen=True, slots=True)
class Shape:
    """A crowd. `finding_s`: what a search takes, up to twice as long; `known_s`: how long it takes from there until a
    requester knows who else wants the same. `ups`: of each requester, where they differ; without it all have `up`."""

    requesters: int
    pieces: int = 64
    piece_bytes: int = 256 * limits.KIB
    up: float = 4e6
    publisher_up: float = 4e6
    down: float = 16e6
    latency_s: float = 0.01
    starts_within_s: float = 0.5
    finding_s: float = 0.0
    known_s: float = 0.5
    ups: tuple[float, ...] = ()

    @property
    def content_bytes(self) -> int:
        return self.pieces * self.piece_bytes


@dataclass
class _Link:
    """`requester` asks `sender` for what is in `lease`, and has `asked` for some of it."""

    number: int
    requester: _Peer
    sender: _Peer
    lease: RangeSet = field(default_factory=RangeSet)
    asked: RangeSet = field(default_factory=RangeSet)
    flying: RangeSet = field(default_factory=RangeSet)  # Sent, and not arrived.
    vain: RangeSet = field(default_factory=RangeSet)  # Asked for, and had from another since.
    came_bytes: int = 0
    told: RangeSet = field(default_factory=RangeSet)  # What the sender said it held.
    idle_since: float = 0.0  # When the sender last had nothing more to send.
    useless_since: float = math.inf


@dataclass
class _Peer:
    number: int
    id: PeerId
    up: float
    session: Session | None = None  # None: the publisher, who holds all.
    held: RangeSet = field(default_factory=RangeSet)  # Of the session: what others compare by identity.
    links: dict[int, _Link] = field(default_factory=dict)  # Over which it receives.
    known: dict[int, _Peer] = field(default_factory=dict)  # Of whom it was told, in the order in which it dials them.
    fellows: frozenset[PeerId] = frozenset()  # Of those, who are known to want the same,
    met_at: float = -math.inf  # since when.
    seen: dict[int, _Peer] = field(default_factory=dict)  # With whom it had a link: those it tells others of.
    waiting: dict[int, _Link] = field(default_factory=dict)  # Those that asked it for something, in turn.
    serving: dict[int, _Link] = field(default_factory=dict)  # Over which it sends, or may be asked to.
    dialling: set[int] = field(default_factory=set)
    retry_at: dict[int, float] = field(default_factory=dict)
    failures: dict[int, int] = field(default_factory=dict)
    linked_at: dict[int, float] = field(default_factory=dict)
    down_free_at: float = 0.0
    busy: bool = False
    began: float = 0.0
    done_at: float | None = None
    sent_bytes: int = 0

    def failed(self, other: _Peer, now: float) -> None:
        """`other` had no place for it, or has none any more."""
        count = self.failures.get(other.number, 0)
        self.failures[other.number] = count + 1
        self.retry_at[other.number] = now + RETRY_S[min(count, len(RETRY_S) - 1)]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`seconds`: for each requester that finished, how long after the first began; ascending."""

    shape: Shape
    seconds: tuple[float, ...]
    copies: float  # That the publisher sent.
    events: int

    @property
    def last_s(self) -> float:
        return self.seconds[-1] if len(self.seconds) == self.shape.requesters else math.inf

    @property
    def median_s(self) -> float:
        return self.seconds[len(self.seconds) // 2] if self.seconds else math.inf


class Crowd:
    """A publisher and the requesters of one manifest."""

    def __init__(self, shape: Shape, rng: np.random.Generator) -> None:
        self._shape, self._rng = shape, rng
        self._agenda = Agenda()
        self._table = _table(shape.pieces, shape.piece_bytes)
        self._everything = RangeSet.whole(shape.pieces)
        self._links = 0
        self._publisher = _Peer(0, PeerId(rng.bytes(32)), shape.publisher_up, held=self._everything)
        ups = shape.ups or (shape.up,) * shape.requesters
        assert len(ups) == shape.requesters
        self._requesters = [_Peer(number, PeerId(rng.bytes(32)), up) for number, up in enumerate(ups, 1)]
        self._numbers: dict[SourceId, int] = {peer.id: peer.number for peer in self._requesters}
        for peer in self._requesters:
            peer.began = float(rng.uniform(0, shape.starts_within_s))
            finding_s = shape.finding_s * float(rng.uniform(1, 2))
            self._agenda.after(peer.began + finding_s, partial(self._begin, peer))

    def run(self, *, seconds_max: float = 3600.0) -> Outcome:
        """Let everybody fetch; `seconds_max`: when to give up."""
        self._agenda.run(until=seconds_max)
        first = min((peer.began for peer in self._requesters), default=0.0)
        done = sorted(peer.done_at - first for peer in self._requesters if peer.done_at is not None)
        copies = self._publisher.sent_bytes / self._shape.content_bytes
        return Outcome(self._shape, tuple(done), copies, self._agenda.count)

    # --- a requester ----------------------------------------------------------------------------------------------

    def _begin(self, peer: _Peer) -> None:
        now = self._agenda.now
        peer.session = Session(self._table, RangeSet(), now=now)
        self._carry_out(peer, peer.session.spread(peer.id, ()))
        named = self._named(peer)
        self._rng.shuffle(named)
        peer.known = {each.number: each for each in (self._publisher, *named)}
        self._dial(peer)
        self._agenda.after(self._shape.known_s, partial(self._meet, peer))
        self._agenda.after(limits.NEWS_S, partial(self._look_around, peer))

    def _named(self, peer: _Peer) -> list[_Peer]:
        others = len(self._requesters) - 1
        if others <= limits.PEERS_TOLD_MAX:
            return [each for each in self._requesters if each is not peer]
        numbers = dict.fromkeys(self._rng.integers(0, others, limits.PEERS_TOLD_MAX).tolist())
        return [self._requesters[each if each < peer.number - 1 else each + 1] for each in numbers]

    def _meet(self, peer: _Peer) -> None:
        """From here on it is known who else fetches this now."""
        assert peer.session is not None
        others = frozenset(
            each.id for each in peer.known.values() if each is not self._publisher and each.done_at is None
        )
        if peer.done_at is None and others != peer.fellows:
            peer.fellows, peer.met_at = others, self._agenda.now
            self._carry_out(peer, peer.session.spread(peer.id, others))

    def _told(self, peer: _Peer, teller: _Peer) -> None:
        """Whom `teller` knows, `peer` knows now, too."""
        named = [each for each in teller.seen.values() if each is not peer]
        self._rng.shuffle(named)
        room = limits.HEARSAY_PER_FETCH_MAX - (len(peer.known) - len(peer.links))
        new = [each for each in named[: limits.PEERS_TOLD_MAX] if each.number not in peer.known]
        peer.known |= {each.number: each for each in new[: max(0, room)]}

    def _look_around(self, peer: _Peer) -> None:
        """What is done now and then: hear who holds what, tick, and link to whoever is worth it."""
        session, now = peer.session, self._agenda.now
        assert session is not None
        if peer.done_at is not None:
            return
        for link in list(peer.links.values()):
            if link.asked and link.sender.busy:  # In truth it sends to all at once: some of it has come.
                self._carry_out(peer, session.verified(link.number, RangeSet(), 0, now=now))
            holds = link.sender.held
            if link.told is holds or link.number not in peer.links:
                continue
            # News of what is had already changes nothing but the time that this model takes.
            if holds == self._everything or (holds - link.told) & session.missing:
                link.told = holds
                self._carry_out(peer, session.held(link.number, holds, now=now))
        if (deadline := session.deadline()) is not None and deadline <= now:
            self._carry_out(peer, session.tick(now=now))
        if peer.fellows and now >= peer.met_at + MEET_S * (1 + len(peer.fellows) / 8):
            self._meet(peer)
        self._make_place(peer)
        self._dial(peer)
        self._agenda.after(limits.NEWS_S, partial(self._look_around, peer))

    def _waiting(self, peer: _Peer) -> list[_Peer]:
        """Return who could be dialled."""
        linked = {link.sender.number for link in peer.links.values()} | peer.dialling
        resting = {number for number, until in peer.retry_at.items() if self._agenda.now < until}
        return [each for number, each in peer.known.items() if number not in linked and number not in resting]

    def _hopes(self, peer: _Peer) -> dict[int, int]:
        """Return how many chunks each may soon have for it, but for those with whom it had a link lately."""
        assert peer.session is not None
        since = self._agenda.now - HOPE_RESTS_S
        hopes = ((self._numbers[each], count) for each, count in peer.session.hopes().items())
        return {each: count for each, count in hopes if peer.linked_at.get(each, -math.inf) <= since}

    def _make_place(self, peer: _Peer) -> None:
        """Let go of the link that has been of no use for longest, if somebody waits for its place."""
        session, now = peer.session, self._agenda.now
        assert session is not None
        if len(peer.links) + len(peer.dialling) < session.links_max - self._kept_places(peer):
            return
        useless = [link for link in peer.links.values() if not session.holds_missing(link.sender.id)]
        for link in peer.links.values():
            link.useless_since = min(link.useless_since, now) if link in useless else math.inf
        if not useless or not (others := self._waiting(peer)):
            return
        link = min(useless, key=lambda each: each.useless_since)
        hopes = {} if session.hoped_from(link.sender.id) else self._hopes(peer)
        hoped = any(each.number in hopes for each in others)
        if now - link.useless_since >= (HOPED_S if hoped else USELESS_S):
            peer.retry_at[link.sender.number] = now + RETRY_S[1]
            self._close(link)
            self._carry_out(peer, session.closed(link.number, None, link.lease, now=now))

    def _kept_places(self, peer: _Peer) -> int:
        """One is kept for the publisher, until there is a link to one that has all."""
        assert peer.session is not None
        return int(not any(peer.session.holds_all(link.sender.id) for link in peer.links.values()))

    def _dial(self, peer: _Peer) -> None:
        session = peer.session
        assert session is not None
        # What is on its way counts: the session knows only links that are up.
        room = session.links_max - len(peer.links) - len(peer.dialling)
        # What a stranger is worth, such as itself, is the most that anybody is who has no link.
        if room <= 0 or not session.links_wanted(peer.id):
            return
        keep = self._kept_places(peer)
        for other in self._in_turn(peer):
            if room <= 0:
                break
            if (room <= keep and other is not self._publisher) or not session.links_wanted(other.id):
                continue
            room -= 1
            peer.dialling.add(other.number)
            self._agenda.after(DIAL_RTT * 2 * self._shape.latency_s, partial(self._dialled, peer, other))

    def _in_turn(self, peer: _Peer) -> list[_Peer]:
        """Return who could be dialled: who may soon have most first, then who had no link, then whose was longest ago.
        As long as `peer` knows nobody who wants the same, in the order in which it was told of them."""
        due = self._waiting(peer)
        if not peer.fellows:
            return due
        hopes, linked_at = self._hopes(peer), peer.linked_at
        hoped = [each for each in due if each.number in hopes] if hopes else []
        hoped.sort(key=lambda each: (-hopes[each.number], linked_at.get(each.number, -math.inf)))
        rest = [each for each in due if each.number not in hopes] if hoped else due
        back = sorted((each for each in rest if each.number in linked_at), key=lambda each: linked_at[each.number])
        return [*hoped, *(each for each in rest if each.number not in linked_at), *back]

    def _dialled(self, peer: _Peer, other: _Peer) -> None:
        session, now = peer.session, self._agenda.now
        assert session is not None
        if peer.done_at is not None:
            return
        peer.dialling.discard(other.number)
        if not self._has_place(other):
            peer.failed(other, now)
            if other is self._publisher and session.hoped_from(peer.id):
                knock_s = RETRY_S[0] * max(1.0, len(peer.fellows) / limits.DATA_CONNECTIONS_MAX)
                peer.retry_at[other.number] = min(peer.retry_at[other.number], now + knock_s)
            return
        self._links += 1
        held = other.held
        link = peer.links[self._links] = _Link(self._links, peer, other, told=held, idle_since=now)
        other.serving[link.number] = link
        peer.linked_at[other.number], peer.failures[other.number] = now, 0
        if other is not self._publisher:
            other.seen[peer.number], peer.seen[other.number] = peer, other
            other.known.setdefault(peer.number, peer)
            self._agenda.after(limits.NEWS_S, partial(self._told, peer, other))
        self._carry_out(peer, session.joined(link.number, other.id, held, now=now))

    def _has_place(self, sender: _Peer) -> bool:
        """Whether `sender` has a place for one more link, if need be that of one that does nothing."""
        if len(sender.serving) < limits.DATA_CONNECTIONS_MAX:
            return True
        idle = [link for link in sender.serving.values() if not link.asked and not link.flying]
        longest = min(idle, key=lambda link: link.idle_since, default=None)
        if longest is None or self._agenda.now - longest.idle_since < limits.GIVES_WAY_S:
            return False
        peer, gone = longest.requester, PeerGone("its place went to another", peer=str(sender.id))
        assert peer.session is not None
        self._close(longest)
        peer.failed(sender, self._agenda.now)
        self._carry_out(peer, peer.session.closed(longest.number, gone, longest.lease, now=self._agenda.now))
        return True

    def _carry_out(self, peer: _Peer, actions: Sequence[Action]) -> None:
        session, now = peer.session, self._agenda.now
        assert session is not None
        for action in actions:
            link = peer.links.get(action.link)
            if link is None:
                continue
            match action:
                case Grant(chunks=chunks):
                    link.lease = link.lease | chunks
                    self._ask(link)
                case Revoke():
                    back = link.lease - link.asked - link.flying
                    link.lease = link.lease - back
                    self._carry_out(peer, session.returned(link.number, back, now=now))
                case Cancel(chunks=chunks):
                    unasked = chunks - link.asked - link.flying
                    link.lease, link.vain = link.lease - chunks, link.vain | (chunks - unasked)
                    self._carry_out(peer, session.cancelled(link.number, chunks, unasked, now=now))
                case Drop(error=error):
                    self._close(link)
                    self._carry_out(peer, session.closed(link.number, error, link.lease, now=now))

    def _close(self, link: _Link) -> None:
        del link.requester.links[link.number]
        del link.sender.serving[link.number]
        link.sender.waiting.pop(link.number, None)

    # --- a link ---------------------------------------------------------------------------------------------------

    def _ask(self, link: _Link) -> None:
        """Ask for as much of the lease as the window lets."""
        session = link.requester.session
        assert session is not None
        rate = session.rate(link.number)
        first = min(WINDOW_BYTES_FIRST + 4 * link.came_bytes, 2 * limits.BATCH_BYTES_MAX)
        window = min(limits.WINDOW_BYTES_MAX, rate * WINDOW_S) if rate else first
        least = 2 if rate else 1  # No second chunk before it is known how long the first takes.
        room = max(least, int(window // self._shape.piece_bytes)) - len(link.asked) - len(link.flying)
        more = (link.lease - link.asked - link.flying).first(max(0, room))
        if more:
            link.asked = link.asked | more
            self._agenda.after(self._shape.latency_s, partial(self._asked, link))

    def _asked(self, link: _Link) -> None:
        if link.number in link.requester.links:
            link.sender.waiting.setdefault(link.number, link)
            self._serve(link.sender)

    def _serve(self, sender: _Peer) -> None:
        """Send one chunk for whoever is next."""
        while sender.waiting and not sender.busy:
            link = sender.waiting.pop(next(iter(sender.waiting)))
            if not link.asked:
                continue
            sender.busy = True
            self._agenda.after(self._shape.piece_bytes / sender.up, partial(self._sent, link))

    def _sent(self, link: _Link) -> None:
        sender, peer = link.sender, link.requester
        sender.busy = False
        sender.sent_bytes += self._shape.piece_bytes
        chunk = link.asked.first(1)
        link.asked, link.flying = link.asked - chunk, link.flying | chunk
        if link.asked and link.number in peer.links:
            sender.waiting[link.number] = link
        link.idle_since = self._agenda.now
        # Cut through: the downlink takes it while the uplink sends, and is late only if others fill it.
        size_s = self._shape.piece_bytes / self._shape.down
        peer.down_free_at = max(self._agenda.now, peer.down_free_at + size_s)
        late_s = peer.down_free_at - self._agenda.now
        self._agenda.after(late_s + self._shape.latency_s, partial(self._arrived, link, chunk))
        self._serve(sender)

    def _arrived(self, link: _Link, chunk: RangeSet) -> None:
        peer, now = link.requester, self._agenda.now
        session = peer.session
        assert session is not None
        if link.number not in peer.links:
            return
        size = self._table.bytes_of(chunk)
        came = chunk - link.vain
        link.lease, link.flying, link.vain = link.lease - chunk, link.flying - chunk, link.vain - chunk
        link.came_bytes += size
        self._carry_out(peer, session.verified(link.number, came, size, now=now))
        if came:
            peer.held = session.have
        if link.number in peer.links:
            self._ask(link)
        if session.complete and peer.done_at is None:
            peer.done_at = now
            for each in list(peer.links.values()):
                self._close(each)


def _table(pieces: int, piece_bytes: int) -> ChunkTable:
    starts = array("Q", (piece_bytes * number for number in range(pieces + 1)))
    return ChunkTable.from_parts(array("Q", (0, pieces)).tobytes(), starts.tobytes(), bytes(32 * pieces))
