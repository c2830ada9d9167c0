"""The end of a fetch: nothing is free any more, some links are idle, others still owe what is left.

An idle link first has taken back what another was not asked for yet (`Revoke`), from whoever would end last. When all
that is left is under way, the idle one asks for it, too, where its holder is late by its own measured rate, or (not in
a crowd) would take many times as long: then two have it, the first verified copy counts and the other is cancelled. So
a provider that is frozen, dead on its feet or suddenly slow costs about a second, however much it was asked for.

Where somebody reads what comes (`soon`), the same is done for what they read next, long before the end (`hasten`).

No chunk is asked of more than two, and no more than TWICE_BYTES_MAX are under way twice: that, and what is left, bounds
what may come in vain. Source: proto/transfer.md §5; docs/decisions/0063.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec

from p2phub import limits
from p2phub.content import ChunkTable, RangeSet
from p2phub.transfer.actions import Action, Grant, Revoke
from p2phub.transfer.availability import Availability
from p2phub.transfer.leases import Leases
from p2phub.transfer.link import Link

LOOK_S = 0.25  # While a link is idle for want of chunks: how often the slowest lease is looked at again.
TWICE_BYTES_MAX = 8 * limits.MIB
SLOW_S = 0.5  # One that would end later than this, and than SLOW_RATIO times what an idle one takes, is helped out.
SLOW_RATIO = 1.5
SOON_S = 1.0
CROWD_PATIENCE_S = 1.0  # In a crowd one is late by so much more: all its members are busy with each other.
CAPPED_SILENCE_S = limits.STALL_S / 2  # While our own cap bounds all, only this much silence counts as late.


class Owing(msgspec.Struct, frozen=True):
    """Who owes something at one moment: good until a lease changes. `usual`: the mean rate; `slowest`: in how many
    seconds each link will have ended, whoever takes longest first."""

    links: Collection[Link]
    usual: float
    slowest: tuple[tuple[float, Link], ...]

    @classmethod
    def of(cls, links: Collection[Link], *, now: float) -> Owing:
        owing = [(link.finish_s(now=now), link) for link in links if link.lease and not link.dropping]
        owing.sort(key=lambda each: each[0], reverse=True)
        return cls(links, usual_rate(links), tuple(owing))


class Endgame:
    """Decides for one session; owns nothing."""

    def __init__(self, table: ChunkTable, leases: Leases, availability: Availability) -> None:
        self._table, self._leases, self._availability = table, leases, availability

    def help(
        self, idle: Link, owing: Owing, *, capped: bool, crowd: bool = False, only_late: bool = False, now: float
    ) -> list[Action]:
        """`idle` can be given nothing that is free: take over a part of what another would not end soon; `only_late`:
        only of one that is late. In a `crowd` what is sent twice is missed elsewhere: nothing is, but for the late."""

        def may_help(link: Link) -> bool:
            late = not only_late or now >= self.late_at(link, usual=owing.usual) + CROWD_PATIENCE_S
            return late and self._availability.holds_any(idle.peer, link.lease)

        if any(link.revoking and may_help(link) for _, link in owing.slowest):
            return []  # One at a time: what comes back may be enough.
        rate = idle.rate(now=now)
        batch_s = limits.BATCH_BYTES_MAX / rate if rate else 2 * LOOK_S
        for finish_s, link in owing.slowest:
            if finish_s <= batch_s:
                break
            if not link.barren and now >= link.kept_until and may_help(link):
                link.revoking = True
                return [Revoke(link.id)]
        return self._ask_again(idle, owing, may_help, capped=capped, crowd=crowd, now=now)

    def _ask_again(
        self, idle: Link, owing: Owing, may_help: Callable[[Link], bool], *, capped: bool, crowd: bool, now: float
    ) -> list[Action]:
        """All that is left is under way: ask `idle` for some of it, too, if its holder keeps us waiting."""
        room = TWICE_BYTES_MAX - self._leases.bytes_twice
        if room <= 0:
            return []
        usual = owing.usual

        def is_slow(link: Link) -> bool:
            return _is_slow(link, idle, usual=usual, now=now)

        for _, slow in owing.slowest:
            # What came back a moment ago and went there again, since nobody else holds it, is not under way.
            if slow.peer == idle.peer or not (slow.barren or now < slow.kept_until):
                continue
            if not self._is_behind(slow, is_slow, usual, capped=capped, crowd=crowd, now=now) or not may_help(slow):
                continue
            if not idle.pace.rate and self._has_better(slow, owing.links, usual=usual, now=now):
                continue
            held = self._availability.of(idle.peer)
            chunks = self._leases.give_again(idle, slow, held, min(room, idle.quota_bytes))
            if chunks:
                idle.pace.started(now=now)
                return [Grant(idle.id, chunks)]
        return []

    def _is_behind(
        self, slow: Link, is_slow: Callable[[Link], bool], usual: float, *, capped: bool, crowd: bool, now: float
    ) -> bool:
        """Whether `slow` keeps us waiting, so that another may be asked, too: it is late, or `is_slow` says so."""
        if capped:  # What it lacks may be our leave to send; only who gives no sign of life is behind.
            return now - slow.pace.progress_at >= CAPPED_SILENCE_S
        if crowd:
            return now >= self.late_at(slow, usual=usual) + CROWD_PATIENCE_S
        return now >= self.late_at(slow, usual=usual) or is_slow(slow)

    def hasten(
        self, other: Link, wanted: RangeSet, owing: Owing, *, capped: bool, crowd: bool, now: float
    ) -> list[Action]:
        """Somebody waits for `wanted`: where who owes some of it keeps them waiting, take it back, or, if it is under
        way, ask `other` for it, too, which has proved itself. Others than idle ones do that, and while much is free."""
        usual = owing.usual
        wanted &= self._availability.of(other.peer)
        if not wanted or not other.pace.rate or self.is_late(other, usual=usual, now=now):
            return []

        def is_slow(link: Link) -> bool:
            # What is asked for comes in order: of what each owes only what is before it has to come first.
            first = (link.lease.snapshot() & wanted).first(1)
            stop = first.runs[0][1]
            before = self._table.bytes_of(RangeSet(tuple(link.lease.within(0, stop))))
            rest_s = _rest_s(link, before, usual=usual, now=now)
            takes_s = min(other.finish_s(now=now), SOON_S) + self._table.bytes_of(first) / other.rate(now=now)
            return rest_s > takes_s + SLOW_S or rest_s < -SLOW_S

        for _, slow in owing.slowest:
            if slow.peer == other.peer or slow.revoking or not slow.lease.meets(wanted):
                continue
            if not self._is_behind(slow, is_slow, usual, capped=capped, crowd=crowd, now=now):
                continue
            if not slow.barren and now >= slow.kept_until:
                slow.revoking = True
                return [Revoke(slow.id)]
            room = min(TWICE_BYTES_MAX - self._leases.bytes_twice, other.quota_bytes - other.lease_bytes)
            was_idle = not other.lease
            if room > 0 and (chunks := self._leases.give_again(other, slow, wanted, room, front=True)):
                if was_idle:
                    other.pace.started(now=now)
                return [Grant(other.id, chunks)]
        return []

    def is_late(self, link: Link, *, usual: float, now: float) -> bool:
        """Whether something is overdue on `link`."""
        return link.owes and now >= self.late_at(link, usual=usual)

    def late_at(self, link: Link, *, usual: float) -> float:
        """Return when `link`, which owes something, is late."""
        first = link.lease.next_run(0)
        chunk_bytes = self._table.chunk(first[0]).length if first is not None else limits.CHUNK_BYTES_MAX
        return link.pace.late_at(chunk_bytes, usual=usual)

    def _has_better(self, slow: Link, links: Collection[Link], *, usual: float, now: float) -> bool:
        """Whether a link that has proved itself can soon do what an unproven idle one would: that may be as bad."""
        return any(
            link.pace.rate
            and link.peer != slow.peer
            and not link.dropping
            and link.finish_s(now=now) < SOON_S
            and not self.is_late(link, usual=usual, now=now)
            and self._availability.holds_any(link.peer, slow.lease)
            for link in links
        )


def usual_rate(links: Collection[Link]) -> float:
    """Return the mean of the rates that are measured; 0 if none is."""
    measured = [link.pace.rate for link in links if link.pace.rate and not link.dropping]
    return sum(measured) / len(measured) if measured else 0.0


def _is_slow(slow: Link, idle: Link, *, usual: float, now: float) -> bool:
    """Whether `slow`, at the rate that it has shown, would take so much longer for its rest than `idle`, or should be
    done by now."""
    rate = idle.pace.rate
    if not rate:
        return False
    rest_s = _rest_s(slow, slow.lease_bytes, usual=usual, now=now)
    return rest_s > max(SLOW_S, SLOW_RATIO * slow.lease_bytes / rate) or rest_s < -SLOW_S


def _rest_s(link: Link, size: int, *, usual: float, now: float) -> float:
    """How long `link` still takes for the next `size` bytes, at the rate that it has shown, or else the `usual` one;
    less than 0 if they should be here by now."""
    return link.pace.moved_at + size / (link.pace.rate or usual) - now
