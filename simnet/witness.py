"""What was seen of a run from outside, and what of it must not be: the judge that knows who is guilty.

It trusts nothing that the code under test says about itself: bytes are compared with the truth, dials and requests are
read off the wire. A failure is a sentence; the run goes on, so that all of them are told.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import trio

from p2phub import limits
from p2phub.content import RangeSet
from p2phub.engine.fetch import Running
from p2phub.errors import Malformed, ProtocolViolation
from p2phub.identity import PeerId
from p2phub.observe import Event, PeerDropped, Progress
from p2phub.wire import BlobsFollow, Chunks, FrameDecoder, Opening, Refuse, Want
from p2phub.wire.codec import decode_bulk_answer, decode_bulk_request
from simnet.network import WINDOW_BYTES, Network, Pipe, Stream
from simnet.truth import Truth

FAILURES_TOLD = 12
UNSYNCED_S_MAX = 2 * limits.SYNC_S + 1.0
DIALS_PER_MINUTE_MAX = 24  # Of one peer by another: more is hammering.
TASKS_PER_NODE_MAX = 400


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


class Tap(Protocol):
    """Listens at one connection of a requester or provider."""

    def said(self, data: bytes | memoryview) -> None: ...

    def heard(self, data: memoryview) -> None: ...

    def closed(self) -> None: ...


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
        self.channels_open[channel] = f"{stream.host.name} to {stream.other.name}"
        if stream.dialled:
            self.bulk.append(stream.incoming)
        return _RequesterTap(self, channel, stream) if stream.dialled else _ProviderTap(self, channel)

    # --- what is written -----------------------------------------------------------------------------------------

    def reported(self, node: str, chunk: int, found: bytes | None) -> None:
        """`node` counts `chunk` as verified; `found` is what its disk gives for it then, None if nothing."""
        if found != self.truth.chunk(chunk):
            what = "nothing is" if found is None else "other bytes are"
            self.fail(f"{node} counts chunk {chunk} as verified, but {what} on its disk")
        if self.fetching[node].waits_s_max < math.inf:
            self._read(self.fetching[node], chunk)

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

    # --- bounds --------------------------------------------------------------------------------------------------

    def bounds(self, network: Network, nodes: int) -> None:
        """Looked at every second."""
        tasks = trio.lowlevel.current_statistics().tasks_living
        if tasks > TASKS_PER_NODE_MAX * nodes:
            self.fail(f"{tasks} tasks for {nodes} nodes")
        for pipe in network.pipes:
            if len(pipe.inbox) + pipe.on_its_way > WINDOW_BYTES + limits.MIB:
                self.fail(f"{pipe.on_its_way} bytes wait between {pipe.source.name} and {pipe.target.name}")

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


class _ProviderTap:
    """Only remembers that the connection is open."""

    def __init__(self, witness: Witness, channel: object) -> None:
        self._witness, self._channel = witness, channel

    def said(self, data: bytes | memoryview) -> None:
        pass

    def heard(self, data: memoryview) -> None:
        pass

    def closed(self) -> None:
        self._witness.channels_open.pop(self._channel, None)


class _RequesterTap(_ProviderTap):
    """Reads requests and answers, and adds up how much is under way."""

    def __init__(self, witness: Witness, channel: object, stream: Stream) -> None:
        super().__init__(witness, channel)
        self._stream = stream
        self._requests, self._answers = FrameDecoder(), FrameDecoder()
        self._owed = 0
        self._payload = 0  # Bytes announced that have not come.
        self._deaf = False

    def said(self, data: bytes | memoryview) -> None:
        for header in self._requests.receive(bytes(data)):
            request = decode_bulk_request(header)
            if isinstance(request, Want):
                self._owed += self._length(request.ranges)
        if self._owed > limits.WINDOW_BYTES_MAX and not self._deaf:
            self._deaf = True
            self._witness.fail(
                f"{self._stream.host.name} has {self._owed} bytes under way from {self._stream.other.name}, "
                f"more than the window of {limits.WINDOW_BYTES_MAX}"
            )

    def heard(self, data: memoryview) -> None:
        if self._deaf:
            return
        if self._payload:
            self._payload -= len(data)
            return
        try:
            answers = [decode_bulk_answer(header) for header in self._answers.receive(bytes(data))]
        except (Malformed, ProtocolViolation):
            self._deaf = True  # Garbage: the code under test has to notice, too.
            return
        for answer in answers:
            match answer:
                case Opening():
                    self._payload = sum(answer.blob_lengths) + answer.chunk_bytes
                case BlobsFollow():
                    self._payload = sum(answer.lengths)
                case Chunks():
                    self._payload = answer.length
                    self._owed -= self._length(answer.ranges)
                case Refuse():
                    self._owed -= self._length(answer.ranges)

    def _length(self, ranges: Sequence[tuple[int, int]]) -> int:
        table = self._witness.truth.table
        known = RangeSet.whole(len(table)) & RangeSet.of((first, first + count) for first, count in ranges)
        return table.bytes_of(known)
