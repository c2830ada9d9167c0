"""The state of one fetch: which chunk is had, leased to whom, or free; what happened goes in, what to do comes out.

A session has one owner, the coordinator of the fetch, which feeds it the reports of its links and carries out the
actions it gets back, in order. It knows peers, chunks and rates, and nothing of sockets, disks or tasks. At any time
each chunk is in exactly one of: had, leased to one link, free.

    joined held verified refused returned closed tick   ->   Grant | Revoke | Drop

How chunks are chosen stands in `picker`, how many at once in `pace`, who has what in `availability`, what is thought of
a peer in `standing`; here stands when:
  - a lease is topped up when less than half of it is left; near the end each link gets its share by rate only;
  - when nothing is free, an idle link takes over the not yet asked rest of whoever would finish last (`Revoke`); no
    chunk is ever asked of two providers at once. What is in flight on a link that would hold up everybody moves by
    dropping that link;
  - a link that moves nothing for STALL_S is dropped if another provider holds its chunks, else after three times that;
  - a provable lie bans the peer: all its links are dropped, and it is not asked again.

Source: proto/transfer.md §5. Lengths are bytes, times seconds of any one clock that does not go back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from p2phub import limits
from p2phub.content import ChunkTable, RangeSet
from p2phub.errors import ChunkMismatch, HubError, PeerError, PeerStalled, ProtocolViolation
from p2phub.identity import PeerId, SourceId
from p2phub.transfer.availability import Availability
from p2phub.transfer.crowd import Crowd, Turn
from p2phub.transfer.pace import Pace
from p2phub.transfer.picker import Picker, Place
from p2phub.transfer.runs import Runs
from p2phub.transfer.standing import Standings

LinkId = int

LINK_WORTH_BYTES = 8 * limits.MIB  # Less than this is fetched sooner than a further connection is made,
LINK_PAYS_S = 1.0  # if it comes within this time.
LOOK_S = 1.0  # While anything is leased, `tick` is due at least this often: silence lowers the rates.
ALONE_PATIENCE = 3  # Times STALL_S, where no other provider could do better.
BUSY_RETRY_S = 0.5  # After "busy", doubled each time up to the next.
BUSY_RETRY_S_MAX = 8.0
END_LOOK_S = 0.25  # While a link is idle for want of chunks: how often the slowest lease is looked at again.
SLOW_END_S = 2.0  # A link whose in-flight rest takes this long, when another is idle and much faster, is dropped.
SLOW_END_RATIO = 4.0
NEVER = (-1, -1, -1)


@dataclass(frozen=True, slots=True)
class Grant:
    """Add `chunks` to the lease of `link`."""

    link: LinkId
    chunks: RangeSet


@dataclass(frozen=True, slots=True)
class Revoke:
    """Have `link` give back what it has not asked for; `returned` is told what that was, also if it was nothing."""

    link: LinkId


@dataclass(frozen=True, slots=True)
class Drop:
    """Close `link` because of `error`; `closed` is told when that is done."""

    link: LinkId
    error: PeerError


Action = Grant | Revoke | Drop


@dataclass(frozen=True, slots=True)
class LinkNow:
    """What a link does at this moment, for whoever explains the fetch. `busy_s`: how long it is left alone for it."""

    link: LinkId
    peer: SourceId
    bytes_per_s: float
    bytes_leased: int
    silent_s: float
    busy_s: float


class _Link:
    """What the session knows of one link."""

    __slots__ = (
        "barren", "busy_s", "busy_until", "dropping", "dry_at", "id", "kept_until", "lease", "lease_bytes", "pace",
        "peer", "place", "revoking", "turn",
    )  # fmt: skip

    def __init__(self, link: LinkId, peer: SourceId, *, now: float) -> None:
        self.id = link
        self.peer = peer
        self.lease = Runs()
        self.lease_bytes = 0
        self.pace = Pace(now=now)
        self.place = Place()
        self.revoking = False
        self.kept_until = now  # No Revoke before: it may have been given again what the last one took.
        self.barren = False  # The last Revoke brought nothing: all that is left is in flight.
        self.dropping = False
        self.turn = Turn()
        self.dry_at = NEVER  # What was known when there was nothing to grant it: no reason to look again before.
        self.busy_until = now
        self.busy_s = BUSY_RETRY_S

    def rate(self, *, now: float) -> float:
        """The rate to expect of it; 0 if unknown. Silence counts against a link that has something to do."""
        return self.pace.rate_by_now(now=now) if self.lease else self.pace.rate

    def finish_s(self, *, now: float) -> float:
        """How long its lease will take; while nothing is measured, as long again as it has been silent."""
        rate = self.rate(now=now)
        return self.lease_bytes / rate if rate else now - self.pace.progress_at


class Session:
    """One fetch of one manifest. See the module."""

    def __init__(self, table: ChunkTable, have: RangeSet, *, rotation: int = 0, now: float) -> None:
        """`have`: verified chunks on this disk. `rotation`: the chunk to start at."""
        self._table = table
        self._everything = RangeSet.whole(len(table))
        self._missing = Runs(self._everything - have)
        self._missing_bytes = table.bytes_of(self.missing)
        self._picker = Picker(table, self.missing, rotation=rotation)
        self._availability = Availability(len(table))
        self._links: dict[LinkId, _Link] = {}
        self._standings = Standings()
        self._received: dict[SourceId, int] = {}
        self._verified_bytes = 0
        self._now = now
        self._crowd: Crowd | None = None
        self.capped = False
        """Whether our own cap, not the providers, is what bounds the fetch now: then none of them is called slow."""

    # --- what is known --------------------------------------------------------------------------------------------

    @property
    def complete(self) -> bool:
        """Whether every chunk is had."""
        return not self._missing_bytes

    @property
    def have(self) -> RangeSet:
        return self._everything - self.missing

    @property
    def missing(self) -> RangeSet:
        """Every chunk not had, leased or not."""
        return self._missing.snapshot()

    def holds_all(self, peer: SourceId) -> bool:
        """Whether `peer` says that it holds every chunk."""
        return len(self._availability.of(peer)) == len(self._everything)

    def holds_missing(self, peer: SourceId) -> bool:
        """Whether `peer` has something for us, leased or not."""
        return self._availability.holds_any(peer, self._missing)

    @property
    def unavailable(self) -> RangeSet:
        """The missing chunks that no joined provider holds, or that all who held them refused."""
        return self.missing - self._availability.of_anyone

    @property
    def bytes_verified(self) -> int:
        """Bytes of the chunks verified since the session began; no chunk counts twice."""
        return self._verified_bytes

    @property
    def bytes_missing(self) -> int:
        return self._missing_bytes

    @property
    def received(self) -> dict[SourceId, int]:
        """Payload bytes that each peer sent, whether or not they were still wanted."""
        return dict(self._received)

    def rate(self, link: LinkId) -> float:
        """Return the measured rate of `link` in bytes a second; 0 before the first measurement or after its end."""
        known = self._links.get(link)
        return known.pace.rate if known else 0.0

    def links_now(self, *, now: float) -> tuple[LinkNow, ...]:
        """Return what each link that is up does."""
        return tuple(
            LinkNow(
                link.id,
                link.peer,
                link.rate(now=now),
                link.lease_bytes,
                now - link.pace.progress_at,
                max(0.0, link.busy_until - now),
            )
            for link in self._links.values()
            if not link.dropping
        )

    def banned(self, peer: SourceId) -> PeerError | None:
        """Return the proof that `peer` lied, or None."""
        return self._standings.evidence(peer)

    @property
    def links_max(self) -> int:
        """How many links there should be at most."""
        return limits.BULK_THREADS_MAX if self._crowd is None else limits.CROWD_LINKS_MAX

    def idle_s(self, link: LinkId, *, now: float) -> float:
        """Return for how long `link` has had nothing for us that was wanted; 0 if it has something."""
        known = self._links.get(link)
        if known is None or known.lease or known.revoking or self.holds_missing(known.peer):
            return 0.0
        return now - known.pace.progress_at

    def links_wanted(self, peer: SourceId) -> int:
        """Return how many links to `peer`, joined or not, there should be now, those that are open included.

        Two while there are up to two providers, else, and in a crowd, one; 0 for one that lied or was lost just now,
        and while there are others for one that stalled lately or has nothing for us. Ask again after each event. No
        more in all than `links_max`, nor than the rest is worth: where it will be done soon, a further connection
        comes too late.
        """
        if self.complete or self._standings.rests(peer, now=self._now):
            return 0
        links = [link for link in self._links.values() if not link.dropping]
        others = [link for link in links if link.peer != peer]
        room = self.links_max - len(others)
        if others:
            if self._standings.shunned(peer, now=self._now):
                return 0
            if peer in self._availability and not self._availability.holds_any(peer, self._missing):
                return 0
        useful = [link for link in others if self._availability.holds_any(link.peer, self._missing)]
        if not self._is_slow(links):
            worth = max(1, self._missing_bytes // LINK_WORTH_BYTES) - len(useful)
            room = min(room, max(worth, 1) if self.unavailable else worth)
        few = len({link.peer for link in useful}) <= 1 and self._crowd is None  # In a crowd many will be useful.
        # A second link waits for what the first brings: where many make that slow, they are known by then.
        few = few and self._received.get(peer, 0) >= LINK_WORTH_BYTES
        return max(0, min(2 if few else 1, room))

    def _is_slow(self, links: list[_Link]) -> bool:
        """Whether `links` would take longer for the rest than a further connection does to make itself useful."""
        rates = [link.rate(now=self._now) for link in links]
        young = any(not link.pace.rate and self._now - link.pace.progress_at < LOOK_S for link in links)
        return bool(links) and not young and self._missing_bytes > sum(rates) * LINK_PAYS_S

    def deadline(self) -> float | None:
        """Return when `tick` is due next, None if nothing is waited for."""
        times = [self._patience_ends(link) for link in self._links.values() if link.lease and not link.dropping]
        if times:
            idle = any(self._can_work(link) and not link.lease for link in self._links.values())
            times.append(self._now + (END_LOOK_S if idle else LOOK_S))
        later = [link.busy_until for link in self._links.values()]
        if any(not link.lease and self._waits_its_turn(link) for link in self._links.values()):
            later.append(self._now + END_LOOK_S)
        if not self.complete:  # `links_wanted` has a new answer then.
            later += self._standings.rests_end()
        return min(times + [time for time in later if time > self._now], default=None)

    def spread(self, own: PeerId, others: Iterable[PeerId]) -> list[Action]:
        """From here on ask for other chunks than `others`, who fetch the same thing, as far as that can be told, so
        that requesters can serve each other. `own` is this node. With no others known it begins at a place of its own
        all the same: those who will be known in a moment begin now, too."""
        others = frozenset(others)
        self._crowd = Crowd(len(self._everything), own, others) if others else None
        self._picker.spread(int.from_bytes(own.public_key[:8], "big"))
        for link in self._links.values():
            link.place.leave()
            link.turn = Turn()
            link.dry_at = NEVER
        return self._leave_to_others()

    # --- what happens ---------------------------------------------------------------------------------------------

    def joined(self, link: LinkId, peer: SourceId, held: RangeSet, *, now: float) -> list[Action]:
        """A new link to `peer` answered; `held` is what it says it can serve."""
        self._now = now
        known = self._links[link] = _Link(link, peer, now=now)
        self._received.setdefault(peer, 0)
        ban = self.banned(peer)
        if ban is not None:
            return [_drop(known, ban)]
        self._availability.learn(peer, held)
        return self._feed()

    def held(self, link: LinkId, held: RangeSet, *, now: float) -> list[Action]:
        """The provider at `link` tells anew what it can serve."""
        self._now = now
        known = self._links.get(link)
        if known is None or known.dropping:
            return []
        self._availability.learn(known.peer, held)
        if self._crowd is not None:
            self._crowd.look(self._availability.of_fellows, now=now)
        return self._feed()

    def verified(self, link: LinkId, chunks: RangeSet, bytes_moved: int, *, now: float) -> list[Action]:
        """`chunks` came over `link`, `bytes_moved` together, and are what the publisher signed."""
        self._now = now
        known = self._links.get(link)
        if known is not None:
            known.pace.moved(bytes_moved, now=now)
            known.busy_s = BUSY_RETRY_S
            self._received[known.peer] += bytes_moved
            self._standings.delivered(known.peer)
        for start, stop in chunks.runs:
            self._got(known, start, stop)
        if known is not None and not known.lease and self._picker:
            known.pace.ran_dry()
        return self._feed()

    def refused(self, link: LinkId, chunks: RangeSet, reason: str, *, now: float) -> list[Action]:
        """The provider will not give `chunks`: "busy" for now, anything else (see `wire.REASONS`) because it has not
        got them (any more). No fault of the peer."""
        self._now = now
        known = self._links.get(link)
        if known is None:
            return []
        known.pace.progress_at = now
        self._release(known, chunks)
        if reason == "busy":
            known.busy_until = now + known.busy_s
            known.busy_s = min(known.busy_s * 2, BUSY_RETRY_S_MAX)
        else:
            self._availability.refuse(known.peer, chunks, for_good=reason != "not-held")
        return self._feed()

    def returned(self, link: LinkId, chunks: RangeSet, *, now: float) -> list[Action]:
        """`link` gives back `chunks`, which it did not ask for: the answer to `Revoke`."""
        self._now = now
        known = self._links.get(link)
        if known is None:
            return []
        known.revoking = False
        known.barren = not chunks
        # It may be the first to be given them again, being idle itself or the only one who holds them: then it keeps
        # them for a while, or they would go to and fro as fast as reports can be taken.
        known.kept_until = now + END_LOOK_S
        self._release(known, chunks)
        return self._feed()

    def closed(self, link: LinkId, error: HubError | None, returned: RangeSet, *, now: float) -> list[Action]:
        """`link` is no more; `error` says why, None if we closed it. `returned` is what was left of its lease: all that
        it had and did not report is free again in any case."""
        self._now = now
        known = self._links.pop(link, None)
        if known is None:
            return []
        self._release(known, known.lease.snapshot() | returned)
        actions: list[Action] = []
        if isinstance(error, ChunkMismatch | ProtocolViolation):
            actions = self._ban(known.peer, error)
        elif isinstance(error, PeerError):
            if isinstance(error, PeerStalled):
                self._standings.stalled(known.peer, now=now)
            self._standings.lost(known.peer, now=now)
        if not any(other.peer == known.peer and not other.dropping for other in self._links.values()):
            self._availability.forget(known.peer)
        return actions + self._feed()

    def tick(self, *, now: float) -> list[Action]:
        """Time passed: look at who stalls, who may be asked again, and who holds up the end."""
        self._now = now
        actions: list[Action] = []
        for link in self._links.values():
            if link.lease and not link.dropping and now >= self._patience_ends(link):
                silent_s = now - link.pace.progress_at
                error = PeerStalled(f"nothing verified came for {silent_s:.0f} s", peer=str(link.peer))
                self._standings.stalled(link.peer, now=now)
                actions.append(_drop(link, error))
        return actions + self._feed()

    # --- chunks change hands --------------------------------------------------------------------------------------

    def _got(self, link: _Link | None, start: int, stop: int) -> None:
        """Chunks start ..< stop came over `link`."""
        if link is not None:
            runs, size = self._unlease(link, start, stop)
            if runs == [(start, stop)]:  # As granted, and so neither had, nor free, nor leased to another.
                self._had(start, stop, size)
                return
            for run in runs:
                self._picker.put_back(*run)
        # Some came unasked, in the first flight: whoever else they were meant for, they are had now.
        for had in self._missing.within(start, stop):
            self._picker.withdraw(*had)
            for other in self._links.values():
                self._unlease(other, *had)
            self._had(*had, self._table.bytes_of(RangeSet((had,))))

    def _had(self, start: int, stop: int, size: int) -> None:
        self._missing.remove(start, stop)
        self._missing_bytes -= size
        self._verified_bytes += size

    def _unlease(self, link: _Link, start: int, stop: int) -> tuple[list[tuple[int, int]], int]:
        """Take what lies in start ..< stop out of the lease of `link`; return it, and its bytes."""
        runs = link.lease.within(start, stop)
        size = self._table.bytes_of(RangeSet(tuple(runs))) if runs else 0
        for run in runs:
            link.lease.remove(*run)
        link.lease_bytes -= size
        return runs, size

    def _release(self, link: _Link, chunks: RangeSet) -> None:
        """What of `chunks` is leased to `link` is free again."""
        for start, stop in chunks.runs:
            for run in self._unlease(link, start, stop)[0]:
                self._picker.put_back(*run)

    # --- who gets what --------------------------------------------------------------------------------------------

    def _can_work(self, link: _Link) -> bool:
        return not (link.dropping or link.revoking or link.busy_until > self._now)

    def _feed(self) -> list[Action]:
        """Top up every lease that runs low; at the end, let idle links help."""
        if self.complete:
            return []
        hungry = [link for link in self._links.values() if self._can_work(link) and self._is_low(link)]
        if not hungry:
            return []
        # The idle first, the fastest of them first: what was taken from a slow link must not go back to it.
        hungry.sort(key=lambda link: (bool(link.lease), -link.rate(now=self._now)))
        actions: list[Action] = []
        for link in hungry:
            grant = self._grant(link) if self._picker else None
            if grant is not None:
                actions.append(grant)
            elif not link.lease:
                link.place.leave()  # It works nowhere, so its file is anybody's.
                actions += self._help(link)
        return actions

    def _is_low(self, link: _Link) -> bool:
        return link.lease_bytes * 2 < link.pace.lease_bytes

    def _grant(self, link: _Link) -> Grant | None:
        steps = self._steps(link)
        reach = self._reach(link, steps)
        known = (self._availability.version, self._picker.put_back_count, reach)
        if link.dry_at == known:
            return None
        wanted = min(link.pace.lease_bytes - link.lease_bytes, max(limits.BATCH_BYTES_MAX, self._share(link)))
        others = [other.place for other in self._links.values() if other is not link and not other.dropping]
        if reach:
            wanted = min(wanted, limits.BATCH_BYTES_MAX)  # Of what is another's no more than is asked for at once.
        tiers = steps[: reach + 1] or self._availability.tiers(link.peer)
        runs = self._picker.pick(tiers, wanted, link.place, others)
        if not runs:
            link.dry_at = known
            if steps and link.turn.waits_since is None:
                link.turn.waits_since = self._now
            return None
        if steps and runs[0][0] in tiers[0]:
            link.turn.waits_since = None
        if not link.lease:
            link.pace.started(now=self._now)
        chunks = RangeSet.of(runs)
        for run in chunks.runs:
            link.lease.add(*run)
        link.lease_bytes += self._table.bytes_of(chunks)
        link.barren = False
        return Grant(link.id, chunks)

    def _waits_its_turn(self, link: _Link) -> bool:
        """Whether `link` is to one of few that have all, whom many ask."""
        return self._crowd is not None and self.holds_all(link.peer) and not self._availability.is_fellow(link.peer)

    def _steps(self, link: _Link) -> tuple[RangeSet, ...]:
        """Return what `link` may be given step by step; nothing if it need not wait."""
        if self._crowd is None or not self._waits_its_turn(link):
            return ()
        version = (self._availability.version, self._picker.put_back_count)
        return self._crowd.steps(self._picker.snapshot(), self._availability.of_fellows, version=version)

    def _reach(self, link: _Link, steps: tuple[RangeSet, ...]) -> int:
        """Return how many steps beyond its own share `link` may go by now; 0 where there are none."""
        if self._crowd is None or not steps:
            return 0
        return min(link.turn.reach(self._crowd, rate=link.rate(now=self._now), now=self._now), len(steps) - 1)

    def _leave_to_others(self) -> list[Action]:
        """Take back what was granted before it was known that others ask for it first."""
        actions: list[Action] = []
        for link in self._links.values():
            if self._crowd is None or not self._waits_its_turn(link) or link.revoking or link.dropping:
                continue
            if link.lease.snapshot() - self._crowd.share:
                link.revoking = True
                actions.append(Revoke(link.id))
        return actions

    def _share(self, link: _Link) -> int:
        """Return how much of what is free `link` would move if all links ended together."""
        rates = [other.rate(now=self._now) for other in self._links.values() if not other.dropping]
        measured = [rate for rate in rates if rate]
        usual = sum(measured) / len(measured) if measured else 1.0
        total = sum(rate or usual for rate in rates)
        return int(self._picker.free_bytes * (link.rate(now=self._now) or usual) / total)

    # --- the end --------------------------------------------------------------------------------------------------

    def _help(self, idle: _Link) -> list[Action]:
        """`idle` can be given nothing: take the rest of a lease that would end later than `idle` could do a part."""
        steps = self._steps(idle)
        if self._reach(idle, steps) < len(steps) - 1:
            return []  # Whoever holds what is left is on the way to give it.
        late = [
            link
            for link in self._links.values()
            if link.lease and not link.dropping and self._availability.holds_any(idle.peer, link.lease)
        ]
        if any(link.revoking for link in late):
            return []  # One at a time: what comes back may be enough.
        rate = idle.rate(now=self._now)
        batch_s = limits.BATCH_BYTES_MAX / rate if rate else 2 * END_LOOK_S
        late.sort(key=lambda link: link.finish_s(now=self._now), reverse=True)
        for link in late:
            if link.finish_s(now=self._now) > batch_s and not link.barren and self._now >= link.kept_until:
                link.revoking = True
                return [Revoke(link.id)]
        return self._drop_if_hopeless(late[0], idle) if late else []

    def _drop_if_hopeless(self, slow: _Link, idle: _Link) -> list[Action]:
        """All that is left is in flight: if `slow` holds up the end for long and `idle` would not, drop it."""
        if self.capped:
            return []  # What it lacks is our leave to send, and `idle` would get no more of that.
        if self._waits_its_turn(slow):
            return []  # It is slow because many ask it, and who drops it leaves its share undone.
        rate = idle.rate(now=self._now)
        rest_s = slow.finish_s(now=self._now)
        if not rate or slow.peer == idle.peer or not slow.barren:
            return []
        if rest_s < max(SLOW_END_S, SLOW_END_RATIO * slow.lease_bytes / rate):
            return []
        if slow.lease.snapshot() - self._availability.of(idle.peer):
            return []
        self._standings.stalled(slow.peer, now=self._now)
        error = PeerStalled(f"its last {slow.lease_bytes} bytes would take {rest_s:.0f} s", peer=str(slow.peer))
        return [_drop(slow, error)]

    def _patience_ends(self, link: _Link) -> float:
        """Return when `link`, which has a lease, has been silent for too long."""
        alone = not self._availability.held_elsewhere(link.peer, link.lease)
        return link.pace.progress_at + limits.STALL_S * (ALONE_PATIENCE if alone else 1)

    def _ban(self, peer: SourceId, evidence: PeerError) -> list[Action]:
        self._standings.lied(peer, evidence, now=self._now)
        self._availability.forget(peer)
        return [_drop(link, evidence) for link in self._links.values() if link.peer == peer and not link.dropping]


def _drop(link: _Link, error: PeerError) -> Drop:
    link.dropping = True
    return Drop(link.id, error)
