"""The DHT, event by event, for up to 10^5 nodes: the code of `p2phub.discovery` on a modelled network.

As shipped: `Lookup`, `RoutingTable`, `Server` with its `ProviderRecords` and allowances, `AnnounceSchedule`, messages,
keys and positions. Modelled: how long an answer takes; who is online (`churn`); what `net.libp2p_dht` does with all
that (six questions at once, the time limits, ADD_PROVIDER and GET_PROVIDERS on one stream); and how a table came to be.
That of a node is drawn when somebody first asks it, and again after ROUTING_REFRESH_S: a bucket was looked into at some
earlier moment, the longer ago the rarer lookups lead there, and names who was online then. So 10^5 nodes cost no more
than those that are asked. Seconds, except for churn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from p2phub import limits
from p2phub.content import Digest
from p2phub.discovery import (
    AnnounceSchedule,
    Contact,
    Kind,
    Lookup,
    Question,
    Reply,
    RoutingTable,
    Server,
    peer_position,
    position,
    provider_key,
)
from p2phub.identity import Address, PeerId
from simnet.models.agenda import Agenda
from simnet.models.churn import Churn, Sessions

COLD_RTT = 8.5  # Round trips of a connection, a stream and one question, measured with libp2p 0.8.1;
WARM_RTT = 1.0  # and of one more question on the same stream.
HALF_RTT_S = 0.04  # Median of a node's part of a round trip, and the spread of its logarithm.
HALF_RTT_SPREAD = 0.5
PORT = 4717
HOUR_S = 3600.0


@dataclass
class _Process:
    """A node while it is online: what it keeps in memory."""

    session: int
    table: RoutingTable
    server: Server
    table_until: float


class Network:
    """All nodes of the DHT. `answered` counts what each was asked."""

    def __init__(self, nodes: int, churn: Churn, hours: float, rng: np.random.Generator) -> None:
        self.agenda = Agenda()
        self._rng = rng
        found = [PeerId(rng.bytes(32)) for _ in range(nodes)]
        self.peers = sorted(found, key=peer_position)
        # One private address for all: limits by network have nothing to do with this model.
        self.contacts = [Contact(peer, (Address("10.0.0.1", PORT),)) for peer in self.peers]
        self._number = {peer: number for number, peer in enumerate(self.peers)}
        # The first 64 bits tell nodes apart, and a bucket is a slice of them.
        self._positions = np.array([peer_position(peer) >> 192 for peer in self.peers], np.uint64)
        self._sessions = Sessions(nodes, churn, hours, rng)
        self._half_rtt_s = HALF_RTT_S * np.exp(rng.normal(0, HALF_RTT_SPREAD, nodes))
        self._near = max(0, int(np.log2(max(1.0, nodes / limits.DHT_REPLICATION))))
        self._processes: dict[int, _Process] = {}
        self.answered = np.zeros(nodes, np.int64)

    @property
    def now(self) -> float:
        return self.agenda.now

    def anybody(self) -> tuple[int, RoutingTable]:
        """Return a node that is online, and its table: where a client begins."""
        while True:
            number = int(self._rng.integers(len(self.peers)))
            process = self._process(number)
            if process is not None:
                return number, process.table

    def rtt_s(self, peer: PeerId) -> float:
        return float(self._half_rtt_s[self._number[peer]]) + HALF_RTT_S

    def ask(self, peer: PeerId, asker: PeerId, *questions: Question) -> tuple[Reply, ...] | None:
        """Return the answers of `peer` at this moment; None if it is not there, or refuses one."""
        number = self._number[peer]
        process = self._process(number)
        if process is None:
            return None
        replies = []
        for question in questions:
            self.answered[number] += 1
            reply = process.server.answer(question, asker, "10.0.0.2", now=self.now, wall_now=self.now)
            if reply is None:
                return None
            replies.append(reply)
        return tuple(replies)

    def holders(self, key: bytes) -> set[int]:
        """Return the nodes that are online and hold a record of `key`."""
        return {
            number for number, process in self._running().items() if process.server.providers.get(key, now=self.now)
        }

    def nearest(self, key: bytes) -> set[int]:
        """Return the nodes nearest to `key` of those that are online: where its records belong."""
        by_distance = np.argsort(self._positions ^ np.uint64(position(key) >> 192))
        online = self._sessions.online(by_distance, np.full(len(by_distance), self.now / HOUR_S))
        return set(by_distance[online][: limits.DHT_REPLICATION].tolist())

    def records_held(self) -> list[int]:
        """Return how many records each node holds that has been asked and is online."""
        return [len(process.server.providers) for process in self._running().values()]

    def _running(self) -> dict[int, _Process]:
        hour = self.now / HOUR_S
        return {
            number: process
            for number, process in self._processes.items()
            if self._sessions.session(number, hour) == process.session
        }

    def _process(self, number: int) -> _Process | None:
        """Return the process of a node; None if it is offline. A new session begins without records."""
        session = self._sessions.session(number, self.now / HOUR_S)
        known = self._processes.get(number)
        if session is None:
            return None
        if known is None or known.session != session:
            table = RoutingTable(self.peers[number])
            server = Server(self.peers[number], table, seed=self.peers[number].public_key)
            known = self._processes[number] = _Process(session, table, server, -1.0)
        if self.now >= known.table_until:
            self._draw_table(number, known.table)
            known.table_until = self.now + limits.ROUTING_REFRESH_S
        return known

    def _draw_table(self, number: int, table: RoutingTable) -> None:
        """Bring `table` to what it may be now: strike who is gone, offer who was met."""
        own = self._positions[number]
        shared = np.arange(64, dtype=np.uint64)
        bit = np.uint64(1) << (np.uint64(63) - shared)
        low = np.searchsorted(self._positions, (own ^ bit) & ~(bit - np.uint64(1)), side="left")
        high = np.searchsorted(self._positions, (own ^ bit) | (bit - np.uint64(1)), side="right")
        present = np.flatnonzero(high > low)
        members = [self._some(int(low[bucket]), int(high[bucket])) for bucket in present]
        drawn = np.concatenate(members)
        mean_s = np.repeat(self._looked_at_s(present), [len(each) for each in members])
        met_s = np.maximum(0.0, self.now - self._rng.exponential(mean_s))
        online = self._sessions.online(drawn, met_s / HOUR_S)
        was_there = dict(zip(drawn.tolist(), online.tolist(), strict=True))
        for contact in table.closest(peer_position(self.peers[number]), len(table)):
            if not was_there.get(self._number[contact.peer], True):
                table.failed(contact.peer)
                table.failed(contact.peer)
        for member, there in was_there.items():
            if there:
                table.proved(self.contacts[member], now=self.now)

    def _some(self, low: int, high: int) -> NDArray[np.int64]:
        """Return nodes of a slice in no order: all if it is small, else some more than a bucket can take."""
        if high - low <= 3 * limits.DHT_REPLICATION:
            return low + self._rng.permutation(high - low)
        return self._rng.integers(low, high, 3 * limits.DHT_REPLICATION // 2)

    def _looked_at_s(self, buckets: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how long ago on average each of `buckets` was looked into.

        Of two lookups in ten minutes one is for a random key, and comes to bucket b once in 2^(b+1); the other is for
        the node itself, and comes to those nearest.
        """
        times = np.where(buckets < self._near, 2.0 ** (buckets + 1), 0.5)
        return np.asarray(limits.ROUTING_REFRESH_S * times)


