"""A swarm in a few lines, for tests of the session: providers with a rate and a character, in simulated time.

It carries out a session's actions as the carrier would (reports each 50 ms, a window in flight, `Returned` after a
revoke, `Cancelled` after a cancel, `Closed` after a drop), and checks after each that no chunk is granted to one that
does not hold it, to more than two, or while it is had; and that what the session calls written no link still writes.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from math import inf
from random import Random

from p2phub import limits
from p2phub.content import ChunkList, ChunkTable, RangeSet
from p2phub.errors import ChunkMismatch, HubError, PeerError, PeerGone, ProtocolViolation
from p2phub.identity import PeerId
from p2phub.transfer import Action, Backlog, Cancel, Drop, Grant, Revoke, Session
from p2phub.transfer.endgame import TWICE_BYTES_MAX

STEP_S = 0.05


def peer(number: int) -> PeerId:
    """Return a peer as random as a real one: shares of a crowd follow from its key."""
    return PeerId(sha256(b"peer %d" % number).digest())


def table_of(*files: Sequence[int]) -> ChunkTable:
    """A table of files with chunks of these lengths; digests do not matter here."""
    return ChunkTable([ChunkList(array("I", lengths), bytes(32 * len(lengths))) for lengths in files])


def megabytes(*chunks_per_file: int) -> ChunkTable:
    """A table of files of so many chunks of 1 MiB."""
    return table_of(*([limits.MIB] * count for count in chunks_per_file))


def runs(*pairs: tuple[int, int]) -> RangeSet:
    return RangeSet.of(pairs)


def session_of(*chunks_per_file: int, rotation: int = 0) -> tuple[Session, RangeSet]:
    """A session that has nothing yet, and all its chunks."""
    table = megabytes(*chunks_per_file)
    return Session(table, RangeSet(), rotation=rotation, now=0.0), RangeSet.whole(len(table))


def granted(actions: Sequence[Action], link: int) -> RangeSet:
    return RangeSet.of(
        run for each in actions if isinstance(each, Grant) and each.link == link for run in each.chunks.runs
    )


def cancelled(actions: Sequence[Action], link: int) -> RangeSet:
    return RangeSet.of(
        run for each in actions if isinstance(each, Cancel) and each.link == link for run in each.chunks.runs
    )


def dropped(actions: Sequence[Action]) -> dict[int, PeerError]:
    return {each.link: each.error for each in actions if isinstance(each, Drop)}


@dataclass
class Provider:
    """What it says it holds, how fast it is (its links share that), and what is wrong with it: "", "lies", "garbage",
    "stalls", "changed", "not-held", "busy" or "leaves". The fault shows after `good_bytes`."""

    number: int
    held: RangeSet
    rate: float = 100e6
    fault: str = ""
    good_bytes: float = 0.0
    sent: float = 0.0
    busy_times: int = 3  # A "busy" one says so as often on each link.

    @property
    def id(self) -> PeerId:
        return peer(self.number)

    @property
    def honest(self) -> bool:
        return self.fault in ("", "busy")


@dataclass
class SimLink:
    provider: Provider
    lease: RangeSet = field(default_factory=RangeSet)
    unasked: RangeSet = field(default_factory=RangeSet)  # Of what is being cancelled: it will not come.
    vain: RangeSet = field(default_factory=RangeSet)  # Cancelled: it comes all the same, before the rest.
    cancelling: RangeSet = field(default_factory=RangeSet)  # It will be told in a moment that these are cancelled.
    credit: float = 0.0
    said_busy: int = 0


@dataclass
class SyncingDisk:
    """Makes what came durable at `rate` bytes a second, one sync at a time."""

    rate: float
    backlog: Backlog = field(default_factory=Backlog)
    began_at: float = 0.0
    ends_at: float = 0.0

    def look(self, now: float) -> bool:
        """Whether a sync is done by `now`; begin the next if enough came."""
        done = self.backlog.is_syncing and now >= self.ends_at
        if done:
            self.backlog.synced(self.ends_at - self.began_at)
        if not self.backlog.is_syncing and self.backlog.due_bytes >= limits.SYNC_BEGIN_BYTES:
            self.began_at, self.ends_at = now, now + self.backlog.due_bytes / self.rate
            self.backlog.begin()
        return done


class Swarm:
    """A session and its providers. `run` steps until it is complete or nothing can happen any more."""

    def __init__(
        self,
        table: ChunkTable,
        providers: Sequence[Provider],
        *,
        have: RangeSet | None = None,
        rotation: int = 0,
        disk_rate: float = inf,
    ) -> None:
        self.table = table
        self.providers = {provider.id: provider for provider in providers}
        self.now = 0.0
        self.have = self.had_before = have or RangeSet()
        self.disk = SyncingDisk(disk_rate)
        self.ahead_most = 0  # The most that was leased or not durable.
        self.session = Session(table, self.have, rotation=rotation, backlog=self.disk.backlog, now=self.now)
        self.links: dict[int, SimLink] = {}
        self.grants: list[Grant] = []
        self.moved = 0
        self.duplicate = 0
        self.twice_bytes_most = 0
        self.written = RangeSet()
        self._next_link = 0

    def join(self, provider: Provider) -> int:
        link = self._next_link
        self._next_link += 1
        self.links[link] = SimLink(provider)
        self.carry_out(self.session.joined(link, provider.id, provider.held, now=self.now))
        return link

    def carry_out(self, actions: Sequence[Action]) -> None:
        for action in actions:
            link = self.links[action.link]
            match action:
                case Grant(chunks=chunks):
                    assert chunks, "an empty grant"
                    assert not chunks - link.provider.held, f"granted what {link.provider.number} does not hold"
                    assert not chunks & self.have, "granted what is had"
                    assert not chunks & (link.lease | link.vain), "granted again to the same"
                    holders = [other for other in self.links.values() if chunks & other.lease]
                    assert sum(len(chunks & other.lease) for other in holders) <= len(chunks), "three leases of a chunk"
                    assert all(other.provider is not link.provider for other in holders), "asked again of the same"
                    link.lease = link.lease | chunks
                    twice = sum(self.table.bytes_of(other.lease) for other in self.links.values())
                    twice -= self.table.bytes_of(RangeSet.of(r for x in self.links.values() for r in x.lease.runs))
                    self.twice_bytes_most = max(self.twice_bytes_most, twice)
                    self.grants.append(action)
                case Revoke():
                    in_flight = self.in_flight(link)
                    back, link.lease = link.lease - in_flight, in_flight & link.lease
                    self.carry_out(self.session.returned(action.link, back, now=self.now))
                case Cancel(chunks=chunks):
                    assert not chunks - self.have, "cancelled what nobody has"
                    assert not chunks - link.lease, "cancelled what it was not asked for"
                    link.unasked = link.unasked | (chunks - self.in_flight(link))
                    link.lease, link.cancelling = link.lease - chunks, link.cancelling | chunks
                case Drop(error=error):
                    self.close(action.link, error)

    def in_flight(self, link: SimLink) -> RangeSet:
        """What was asked for of its lease: the beginning."""
        return link.lease.first(max(1, int(link.provider.rate * 0.25 // limits.MIB)))

    def close(self, number: int, error: HubError | None) -> None:
        link = self.links.pop(number, None)
        if link is not None:
            self.carry_out(self.session.closed(number, error, link.lease, now=self.now))
            self.note_written()

    def step(self) -> None:
        """Let STEP_S pass: each link moves what its rate allows and reports, as its character is."""
        self.now += STEP_S
        for number in list(self.links):
            if number in self.links:
                self._answer_cancel(number, self.links[number])
            if number in self.links:
                self._move(number, self.links[number])
        leased = sum(self.table.bytes_of(link.lease | link.vain) for link in self.links.values())
        self.ahead_most = max(self.ahead_most, leased + self.disk.backlog.bytes)
        deadline = self.session.deadline()
        if self.disk.look(self.now) or (deadline is not None and deadline <= self.now):
            self.carry_out(self.session.tick(now=self.now))

    def _answer_cancel(self, number: int, link: SimLink) -> None:
        cancelled, link.cancelling = link.cancelling, RangeSet()
        unasked, link.unasked = link.unasked, RangeSet()
        if cancelled:
            link.vain = link.vain | (cancelled - unasked)
            self.carry_out(self.session.cancelled(number, cancelled, unasked, now=self.now))
            self.note_written()

    def note_written(self) -> None:
        """Hear from the session what may be taken for final."""
        written = self.session.take_written()
        assert not written & self.written, "told twice that it is written"
        assert not written - self.have, "written, and not had"
        for link in self.links.values():
            assert not written & (link.lease | link.cancelling), "called final while a link may write it"
        self.written = self.written | written

    def _move(self, number: int, link: SimLink) -> None:
        provider = link.provider
        if not link.lease and not link.vain:
            link.credit = 0.0
            return
        faulty = provider.sent >= provider.good_bytes
        if faulty and self._misbehave(number, link):
            return
        link.credit += provider.rate * STEP_S / sum(other.provider is provider for other in self.links.values())
        vain = 0
        while link.vain and (length := self.table.bytes_of(link.vain.first(1))) <= link.credit:
            link.vain = link.vain - link.vain.first(1)
            link.credit -= length
            vain += length
        count, size = 0, 0
        for start, stop in link.lease.runs if not link.vain else ():
            for index in range(start, stop):
                length = self.table.bytes_of(RangeSet(((index, index + 1),)))
                if size + length > link.credit:
                    break
                size += length
                count += 1
            else:
                continue
            break
        done = link.lease.first(count)
        if done or vain:
            link.credit -= size
            link.lease = link.lease - done
            assert not done & self.have, "what is had was not cancelled"
            self.have = self.have | done
            provider.sent += size + vain
            self.moved += size
            self.duplicate += vain
            self.disk.backlog.came(size + vain)
            self.carry_out(self.session.verified(number, done, size + vain, now=self.now))
            self.note_written()

    def _misbehave(self, number: int, link: SimLink) -> bool:
        if not link.lease:
            return link.provider.fault == "stalls"
        who = str(link.provider.id)
        match link.provider.fault:
            case "lies":
                self.close(number, ChunkMismatch("wrong byte", file="f", chunk=next(iter(link.lease)), peer=who))
            case "garbage":
                self.close(number, ProtocolViolation("too much", peer=who))
            case "leaves":
                self.close(number, PeerGone("gone", peer=who))
            case "stalls":
                pass
            case "changed" | "not-held" as reason:
                refused, link.lease = link.lease.first(3), link.lease - link.lease.first(3)
                self.carry_out(self.session.refused(number, refused, reason, now=self.now))
            case "busy" if link.said_busy < link.provider.busy_times:
                link.said_busy += 1
                refused, link.lease = link.lease, RangeSet()
                self.carry_out(self.session.refused(number, refused, "busy", now=self.now))
            case _:
                return False
        return True

    def dial(self) -> None:
        """Make as many links to each provider as the session wants."""
        for provider in self.providers.values():
            while sum(link.provider is provider for link in self.links.values()) < self.session.links_wanted(
                provider.id
            ):
                self.join(provider)

    def run(self, *, seconds_max: float = 3600.0) -> None:
        while not self.session.complete and self.now < seconds_max:
            self.dial()
            self.step()
            self.check()

    def check(self) -> None:
        """What the session believes is what is so."""
        assert self.session.have == self.have
        assert not self.session.have & self.session.missing
        assert not self.session.complete or self.written == self.session.have - self.had_before
        assert self.twice_bytes_most <= TWICE_BYTES_MAX + limits.CHUNK_BYTES_MAX
        assert self.session.bytes_duplicate == self.duplicate
        for provider in self.providers.values():
            if self.session.banned(provider.id) is not None:
                assert provider.fault in ("lies", "garbage"), "banned, but not guilty"


def random_swarm(random: Random, *, files: int = 5, peers: int = 6) -> Swarm:
    """A table of uneven files, and providers of every character; at least one honest one holds each chunk."""
    table = table_of(
        *(
            [random.choice((random.randint(1, limits.MIB), limits.MIB)) for _ in range(random.choice((0, 1, 3, 40)))]
            for _ in range(random.randint(1, files))
        )
    )
    total = len(table)
    providers = []
    for number in range(1, random.randint(1, peers) + 1):
        fault = random.choice(("", "", "lies", "garbage", "stalls", "changed", "not-held", "busy", "leaves"))
        runs = [(at := random.randint(0, total), random.randint(at, total)) for _ in range(random.randint(1, 4))]
        held = RangeSet.whole(total) if random.random() < 0.4 else RangeSet.of(runs)
        good = random.choice((0.0, 5e6, 1e12 if fault == "" else 20e6))
        providers.append(Provider(number, held, random.choice((1e6, 20e6, 400e6)), fault, good))
    honest = RangeSet.of(run for each in providers if each.honest for run in each.held.runs)
    rest = RangeSet.whole(total) - honest
    if rest:
        providers.append(Provider(99, rest, 30e6))
    have = RangeSet.of([(at := random.randint(0, total), random.randint(at, total))]) if random.random() < 0.3 else None
    return Swarm(table, providers, have=have, rotation=random.randint(0, max(total, 1)))
