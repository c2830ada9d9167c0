"""Who gets what: which link is granted which of the free chunks, and when what was granted is taken back.

A lease is topped up when less than half of it is left; near the end each link gets its share by rate only. When nothing
is free, an idle link takes over what another would not end soon (`endgame`). A link that still owes what is had by now
gets nothing else before that came. In a crowd a link to one that holds all gets this node's own share first, and goes
on to what is another's step by step (`crowd`). The beginning of what somebody waits for goes before all that,
and the rest within it (`soon`). While the disk is far behind nobody gets
anything (`backlog`).

It works on the books of one session, which calls it after each event. Source: proto/transfer.md §5. Lengths are bytes,
times seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from p2phub import limits
from p2phub.content import ChunkTable, RangeSet, Run
from p2phub.identity import PeerId, SourceId
from p2phub.transfer.actions import Action, Grant, LinkId, Revoke
from p2phub.transfer.availability import Availability
from p2phub.transfer.backlog import Backlog
from p2phub.transfer.crowd import WAIT_S, Crowd
from p2phub.transfer.endgame import LOOK_S as END_LOOK_S
from p2phub.transfer.endgame import SLOW_S, TWICE_BYTES_MAX, Endgame, Owing, usual_rate
from p2phub.transfer.leases import Leases
from p2phub.transfer.link import NEVER, Link
from p2phub.transfer.shares import beginnings
from p2phub.transfer.soon import Ahead, Soon

CROWD_LOOK_S = 0.1  # In a crowd, all leases are looked at this often.
URGENT_BYTES = 8 * limits.MIB  # Of what is wanted soon so much is asked for at once in a crowd, too.
FRONT_S = 0.1  # So soon somebody comes to it: it is the front of what they wait for.


class Scheduler:
    """Decides for one session, whose `links` it shares; it owns the crowd, what is wanted soon, and when it looked."""

    def __init__(
        self,
        table: ChunkTable,
        leases: Leases,
        availability: Availability,
        links: Mapping[LinkId, Link],
        backlog: Backlog,
    ) -> None:
        self._table, self._leases, self._availability, self._links = table, leases, availability, links
        self._backlog = backlog
        self._picker = leases.picker
        self._end = Endgame(table, leases, availability)
        self.soon = Soon(table)
        self._urgent = RangeSet()  # Of that what is not left to a crowd.
        self.crowd: Crowd | None = None
        self._fed_at = -math.inf  # When all leases were looked at last;
        self._look_is_due = False  # and whether that is to be done again, since something has happened.

    def late_at(self, link: Link, *, usual: float) -> float:
        """Return when `link`, which owes something, is late; `usual`: the mean rate."""
        return self._end.late_at(link, usual=usual)

    def looks(self, *, owed: bool, now: float) -> list[float]:
        """Return when to `look_again` though nothing happened. `owed`: whether anything is to come over any link."""
        idle = [link for link in self._links.values() if not link.lease]
        helps = owed and (bool(self.soon) or any(_can_work(link, now=now) for link in idle))
        times = [now + END_LOOK_S] if helps or any(map(self._waits_its_turn, idle)) else []
        if self._look_is_due:
            times.append(max(now, self._fed_at + CROWD_LOOK_S))
        return times

    def spread(self, own: PeerId, others: Iterable[PeerId]) -> list[Action]:
        """From here on grant other chunks than `others` ask for: see `Session.spread`."""
        others = frozenset(others)
        before, self.crowd = self.crowd, None
        if others:
            total = len(self._table)
            self.crowd = Crowd(total, own, others, chunk_bytes=self._table.bytes_total / max(1, total))
        if before is not None and self.crowd is not None:
            self.crowd.follow(before)
        self._fed_at = -math.inf
        self._picker.spread(beginnings(len(self._table), own))
        for link in self._links.values():
            link.workplace.leave()
            link.dry_at = NEVER  # Its turn goes on: in a crowd that changes all the time nobody would get one else.
        # What was granted before it was known that others ask for it first.
        return self._take_back(lambda link, crowd: bool(link.lease.snapshot() - crowd.share))

    def leave_to_fellows(self, *, now: float) -> list[Action]:
        """Take back what was not asked for yet, and another requester holds by now."""
        if self.crowd is None:
            return []
        fellows = self._availability.of_fellows
        self.crowd.look(fellows, self._leases.missing.snapshot(), now=now)
        urgent = self._urgent  # It would be asked for again at once.

        def is_theirs(link: Link, crowd: Crowd) -> bool:
            free = not link.barren and now >= link.kept_until and link.lease.meets(fellows)
            return free and not link.lease.meets(urgent)

        return self._take_back(is_theirs)

    def want_soon(self, runs: Sequence[Run], *, now: float) -> list[Action]:
        """Take a hint: see `Session.want_soon`. Take other work from links that would be long at it before this."""
        self.soon.replace(runs)
        self.soon.forget_had(self._leases.missing)
        self._urgent = self.soon.front(self._leases.missing, URGENT_BYTES) if self.soon else RangeSet()
        actions: list[Action] = []
        for link in self._links.values() if self.soon else ():
            if not _can_work(link, now=now) or not link.lease or link.barren or now < link.kept_until:
                continue
            if (not link.pace.rate or link.finish_s(now=now) > SLOW_S) and self._first_soon(
                link, self._ahead(link, now)
            ):
                link.revoking = True
                actions.append(Revoke(link.id))
        return actions

    def _take_back(self, wrong: Callable[[Link, Crowd], bool]) -> list[Action]:
        """Take back the leases of those that many ask where they are `wrong`."""
        actions: list[Action] = []
        for link in self._links.values():
            if self.crowd is None or link.revoking or link.dropping or not self._waits_its_turn(link):
                continue
            if wrong(link, self.crowd):
                link.revoking = True
                actions.append(Revoke(link.id))
        return actions

    def look_again(self, *, capped: bool, now: float) -> list[Action]:
        """Time passed: feed all links, unless that was done a moment ago."""
        if self.crowd is None:
            if now <= self._fed_at:
                return []
        elif now < self._fed_at + CROWD_LOOK_S:
            self._look_is_due = True
            return []
        return self.feed(None, capped=capped, now=now)

    def feed(self, about: SourceId | None, *, capped: bool, now: float) -> list[Action]:
        """Top up every lease that runs low; at the end, let idle links help. `capped`: see `Session.capped`.

        In a crowd so much happens that only the links of whom it is `about` are looked at, and all now and then.
        """
        if self.crowd is None or about is None:
            about, self._fed_at, self._look_is_due = None, now, False
        else:
            self._look_is_due = True
        if not self._leases.bytes_missing:
            return []
        lease_max = self._backlog.lease_bytes_max(len(self._links))
        hungry = [
            link
            for link in self._links.values()
            if (about is None or link.peer == about) and _can_work(link, now=now) and link.is_low(lease_max)
        ]
        if not hungry:
            return []
        # The idle first, the fastest of them first: what was taken from a slow link must not go back to it.
        hungry.sort(key=lambda link: (bool(link.lease), -link.rate(now=now)))
        actions: list[Action] = []
        owing: Owing | None = None
        rates = self._rates(now)
        front = self._front(rates[1])
        for link in hungry:
            more: list[Action] = []
            if front:
                owing = owing or Owing.of(self._links.values(), now=now)
                more = self._end.hasten(link, front, owing, capped=capped, crowd=self.crowd is not None, now=now)
            room = self._room()
            has_room = room >= limits.BATCH_BYTES_MAX
            room = min(room, lease_max - link.lease_bytes)
            if has_room and self._picker and (grant := self._grant(link, rates, room, now)) is not None:
                more.append(grant)
            elif not link.lease and (has_room or not self._backlog.is_behind):
                link.workplace.leave()  # It works nowhere, so its file is anybody's.
                owing = owing or Owing.of(self._links.values(), now=now)
                more += self._help(link, owing, capped, now)
            if more:
                owing = None
                actions += more
        return actions

    @property
    def waits_for_disk(self) -> bool:
        """Whether nothing is granted before more of what came is durable."""
        return self._backlog.is_behind and self._room() < limits.BATCH_BYTES_MAX

    def _room(self) -> float:
        return self._backlog.room(sum(link.lease_bytes for link in self._links.values()))

    def _grant(self, link: Link, rates: tuple[float, float], room: float, now: float) -> Grant | None:
        if not self._picker.may_pick(self._availability.of(link.peer)):
            return None
        ahead = self._ahead(link, now) if self.soon else None
        if ahead is not None and self._first_soon(link, ahead) is not None:
            return self._grant_soon(link, ahead, rates, room, now)
        steps = self._steps(link)
        reach = self._reach(link, steps, now)
        beyond = bool(ahead) and not steps  # All that is wanted soon is left to others.
        known = (self._availability.version, self._picker.put_back_count, reach if steps else -1)
        if link.dry_at == known:
            return None
        share = self._share(link, rates, now)
        wanted = int(min(link.quota_bytes - link.lease_bytes, max(limits.BATCH_BYTES_MAX, share), room))
        others = [other.workplace for other in self._links.values() if other is not link and not other.dropping]
        if 0 < reach < len(steps) - 1:
            wanted = min(wanted, limits.BATCH_BYTES_MAX)  # Of what is another's no more than is asked for at once.
        tiers = steps[: reach + 1] or self._availability.tiers(link.peer)
        if beyond:
            tiers = self.soon.beyond(tiers)
        runs: list[Run] = []
        for tier in steps[: reach + 1] if self.soon else ():
            runs = runs or self.soon.pick(self._picker, tier, Ahead(), wanted, link.workplace)
        runs = runs or self._picker.pick(tiers, wanted, link.workplace, others, onward=beyond)
        if not runs:
            link.dry_at = NEVER if beyond else known
            if steps and link.turn.waits_since is None:
                link.turn.waits_since = now
            return None
        if steps and runs[0][0] in tiers[0]:
            link.turn.waits_since = None
        link.rationed = False
        return self._lease(link, runs, now)

    def _lease(self, link: Link, runs: list[Run], now: float) -> Grant:
        if not link.lease:
            link.pace.started(now=now)
        return Grant(link.id, self._leases.give(link, runs))

    # --- what somebody waits for ----------------------------------------------------------------------------------

    def holds_up_twice(self, link: Link) -> bool:
        """Whether somebody waits for what `link` owes, and another that was asked for it has not given it either."""
        if not self.soon or not self._leases.bytes_twice:
            return False
        return link.lease.meets(self._leases.twice & self._front(0.0))

    def _front(self, rate: float) -> RangeSet:
        """Return what will be waited for within a moment: of all that is wanted soon what comes next, at `rate`."""
        if not self.soon:
            return RangeSet()
        self.soon.forget_had(self._leases.missing)
        size = min(max(int(rate * FRONT_S), limits.BATCH_BYTES_MAX), TWICE_BYTES_MAX)
        return self.soon.front(self._leases.missing, size)

    def _first_soon(self, link: Link, ahead: Ahead) -> Run | None:
        return self.soon.first(self._picker, self._has_soon(link), ahead)

    def _has_soon(self, link: Link) -> RangeSet:
        """Return what of it `link` may be asked for, however many want the same: all of one that need not wait."""
        held = self._availability.of(link.peer)
        return held & self._urgent if self._waits_its_turn(link) else held

    def _ahead(self, link: Link, now: float) -> Ahead:
        """Return what of it `link` leaves to faster ones that are on time."""
        usual = usual_rate(self._links.values())
        others = [
            (other, self._availability.of(other.peer))
            for other in self._links.values()
            if other.pace.rate and other.peer != link.peer
            if _can_work(other, now=now) and not self._end.is_late(other, usual=usual, now=now)
        ]
        if others and self._end.is_late(link, usual=usual, now=now):
            return Ahead(self._table.bytes_total, tuple(held for _, held in others))
        return Ahead.of(link, others, now=now)

    def _grant_soon(
        self, link: Link, ahead: Ahead, rates: tuple[float, float], room: float, now: float
    ) -> Grant | None:
        """Of what is wanted soon there is something for `link`: it gets nothing else, and no more than it soon has."""
        more = min(link.pace.soon_bytes, link.quota_bytes) - link.lease_bytes
        wanted = int(min(more, max(limits.BATCH_BYTES_MAX, self._share(link, rates, now)), room))
        runs = self.soon.pick(self._picker, self._has_soon(link), ahead, wanted, link.workplace)
        if not runs:
            return None
        link.rationed = link.pace.soon_bytes < link.pace.lease_bytes
        return self._lease(link, runs, now)

    def _rates(self, now: float) -> tuple[float, float]:
        """Return the rate to expect of a link that is not measured, and that of all links together."""
        rates = [link.rate(now=now) for link in self._links.values() if not link.dropping]
        measured = [rate for rate in rates if rate]
        usual = sum(measured) / len(measured) if measured else 1.0
        return usual, sum(measured) + usual * (len(rates) - len(measured))

    def _share(self, link: Link, rates: tuple[float, float], now: float) -> int:
        """Return how much of what is free `link` would move if all links ended together."""
        usual, total = rates
        return int(self._picker.free_bytes * (link.rate(now=now) or usual) / total)

    def _waits_its_turn(self, link: Link) -> bool:
        """Whether `link` is to one of few that have all, whom many ask: of as many as ask, each has one to itself. What
        it brings sooner than that is waited for needs nobody else, who would not even be dialled for it."""
        return (
            self.crowd is not None
            and self._availability.is_leader(link.peer)
            and self._availability.leader_count <= self.crowd.others_count
            and self._leases.bytes_missing > link.pace.rate * WAIT_S
        )

    def _steps(self, link: Link) -> tuple[RangeSet, ...]:
        """Return what `link` may be given step by step; nothing if it need not wait."""
        if self.crowd is None or not self._waits_its_turn(link):
            return ()
        version = (self._availability.version, self._picker.put_back_count)
        return self.crowd.steps(self._picker.snapshot(), self._availability.of_fellows, version=version)

    def _reach(self, link: Link, steps: tuple[RangeSet, ...], now: float) -> int:
        """Return how many steps beyond its own share `link` may go by now; 0 where there are none."""
        if self.crowd is None or not steps or (link.owes and not link.pace.rate):
            return 0  # How long its first chunk takes is how long anybody's takes.
        return min(link.turn.reach(self.crowd, rate=link.rate(now=now), now=now), len(steps) - 1)

    def _help(self, idle: Link, owing: Owing, capped: bool, now: float) -> list[Action]:
        """`idle` can be given nothing that is free."""
        # In a crowd, whoever holds what is left is on the way to give it, unless it is late.
        steps = self._steps(idle)
        waits = self._reach(idle, steps, now) < len(steps) - 1
        return self._end.help(idle, owing, capped=capped, crowd=self.crowd is not None, only_late=waits, now=now)


def _can_work(link: Link, *, now: float) -> bool:
    """Whether anything may be granted to `link` now."""
    return not (link.dropping or link.revoking or link.vain_bytes or link.busy_until > now)