class Walk:
    """One lookup on its way, of a client with its own key, as `net.libp2p_dht` drives it. `then` is called at its end.

    `hops`: how many questions deep the nearest node lay; `providers`: when each was first named.
    """

    def __init__(self, network: Network, own: PeerId, question: Question, then: Callable[[Walk], None]) -> None:
        self.began = network.now
        self.asked = self.failed = 0
        self.providers: dict[PeerId, float] = {}
        self._network, self._own, self._question, self._then = network, own, question, then
        number, table = network.anybody()
        target = position(question.key)
        seeds = table.closest(target, limits.DHT_REPLICATION) or (network.contacts[number],)
        self._depth = {contact.peer: 1 for contact in seeds}
        self.lookup = Lookup(target, own, seeds)
        self._ended = False
        network.agenda.after(limits.LOOKUP_S, self._end)
        self._go_on()

    @property
    def hops(self) -> int:
        nearest = self.lookup.closest()
        return self._depth[nearest[0].peer] if nearest else 0

    def _go_on(self) -> None:
        for contact in self.lookup.next_to_ask():
            self.asked += 1
            self._network.agenda.after(COLD_RTT * self._network.rtt_s(contact.peer), partial(self._hear, contact.peer))
        if self.lookup.done:
            self._end()

    def _hear(self, peer: PeerId) -> None:
        if self._ended:
            return
        replies = self._network.ask(peer, self._own, self._question)
        if replies is None:
            waited = COLD_RTT * self._network.rtt_s(peer)
            self._network.agenda.after(max(0.0, limits.DIAL_S - waited), partial(self._give_up, peer))
            return
        (reply,) = replies
        for contact in reply.closer:
            self._depth.setdefault(contact.peer, self._depth[peer] + 1)
        for contact in reply.providers:
            self.providers.setdefault(contact.peer, self._network.now - self.began)
        self.lookup.answered(peer, reply.closer)
        self._go_on()

    def _give_up(self, peer: PeerId) -> None:
        if not self._ended:
            self.failed += 1
            self.lookup.failed(peer)
            self._go_on()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self.lookup.end()
            self._then(self)


