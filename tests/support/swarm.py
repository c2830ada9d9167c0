"""A swarm in a few lines, for tests of the session: providers with a rate and a character, in simulated time.

It carries out a session's actions as the carrier would (reports each 50 ms, a window in flight, `Returned` after a
revoke, `Closed` after a drop), and checks after each that no chunk is granted twice, or to one that does not hold it.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from p2phub import limits
from p2phub.content import ChunkList, ChunkTable, RangeSet
from p2phub.errors import ChunkMismatch, HubError, PeerGone, ProtocolViolation
from p2phub.identity import PeerId
from p2phub.transfer import Action, Drop, Grant, Revoke, Session

STEP_S = 0.05


def peer(number: int) -> PeerId:
    return PeerId(number.to_bytes(32, "big"))


def table_of(*files: Sequence[int]) -> ChunkTable:
    """A table of files with chunks of these lengths; digests do not matter here."""
    return ChunkTable([ChunkList(array("I", lengths), bytes(32 * len(lengths))) for lengths in files])


def megabytes(*chunks_per_file: int) -> ChunkTable:
    """A table of files of so many chunks of 1 MiB."""
    return table_of(*([limits.MIB] * count for count in chunks_per_file))


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
    credit: float = 0.0
    said_busy: int = 0


class Swarm:
    """A session and its providers. `run` steps until it is complete or nothing can happen any more."""

    def __init__(
        self, table: ChunkTable, providers: Sequence[Provider], *, have: RangeSet | None = None, rotation: int = 0
    ) -> None:
        self.table = table
        self.providers = {provider.id: provider for provider in providers}
        self.now = 0.0
        self.have = have or RangeSet()
        self.session = Session(table, self.have, rotation=rotation, now=self.now)
        self.links: dict[int, SimLink] = {}
        self.grants: list[Grant] = []
        self.moved = 0
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
                    for other in self.links.values():
                        assert not chunks & other.lease, "two leases of one chunk"
                    link.lease = link.lease | chunks
                    self.grants.append(action)
                case Revoke():
                    in_flight = link.lease.first(max(1, int(link.provider.rate * 0.25 // limits.MIB)))
                    back, link.lease = link.lease - in_flight, in_flight & link.lease
                    self.carry_out(self.session.returned(action.link, back, now=self.now))
                case Drop(error=error):
                    self.close(action.link, error)

    def close(self, number: int, error: HubError | None) -> None:
        link = self.links.pop(number, None)
        if link is not None:
            self.carry_out(self.session.closed(number, error, link.lease, now=self.now))

    def step(self) -> None:
        """Let STEP_S pass: each link moves what its rate allows and reports, as its character is."""
        self.now += STEP_S
        for number in list(self.links):
            if number in self.links:
                self._move(number, self.links[number])
        deadline = self.session.deadline()
        if deadline is not None and deadline <= self.now:
            self.carry_out(self.session.tick(now=self.now))

    def _move(self, number: int, link: SimLink) -> None:
        provider = link.provider
        if not link.lease:
            link.credit = 0.0
            return
        faulty = provider.sent >= provider.good_bytes
        if faulty and self._misbehave(number, link):
            return
        link.credit += provider.rate * STEP_S / sum(other.provider is provider for other in self.links.values())
        count, size = 0, 0
        for start, stop in link.lease.runs:
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
        if done:
            link.credit -= size
            link.lease = link.lease - done
            assert not done & self.have, "fetched twice"
            self.have = self.have | done
            provider.sent += size
            self.moved += size
            self.carry_out(self.session.verified(number, done, size, now=self.now))

    def _misbehave(self, number: int, link: SimLink) -> bool:
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
            case "busy" if link.said_busy < 3:
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
