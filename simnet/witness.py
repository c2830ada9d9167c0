"""What was seen of a run from outside, and what of it must not be: the judge that knows who is guilty.

It trusts nothing that the code under test says about itself: bytes are compared with the truth, dials and requests are
read off the wire. A failure is a sentence; the run goes on, so that all of them are told.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import trio

from p2phub import limits
from p2phub.content import RangeSet
from p2phub.engine.fetch import Running
from p2phub.identity import PeerId
from p2phub.observe import Event, PeerDropped, Progress
from p2phub.transfer.backlog import BEHIND_S
from simnet.bounds import Hands, too_many_connections, too_many_tasks
from simnet.network import Host, Network, Pipe, Stream
from simnet.taps import ControlTap, ProviderTap, RequesterTap, Tap
from simnet.truth import Truth

FAILURES_TOLD = 12
UNSYNCED_S_MAX = 2 * limits.SYNC_S + 1.0
DIALS_PER_MINUTE_MAX = 24  # Of one peer by another: more is hammering.


@dataclass
class Fetching:
    """What one fetch told its user."""

    node: str
    began: float
    verified: int = 0
    proven: dict[str, float] = field(default_factory=dict)  # Peers it said lied, and since when.
    dropped: Counter[str] = field(default_factory=Counter)
    waits_s_max: float = math.inf  # For what comes next, once its first chunk is there.
    had: set[int] = field(default_factory=set)  # Ahead of where its reader is.
    reads: int = 0  # The chunk that comes next,
    reads_since: float | None = None  # and since when it is waited for.
    running: Running | None = None  # While it runs.

    def runs(self, running: Running) -> None:
        self.running = running


class Witness:
    """Gathers failures. `guilty`: peers that lie; `names`: how peers are called in sentences."""

    def __init__(self, truth: Truth, names: dict[str, str], guilty: frozenset[str]) -> None:
        self.truth, self.names, self.guilty = truth, names, guilty
        self.failures: list[str] = []
        self.failure_count = 0
        self.failed = trio.Event()
        self.fetching: dict[str, Fetching] = {}
        self.dial_count = 0
        self.channels_open: dict[object, str] = {}
        self.bulk: list[Pipe] = []  # What carries answers to requesters.
        self.boasters: set[str] = set()  # Nodes that are there to say of bulk connections what is not so.
        self.verified: dict[str, RangeSet] = defaultdict(RangeSet)  # By node: the chunks that were found to be right.
        self.hands: dict[str, Hands] = defaultdict(lambda: Hands(truth.table))
        self._dialled: dict[tuple[str, str], list[float]] = defaultdict(list)

    def fail(self, sentence: str) -> None:
        self.failure_count += 1
        self.failed.set()
        if len(self.failures) < FAILURES_TOLD:
            self.failures.append(f"at {trio.current_time():.3f} s: {sentence}")

    def name(self, peer: str) -> str:
        return self.names.get(peer, peer)

    # --- what a fetch tells its user -----------------------------------------------------------------------------

    def begins(self, node: str, *, waits_s_max: float = math.inf) -> Fetching:
        fetching = self.fetching[node] = Fetching(node, trio.current_time(), waits_s_max=waits_s_max)
        self.hands[node].empty()
        return fetching

    def hears(self, fetching: Fetching, event: Event) -> None:
        match event:
            case Progress(bytes_verified=verified):
                if verified < fetching.verified:
                    self.fail(f"{fetching.node}: progress ran backwards, {fetching.verified} to {verified}")
                if verified > self.truth.bytes_total:
                    self.fail(f"{fetching.node}: {verified} bytes verified of {self.truth.bytes_total}")
                fetching.verified = verified
            case PeerDropped(peer_id=peer, file=file, reason=reason):
                fetching.dropped[self.name(peer)] += 1
                if file is not None:
                    fetching.proven.setdefault(peer, trio.current_time())
                    if peer not in self.guilty:
                        self.fail(f"{fetching.node} says that {self.name(peer)}, who is honest, lied: {reason}")

    def asks_why(self) -> None:
        """Ask each running fetch what it thinks of its sources. Who is banned is guilty, said or not."""
        for fetching in self.fetching.values():
            for source in () if fetching.running is None else fetching.running.explain().sources:
                if source.state.startswith("banned") and source.peer_id not in self.guilty:
                    self.fail(f"{fetching.node} has banned {self.name(source.peer_id)}, who is honest: {source.state}")

    # --- what is seen on the wire --------------------------------------------------------------------------------

    def dials(self, node: str, peer: PeerId) -> None:
        now, who = trio.current_time(), str(peer)
        self.dial_count += 1
        fetching = self.fetching.get(node)
        if fetching is not None and who in fetching.proven and now > fetching.proven[who]:
            self.fail(f"{node} dials {self.name(who)} again, of whom it has a proof that it lies")
        dialled = self._dialled[node, who]
        dialled.append(now)
        if len(dialled) > DIALS_PER_MINUTE_MAX and now - dialled[-DIALS_PER_MINUTE_MAX - 1] < 60:
            self.fail(f"{node} hammers {self.name(who)}: {DIALS_PER_MINUTE_MAX} dials in a minute")
            dialled.clear()

    def tap(self, channel: object, stream: Stream) -> Tap:
        """Listen at a bulk connection, which begins."""
        self.channels_open[channel] = f"{stream.host.name} to {stream.other.name}"
        stream.kind = "bulk"
        self.counts(stream)
        if not stream.dialled:
            return ProviderTap(self, channel, stream)
        self.bulk.append(stream.incoming)
        self.hands[stream.host.name].links += 1
        return RequesterTap(self, channel, stream)

    def tap_answers(self, stream: Stream) -> ControlTap:
        """Listen at what is answered to a connection that may be a control connection."""
        return ControlTap(self, stream)

    def counts(self, stream: Stream) -> None:
        """`stream` is one connection more that its host keeps."""
        found = too_many_connections(stream, in_crowd=len(self.fetching) > 1)
        if found:
            self.fail(found)

    def let_go(self, channel: object) -> None:
        """A bulk connection has ended, and so has its thread."""
        self.channels_open.pop(channel, None)

    def took(self, node: str, chunks: RangeSet) -> None:
        """`node` has `chunks` in memory now."""
        hands = self.hands[node]
        hands.took(chunks)
        if hands.bytes_held > hands.bytes_max:
            self.fail(
                f"{node} has {hands.bytes_held} bytes in memory that came and are not written, "
                f"more than {hands.bytes_max} for {hands.links} links"
            )

    def threw_away(self, node: str, chunks: RangeSet) -> None:
        """A link of `node` has ended; what it had in its buffer, and has not written, is gone."""
        self.hands[node].let_go(chunks)
        self.hands[node].links -= 1

    # --- what a node tells others --------------------------------------------------------------------------------

    def opens_with(self, stream: Stream, held: RangeSet) -> None:
        """A provider says in the answer to Open that it holds `held`."""
        if stream.host.name not in self.boasters:
            self.tells(stream.host.name, held)

    def tells(self, node: str, held: RangeSet) -> None:
        """`node` says that it holds `held`: of each chunk it must have been seen by now that it is right."""
        verified = self.verified[node]
        early = () if held.runs == verified.runs else (held - verified).runs
        if early:
            self.fail(f"{node} tells others that it holds chunk {early[0][0]}, which it has not verified")

    def publishes(self, node: str) -> None:
        """All is put into the store of `node` before the run begins."""
        self.verified[node] = RangeSet.whole(len(self.truth.table))

    def goes_on_with(self, node: str, have: RangeSet, read: Callable[[int], bytes | None]) -> None:
        """A fetch of `node` begins, or goes on, with `have`, which it has not to fetch any more."""
        wrong = [chunk for chunk in have if read(chunk) != self.truth.chunk(chunk)]
        for chunk in wrong:
            self.fail(f"{node} goes on as if it had chunk {chunk}, but other bytes are on its disk")
        self.verified[node] = self.hands[node].written = have - RangeSet.from_indices(wrong)

    def crashes(self, node: str) -> None:
        """What `node` has is to be seen anew."""
        self.verified[node] = RangeSet()

    # --- what is written -----------------------------------------------------------------------------------------

    def wrote(self, node: str, file: int, start: int, stop: int) -> None:
        """`node` wrote these bytes of file number `file`, right or wrong."""
        self.hands[node].wrote(RangeSet.of([self.truth.table.covering(file, start, stop)]))

    def reported(self, node: str, chunks: RangeSet, read: Callable[[int], bytes | None]) -> None:
        """`node` counts `chunks` as verified; `read` returns what its disk gives for one then, None if nothing."""
        right: list[int] = []
        for chunk in chunks:
            found = read(chunk)
            if found == self.truth.chunk(chunk):
                right.append(chunk)
            else:
                what = "nothing is" if found is None else "other bytes are"
                self.fail(f"{node} counts chunk {chunk} as verified, but {what} on its disk")
            if self.fetching[node].waits_s_max < math.inf:
                self._read(self.fetching[node], chunk)
        self.verified[node] |= RangeSet.ascending(right)

    def _read(self, fetching: Fetching, chunk: int) -> None:
        """`chunk` is there: whoever reads along goes on as far as that lets them."""
        now = trio.current_time()
        fetching.had.add(chunk)
        if chunk != fetching.reads:
            fetching.reads_since = now if fetching.reads_since is None else fetching.reads_since
            return
        waited_s = now - fetching.reads_since if fetching.reads_since is not None else 0.0
        if waited_s > fetching.waits_s_max:
            self.fail(f"{fetching.node} could read no further than chunk {chunk} for {waited_s:.2f} s")
        while fetching.reads in fetching.had:
            fetching.had.discard(fetching.reads)
            fetching.reads += 1
        fetching.reads_since = now

    def offers(self, node: str, held: RangeSet, read: Callable[[int], bytes | None]) -> None:
        """`node` would serve `held` now."""
        for chunk in held:
            if read(chunk) != self.truth.chunk(chunk):
                self.fail(f"{node} would serve chunk {chunk}, which is not what was signed")

    def unsynced(self, node: str, seconds: float) -> None:
        if seconds > UNSYNCED_S_MAX:
            self.fail(f"{node} has not synced for {seconds:.1f} s what it verified")

    def runs_ahead(self, node: str, unsynced_bytes: int, sync_rate: float | None) -> None:
        """`node` has verified so much that its disk, of this rate, has not made durable."""
        if unsynced_bytes > max(limits.SYNC_BYTES, (sync_rate or math.inf) * BEHIND_S):
            self.fail(f"{node} is {unsynced_bytes} bytes ahead of its disk")

    # --- bounds --------------------------------------------------------------------------------------------------

    def bounds(self, hosts: Iterable[tuple[Host, int]]) -> None:
        """Looked at every second: each host, and how many tasks its node has."""
        for host, tasks in hosts:
            found = too_many_tasks(host, tasks)
            if found:
                self.fail(found)

    def at_the_end(self, network: Network) -> None:
        """After all nodes have stopped."""
        for where in self.channels_open.values():
            self.fail(f"a connection of {where} was never let go of")
        for pipe in network.pipes:
            if pipe.written != pipe.delivered + pipe.lost + pipe.on_its_way:
                self.fail(
                    f"bytes from {pipe.source.name} to {pipe.target.name} do not add up: {pipe.written} written, "
                    f"{pipe.delivered} delivered, {pipe.lost} lost, {pipe.on_its_way} on their way"
                )