class Publisher:
    """A node that provides manifests: it announces them when they are due, for as long as the model runs."""

    def __init__(self, network: Network, peer: PeerId, manifests: list[Digest], *, once: bool = False) -> None:
        self.peer = peer
        self.holders: dict[Digest, list[int]] = {manifest: [] for manifest in manifests}
        self._network, self._once = network, once
        self._schedule = AnnounceSchedule(peer.public_key)
        for manifest in manifests:
            self._schedule.add(manifest, now=network.now)
        self._announce_due()

    def _announce_due(self) -> None:
        manifest = self._schedule.take_due(now=self._network.now)
        if manifest is not None:
            question = Question(Kind.FIND_NODE, provider_key(manifest))
            Walk(self._network, self.peer, question, partial(self._put, manifest))

    def _put(self, manifest: Digest, walk: Walk) -> None:
        key = provider_key(manifest)
        tell = Question(Kind.ADD_PROVIDER, key, port=PORT, sender=self.peer)
        kept = 0
        last_s = 0.0
        for contact in walk.lookup.closest():
            replies = self._network.ask(contact.peer, self.peer, tell, Question(Kind.GET_PROVIDERS, key))
            kept += replies is not None and any(each.peer == self.peer for each in replies[1].providers)
            last_s = max(last_s, (COLD_RTT + WARM_RTT) * self._network.rtt_s(contact.peer))
        self._network.agenda.after(last_s, partial(self._told, manifest, kept))

    def _told(self, manifest: Digest, kept: int) -> None:
        now = self._network.now
        self.holders[manifest].append(kept)
        self._schedule.announced(manifest, kept, now=now)
        if self._once and kept:
            self._schedule.remove(manifest)
        due = self._schedule.next_due()
        if due is not None:
            self._network.agenda.after(max(0.0, due - now), self._announce_due)


@dataclass(frozen=True, slots=True)
class Search:
    """One search: when, how deep it went, whom it asked and in vain, and when it heard of the first provider."""

    at_h: float
    hops: int
    asked: int
    failed: int
    first_s: float | None


@dataclass
class Outcome:
    """What came of a run. `kept`: by how many nodes a record was kept, each time it was announced. For each key:
    `held_at_end`, by how many that are online, and how many of them are `in_place_at_end`, among the nearest, where a
    search ends. `records` and `answered`: of each node that was asked."""

    searches: list[Search] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    held_at_end: list[int] = field(default_factory=list)
    in_place_at_end: list[int] = field(default_factory=list)
    records: list[int] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)
    events: int = 0

    @property
    def found(self) -> float:
        """Which share of the searches came to a provider."""
        return sum(each.first_s is not None for each in self.searches) / max(1, len(self.searches))

    @property
    def hops(self) -> float:
        """How many questions deep a search went, on average."""
        return sum(each.hops for each in self.searches) / max(1, len(self.searches))


def run(
    nodes: int,
    churn: Churn,
    rng: np.random.Generator,
    *,
    keys: int,
    searches: int,
    hours: float = 24.0,
    announce_once: bool = False,
) -> Outcome:
    """Announce `keys` manifests, each by a publisher of its own, and search `searches` times, at any time in `hours`.

    `announce_once`: not again every ANNOUNCE_S, so that one sees how long a record lasts.
    """
    network = Network(nodes, churn, hours + 1.0, rng)
    outcome = Outcome()
    manifests = [Digest(sha256(rng.bytes(32)).digest()) for _ in range(keys)]
    publishers = [Publisher(network, PeerId(rng.bytes(32)), [each], once=announce_once) for each in manifests]

    def note(at_h: float, walk: Walk) -> None:
        first_s = min(walk.providers.values(), default=None)
        outcome.searches.append(Search(at_h, walk.hops, walk.asked, walk.failed, first_s))

    def search(at_h: float, manifest: Digest) -> None:
        Walk(network, PeerId(rng.bytes(32)), Question(Kind.GET_PROVIDERS, provider_key(manifest)), partial(note, at_h))

    settled_h = min(0.1, hours / 2)  # By then all have announced for the first time.
    for at_h in np.sort(rng.uniform(settled_h, hours, searches)):
        manifest = manifests[int(rng.integers(keys))]
        network.agenda.after(float(at_h) * HOUR_S, partial(search, float(at_h), manifest))
    network.agenda.run(until=hours * HOUR_S + limits.LOOKUP_S)
    outcome.kept = [kept for each in publishers for counts in each.holders.values() for kept in counts]
    for key in map(provider_key, manifests):
        holders = network.holders(key)
        outcome.held_at_end.append(len(holders))
        outcome.in_place_at_end.append(len(holders & network.nearest(key)))
    outcome.records = network.records_held()
    outcome.answered = [int(count) for count in network.answered if count]
    outcome.events = network.agenda.count
    return outcome
