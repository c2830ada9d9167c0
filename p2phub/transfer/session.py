"""The state of one fetch: which chunk is had, leased to whom, or free; what happened goes in, what to do comes out.

A session has one owner, the coordinator of the fetch, which feeds it the reports of its links and carries out the
actions it gets back, in order. It knows peers, chunks and rates, and nothing of sockets, disks or tasks. At any time
each chunk is in exactly one of: had, free, leased to one link, leased to two, of which the first is late with it.

    joined held verified refused returned cancelled closed tick   ->   Grant | Revoke | Cancel | Drop

The books of that stand in `leases`, who gets what in `scheduler`, how chunks are chosen in `picker`, what somebody
waits for in `soon`, how many at once in `pace`, who has what in `availability`, what is thought of a peer in
`standing`; here stands what an event means:
  - a link that moves nothing for STALL_S is dropped if another provider holds its chunks, else after three times that;
  - a provable lie bans the peer: all its links are dropped, and it is not asked again.

Source: proto/transfer.md §5. Lengths are bytes, times seconds of any one clock that does not go back.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from p2phub import limits
from p2phub.content import ChunkTable, RangeSet, Run
from p2phub.errors import ChunkMismatch, HubError, PeerError, PeerStalled, ProtocolViolation
from p2phub.identity import PeerId, SourceId
from p2phub.transfer.actions import Action, LinkId, Revoke
from p2phub.transfer.availability import Availability
from p2phub.transfer.backlog import Backlog
from p2phub.transfer.crowd import Crowd
from p2phub.transfer.endgame import LOOK_S as END_LOOK_S
from p2phub.transfer.endgame import usual_rate
from p2phub.transfer.leases import Leases
from p2phub.transfer.link import BUSY_RETRY_S, Link, LinkNow
from p2phub.transfer.scheduler import Scheduler
from p2phub.transfer.standing import Standings

LINK_WORTH_BYTES = 8 * limits.MIB  # Less than this is fetched sooner than a further connection is made,
LINK_PAYS_S = 1.0  # if it comes within this time.
FAR_S = (
    0.03  # Of a longer round trip, what one connection may have under way bounds it: 2.7 MB, from Linux as it comes.
)
FAR_LINK_BYTES = 768 * limits.KIB  # So there is a link for each of these that are under way from a peer so far.
FAR_LINKS = 6  # So many at least, if the rest is worth them, all at once: each takes ten round trips to be of full use.
LOOK_S = 1.0  # While anything is leased, `tick` is due at least this often: silence lowers the rates.
LONG_S = 10.0  # A rest that takes longer is worth trying others for.
HARDLY = 8  # So many times slower than usual is a link that others might do better than.
STALL_SOON_S = 4.0  # In place of STALL_S, if somebody waits and the other who was asked is no better; see `soon`.
ALONE_PATIENCE = 3  # Times STALL_S, where no other provider could do better.


class _Up(msgspec.Struct, frozen=True):
    """The links that are up: how many in all and to each peer; of those, to peers that hold something for us; whether
    they are `slow`, and whether there are chunks that nobody holds (`short`)."""

    count: int
    counts: Counter[SourceId]
    useful: Counter[SourceId]
    slow: bool
    short: bool


class Session:
    """One fetch of one manifest. See the module."""

    def __init__(
        self,
        table: ChunkTable,
        have: RangeSet,
        *,
        wanted: RangeSet | None = None,
        rotation: int = 0,
        standings: Standings | None = None,
        backlog: Backlog | None = None,
        now: float,
    ) -> None:
        """`have`: verified chunks on this disk. `wanted`: what to fetch, None: all; what is not wanted is neither
        missing nor had. `rotation`: the chunk to start at. `standings`: of the fetch, which may know of its peers from
        before the session; whoever brings links up tells it where peers were met. `backlog`: what of it is not durable
        yet, kept by whoever writes and syncs; None: nothing waits for a disk."""
        self._table = table
        self._everything = RangeSet.whole(len(table))
        self._wanted = (self._everything if wanted is None else wanted) | have
        self._unwanted = RangeSet()  # Missing, leased, and not wanted any more.
        self._leases = Leases(table, self._wanted - have, rotation=rotation)
        self._availability = Availability(len(table))
        self._links: dict[LinkId, Link] = {}
        backlog = Backlog.unbounded() if backlog is None else backlog
        self._scheduler = Scheduler(table, self._leases, self._availability, self._links, backlog)
        self._standings = Standings() if standings is None else standings
        self._received: dict[SourceId, int] = {}
        self._now = now
        self._up: _Up | None = None  # Looked at once between two things that happen.
        self._hopes: dict[SourceId, int] = {}
        self._hopes_for: tuple[Crowd | None, tuple[int, int]] = (None, (-1, -1))
        self.capped = False
        """Whether our own cap, not the providers, is what bounds the fetch now: then none of them is called slow."""

    # --- what is known --------------------------------------------------------------------------------------------

    @property
    def complete(self) -> bool:
        """Whether every chunk that is wanted is had, and no link may still write any of them."""
        return not self._leases.bytes_missing and self._leases.all_settled

    @property
    def have(self) -> RangeSet:
        return self._wanted - self.missing

    @property
    def missing(self) -> RangeSet:
        """Every chunk that is wanted and not had, leased or not."""
        return self._leases.missing.snapshot()

    def take_written(self) -> RangeSet:
        """Return the chunks that are had and that no link will write any more, and were not before the last call: what
        the disk may take for final. A chunk that two links had comes later than it counts as verified."""
        return self._leases.take_written()

    def holds_all(self, peer: SourceId) -> bool:
        """Whether `peer` says, or once said, that it holds every chunk: it is no requester, whatever became of it."""
        return peer in self._availability.complete

    def holds_missing(self, peer: SourceId) -> bool:
        """Whether `peer` has something for us, leased or not."""
        return self._availability.holds_any(peer, self._leases.missing)

    def hold_missing(self, peers: Iterable[SourceId]) -> bool:
        """Whether `peers` hold, together, all that is missing, leased or not."""
        held = RangeSet.of(run for peer in peers for run in self._availability.of(peer).runs)
        return not self.missing - held

    def hardly_moves(self, link: LinkId, *, now: float) -> bool:
        """Whether `link` owes what others hold, too, and gives it at a small part of the rate that is usual here by
        now: where all are silent none is. One that has not given anything yet has until it is late."""
        known = self._links.get(link)
        if known is None or known.dropping or not known.lease or self.capped:
            return False
        rates = [each.rate(now=now) for each in self._links.values() if each.pace.rate and not each.dropping]
        usual = sum(rates) / len(rates) if rates else 0.0
        if not self._availability.held_elsewhere(known.peer, known.lease):
            return False
        if not known.pace.rate:  # Whatever it said meanwhile, such as that it has not got this either.
            return now - known.joined_at >= self._scheduler.late_at(known, usual=usual) - known.pace.moved_at
        return known.rate(now=now) * HARDLY < usual

    def says_busy(self, link: LinkId) -> bool:
        """Whether the last that `link` did was to refuse what it was asked for as busy."""
        known = self._links.get(link)
        return known is not None and known.says_busy

    def slowest(self, *, now: float, of_several: bool = False) -> LinkId | None:
        """Return the link that brings least of those whose lease could come over another, since its peer has several
        (`of_several`: of these alone) or other peers hold it, too, if the rest will take long."""
        links = [link for link in self._links.values() if not link.dropping]
        rate = sum(link.rate(now=now) for link in links)
        if self.capped or self._leases.bytes_missing < rate * LONG_S:
            return None
        counts = Counter(link.peer for link in links)
        owing = [
            link
            for link in links
            if counts[link.peer] > 1
            or (not of_several and link.lease and self._availability.held_elsewhere(link.peer, link.lease))
        ]
        return min(owing, key=lambda link: link.rate(now=now)).id if owing else None

    def hoped_from(self, peer: SourceId) -> int:
        """Return how many missing chunks `peer`, a requester, may soon have for us: those that it asks for first, and
        that no requester we are joined to holds."""
        return self.hopes().get(peer, 0)

    def hopes(self) -> Mapping[SourceId, int]:
        """Return what `hoped_from` says of each requester, this node included; of those only of whom it is any."""
        crowd = self._scheduler.crowd
        version = (self._availability.version, self._leases.bytes_missing)
        if self._hopes_for != (crowd, version):
            unseen = self.missing - self._availability.of_fellows if crowd is not None else RangeSet()
            first = crowd.first if crowd is not None and unseen else {}
            self._hopes = {peer: count for peer, chunks in first.items() if (count := len(chunks & unseen))}
            self._hopes_for = (crowd, version)
        return self._hopes

    @property
    def unavailable(self) -> RangeSet:
        """The missing chunks that no joined provider holds, or that all who held them refused."""
        return RangeSet() if self._availability.anyone_holds_all else self.missing - self._availability.of_anyone

    @property
    def waits_for_disk(self) -> bool:
        """Whether nothing is granted before more of what came is durable."""
        return self._scheduler.waits_for_disk

    @property
    def bytes_verified(self) -> int:
        """Bytes of the chunks verified since the session began; no chunk counts twice."""
        return self._leases.bytes_verified

    @property
    def bytes_missing(self) -> int:
        return self._leases.bytes_missing

    @property
    def bytes_duplicate(self) -> int:
        """Payload that came when it was had already: what two were asked for at the end."""
        return self._leases.bytes_duplicate

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
        usual = usual_rate(self._links.values())
        return tuple(
            link.now(late_at=self._scheduler.late_at(link, usual=usual), now=now)
            for link in self._links.values()
            if not link.dropping
        )

    def banned(self, peer: SourceId) -> PeerError | None:
        """Return the proof that `peer` lied, or None."""
        return self._standings.evidence(peer)

    @property
    def links_max(self) -> int:
        """How many links there should be at most."""
        return limits.BULK_THREADS_MAX if self._scheduler.crowd is None else limits.CROWD_LINKS_MAX

    def links_wanted(self, peer: SourceId, *, trip_s: float = 0.0) -> int:
        """Return how many links to `peer`, joined or not, there should be now, those that are open included. `trip_s`:
        the shortest round trip seen to it.

        Two while there are up to two providers, six and more if it is far; else, and in a crowd, one; 0 for one that
        lied or was lost just now, and while there are others for one that stalled lately or has nothing for us. Ask
        again after each event. No more in all than `links_max`, nor than the rest is worth: where it will be done soon,
        a further connection comes too late.
        """
        if self.complete or self._standings.rests(peer, now=self._now):
            return 0
        up = self._up = self._up or self._look_at_links()
        own = up.counts[peer]
        others = up.count - own
        room = self.links_max - others
        if self.waits_for_disk:
            room = min(room, own)
        if room <= 0:
            return 0
        if others:
            if self._standings.shunned(peer, now=self._now):
                return 0
            if peer in self._availability and not self.holds_missing(peer):
                return 0
        # In a crowd many will be useful. A second link waits for what the first brings: where many make that slow, they
        # are known by then.
        few = trip_s >= FAR_S or self._received.get(peer, 0) >= LINK_WORTH_BYTES
        few = few and self._scheduler.crowd is None
        few = few and len(up.useful.keys() - {peer}) <= 1
        if not up.slow:
            worth = max(1, self._leases.bytes_missing // LINK_WORTH_BYTES) - (up.useful.total() - up.useful[peer])
            room = min(room, max(worth, 1) if up.short else worth)
        return max(0, min(self._few(peer, trip_s) if few else 1, room))

    def _few(self, peer: SourceId, trip_s: float) -> int:
        """Return how many links to `peer`, one of at most two providers, there should be."""
        if trip_s < FAR_S:
            return 2
        rate = sum(link.pace.rate for link in self._links.values() if link.peer == peer)
        at_once = min(FAR_LINKS, self._leases.bytes_missing // LINK_WORTH_BYTES)
        return max(2, at_once, int(rate * trip_s / FAR_LINK_BYTES))

    def _look_at_links(self) -> _Up:
        links = [link for link in self._links.values() if not link.dropping]
        counts = Counter(link.peer for link in links)
        useful = Counter({peer: count for peer, count in counts.items() if self.holds_missing(peer)})
        return _Up(len(links), counts, useful, self._is_slow(links), bool(self.unavailable))

    def _is_slow(self, links: list[Link]) -> bool:
        """Whether `links` would take longer for the rest than a further connection does to make itself useful."""
        # What an idle one did, and has nothing more to do, says nothing of the rest.
        rates = [link.rate(now=self._now) for link in links if link.owes or self.holds_missing(link.peer)]
        young = any(not link.pace.rate and self._now - link.pace.progress_at < LOOK_S for link in links)
        return bool(links) and not young and self._leases.bytes_missing > sum(rates) * LINK_PAYS_S

    def deadline(self) -> float | None:
        """Return when `tick` is due next, None if nothing is waited for."""
        owing = [link for link in self._links.values() if link.owes and not link.dropping]
        times = self._scheduler.looks(owed=bool(owing), now=self._now)
        if owing:
            look_at = self._now + LOOK_S
            times += [look_at, *(self._patience_ends(link, before=look_at) for link in owing)]
        later = [link.busy_until for link in self._links.values()]
        if not self.complete:  # `links_wanted` has a new answer then.
            later += self._standings.rests_end()
        return min(times + [time for time in later if time > self._now], default=None)

    def spread(self, own: PeerId, others: Iterable[PeerId]) -> list[Action]:
        """From here on ask for other chunks than `others`, who fetch the same thing, as far as that can be told, so
        that requesters can serve each other. `own` is this node. With no others known it begins at a place of its own
        all the same: those who will be known in a moment begin now, too."""
        self._up = None
        return self._scheduler.spread(own, others)

    def want_soon(self, chunks: Sequence[Run], *, now: float) -> list[Action]:
        """From here on ask for `chunks` before all else: runs start ..< stop, in the order in which they are wanted. An
        empty sequence is no hint; a new one replaces the last. See `soon` for what of a very long one is kept."""
        self._at(now)
        return self._scheduler.want_soon(chunks, now=now) + self._feed()

    def want_only(self, chunks: RangeSet, *, now: float) -> list[Action]:
        """From here on fetch `chunks`, as far as they are not had, and nothing else. What is had stays so. What nobody
        wants any more, and was not asked for yet, is taken back from who was to ask for it; what is under way comes."""
        self._at(now)
        missing = self.missing
        self._leases.want(chunks - self._wanted)
        self._unwanted = missing - chunks
        self._wanted |= chunks
        actions: list[Action] = []
        for link in self._links.values() if self._unwanted else ():
            if link.lease.meets(self._unwanted) and not (link.revoking or link.dropping):
                link.revoking = True
                actions.append(Revoke(link.id))
        return actions + self._feed()

    def _forget_unwanted(self) -> None:
        """Let go of what is not wanted any more and nobody has to bring."""
        came = self._unwanted - self.missing
        self._leases.forget(self._unwanted)
        still = self._unwanted & self.missing
        self._wanted -= self._unwanted - came - still
        self._unwanted = still

    def _at(self, now: float) -> None:
        """Something happens now."""
        self._now, self._up = now, None

    # --- what happens ---------------------------------------------------------------------------------------------

    def joined(self, link: LinkId, peer: SourceId, held: RangeSet, *, now: float) -> list[Action]:
        """A new link to `peer` answered; `held` is what it says it can serve."""
        self._at(now)
        known = self._links[link] = Link(link, peer, now=now)
        self._received.setdefault(peer, 0)
        ban = self.banned(peer)
        if ban is not None:
            return [known.drop(ban)]
        known.on_parole = self._is_on_parole(peer)
        self._availability.learn(peer, held)
        return self._feed(peer)

    def held(self, link: LinkId, held: RangeSet, *, now: float) -> list[Action]:
        """The provider at `link` tells anew what it can serve."""
        self._at(now)
        known = self._links.get(link)
        if known is None or known.dropping:
            return []
        self._availability.learn(known.peer, held)
        return self._scheduler.leave_to_fellows(now=now) + self._feed(known.peer)

    def verified(self, link: LinkId, chunks: RangeSet, bytes_moved: int, *, now: float) -> list[Action]:
        """`chunks` came over `link`, `bytes_moved` together, and are what the publisher signed."""
        self._at(now)
        known = self._links.get(link)
        if known is not None:
            known.pace.moved(bytes_moved, now=now)
            known.busy_s = BUSY_RETRY_S
            self._received[known.peer] += bytes_moved
            self._standings.delivered(known.peer)
            if known.on_parole:
                known.on_parole = self._is_on_parole(known.peer)
        before = self._leases.bytes_verified
        actions: list[Action] = []
        for start, stop in chunks.runs:
            actions += self._leases.got(known, start, stop, self._links.values())
        self._came_in_vain(known, bytes_moved - (self._leases.bytes_verified - before))
        if known is not None and not known.lease and self._leases.picker and not (known.rationed or known.on_parole):
            known.pace.ran_dry()
        return actions + self._feed(known.peer if known is not None else None)

    def _came_in_vain(self, link: Link | None, count: int) -> None:
        if count > 0:
            self._leases.bytes_duplicate += count
            if link is not None:
                link.vain_bytes = max(0, link.vain_bytes - count)

    def refused(self, link: LinkId, chunks: RangeSet, reason: str, *, now: float) -> list[Action]:
        """The provider will not give `chunks`: "busy" for now, anything else (see `wire.REASONS`) because it has not
        got them (any more). No fault of the peer."""
        self._at(now)
        known = self._links.get(link)
        if known is None:
            return []
        known.pace.progress_at = known.pace.moved_at = now
        self._will_not_come(known, chunks - known.lease.snapshot())
        self._leases.release(known, chunks)
        if reason == "busy":
            known.said_busy(now=now)
        else:
            self._availability.refuse(known.peer, chunks, for_good=reason != "not-held")
        return self._feed()

    def returned(self, link: LinkId, chunks: RangeSet, *, now: float) -> list[Action]:
        """`link` gives back `chunks`, which it did not ask for: the answer to `Revoke`."""
        self._at(now)
        known = self._links.get(link)
        if known is None:
            return []
        known.revoking = False
        known.barren = not chunks
        # It may be the first to be given them again, being idle itself or the only one who holds them: then it keeps
        # them for a while, or they would go to and fro as fast as reports can be taken.
        known.kept_until = now + END_LOOK_S
        self._will_not_come(known, chunks - known.lease.snapshot())
        self._leases.release(known, chunks)
        return self._feed()

    def cancelled(self, link: LinkId, chunks: RangeSet, unasked: RangeSet, *, now: float) -> list[Action]:
        """`link` will write nothing of `chunks`: the answer to `Cancel`. Their bytes still come, but for `unasked`."""
        self._at(now)
        known = self._links.get(link)
        if known is None:
            return []
        self._will_not_come(known, unasked)
        self._leases.settle(known, chunks, self._links.values())
        return self._feed(known.peer)

    def _will_not_come(self, link: Link, had: RangeSet) -> None:
        """Chunks that are had by now, and that `link` was to be told to leave, are not under way on it."""
        link.vain_bytes = max(0, link.vain_bytes - self._table.bytes_of(had & self._everything))
        self._leases.settle(link, had, self._links.values())

    def closed(self, link: LinkId, error: HubError | None, returned: RangeSet, *, now: float) -> list[Action]:
        """`link` is no more; `error` says why, None if we closed it. `returned` is what was left of its lease: all that
        it had and did not report is free again in any case."""
        self._at(now)
        known = self._links.pop(link, None)
        if known is None:
            return []
        self._leases.settle(known, known.unsettled.snapshot(), self._links.values())
        self._leases.release(known, known.lease.snapshot() | returned)
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
        self._at(now)
        actions: list[Action] = []
        for link in self._links.values():
            if link.owes and not link.dropping and self._patience_ends(link, before=now) <= now:
                silent_s = now - link.pace.progress_at
                error = PeerStalled(f"nothing verified came for {silent_s:.0f} s", peer=str(link.peer))
                self._standings.stalled(link.peer, now=now)
                actions.append(link.drop(error))
        return actions + self._scheduler.look_again(capped=self.capped, now=now)

    def _feed(self, about: SourceId | None = None) -> list[Action]:
        if self._unwanted:
            self._forget_unwanted()
        return self._scheduler.feed(about, capped=self.capped, now=self._now)

    def _patience_ends(self, link: Link, *, before: float) -> float:
        """Return when `link`, which owes something, has been silent for too long; inf if that is not by `before`."""
        stall_s = STALL_SOON_S if self._scheduler.holds_up_twice(link) else limits.STALL_S
        ends = link.pace.progress_at + stall_s
        if ends > before:
            return math.inf
        owed = link.lease or link.unsettled  # Else what comes in vain: it is not missed, but nor is the link.
        alone = bool(owed) and not self._availability.held_elsewhere(link.peer, owed)
        return link.pace.progress_at + limits.STALL_S * ALONE_PATIENCE if alone else ends

    def _ban(self, peer: SourceId, evidence: PeerError) -> list[Action]:
        self._standings.lied(peer, evidence, now=self._now)
        self._availability.forget(peer)
        actions: list[Action] = []
        for link in self._links.values():
            if link.dropping:
                continue
            if link.peer == peer:
                actions.append(link.drop(evidence))
            elif not link.on_parole and self._is_on_parole(link.peer):
                link.on_parole = True
                if link.lease_bytes > link.quota_bytes and not link.revoking:
                    link.revoking = True
                    actions.append(Revoke(link.id))
        return actions

    def _is_on_parole(self, peer: SourceId) -> bool:
        return self._standings.on_parole(peer, given=self._received.get(peer, 0))
