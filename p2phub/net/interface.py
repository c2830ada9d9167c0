"""The ports of the network: how bulk bytes are asked for and offered, and how small questions are put to a peer.

The engine knows only these. Adapters: `net.direct` (TLS data plane), `net.stream` (the same machines over a libp2p
stream), and the simulated ones. A `Link` is one bulk connection on which payload flows one way, to us. It works through
the chunks it was granted, writes what it verified by the `WritePlan`, and reports. Every call of a Link returns at
once; what came of it is a report. Nothing here says whether the carrier is a thread of this process or a child.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from p2phub import limits
from p2phub.content import Digest, RangeSet, ReadPlan, Renumbering, WritePlan
from p2phub.errors import HubError
from p2phub.identity import Address, MirrorId, PeerAddress, PeerId, SourceId
from p2phub.wire import ControlAnswer, ControlRequest

# --- reports of a link, in order ---------------------------------------------------------------------------------


class Opened(msgspec.Struct, frozen=True):
    """The provider's first answer. `blobs`: manifest root page first (digest checked), then pages and chunk lists, each
    checked against the one before that names it; possibly not all. `prefix`: chunks (number, bytes) from 0 on, checked,
    not yet written anywhere. `held`: what the provider says it can serve."""

    blobs: tuple[bytes, ...]
    prefix: tuple[tuple[int, bytes], ...]
    held: RangeSet


class Blobs(msgspec.Struct, frozen=True):
    """Blobs that were asked for, digests checked."""

    blobs: tuple[bytes, ...]


class Spent(NamedTuple):
    """Seconds that a link's thread spent on what it reports: receiving and decrypting, checking, writing."""

    receive_s: float = 0.0
    check_s: float = 0.0
    write_s: float = 0.0

    def __add__(self, other: tuple[float, ...]) -> Spent:  # type: ignore[override]  # Sums, not a longer tuple.
        receive_s, check_s, write_s = other
        return Spent(self.receive_s + receive_s, self.check_s + check_s, self.write_s + write_s)


class Verified(msgspec.Struct, frozen=True):
    """Chunks whose digest was checked and that were written by the plan (not yet synced). `bytes` came, those of chunks
    that were cancelled included."""

    chunks: RangeSet
    bytes: int
    spent: Spent = Spent()


class Refused(msgspec.Struct, frozen=True):
    """Chunks (or, if empty, blobs) that the provider will not give. `reason` is one of `wire.REASONS`."""

    chunks: RangeSet
    reason: str


class Returned(msgspec.Struct, frozen=True):
    """Chunks given back after `revoke`: granted, but not asked of the provider."""

    chunks: RangeSet


class Cancelled(msgspec.Struct, frozen=True):
    """Chunks that this link will not write any more, after `cancel`. The bytes of those that are not among `unasked`
    still come."""

    chunks: RangeSet
    unasked: RangeSet


class Closed(msgspec.Struct, frozen=True):
    """The last report. All chunks granted and not otherwise reported are `returned`. `error` is None after `close()`;
    a PeerError (PeerGone, PeerStalled, ProtocolViolation, ChunkMismatch …) or a DiskError of our own side."""

    error: HubError | None
    returned: RangeSet = msgspec.field(default_factory=RangeSet)


Report = Opened | Blobs | Verified | Refused | Returned | Cancelled | Closed


class WindowNow(NamedTuple):
    """How much may be under way over a link by what is known of it, and the shortest round trip seen, in seconds: None
    before the first, and longer ones may count as 1 s. One chunk may always be under way, however long it is."""

    bytes_max: int = 0
    trip_s: float | None = None


class Link(Protocol):
    """One bulk connection to a provider, for one manifest; or what stands for one, to a mirror."""

    @property
    def peer(self) -> SourceId: ...

    @property
    def address(self) -> Address: ...

    @property
    def via(self) -> str:
        """direct, lan, mirror, …: what a user is told."""

    @property
    def window(self) -> WindowNow:
        """As of now, or, where the carrier is another process, of the last report."""

    def ask(self, blobs: Sequence[tuple[Digest, int]]) -> None:
        """Ask for blobs: (digest, most bytes it may have) each."""

    def use(self, plan: WritePlan, numbers: Renumbering | None = None) -> None:
        """Say where chunks go. Once, before the first grant. `numbers`: the link was opened for another manifest, where
        the provider has chunks of this one under these numbers; what is granted and reported has those of `plan`."""

    def grant(self, chunks: RangeSet) -> None:
        """Add to the lease."""

    def revoke(self) -> None:
        """Take back what was not yet asked of the provider; answered by `Returned`."""

    def cancel(self, chunks: RangeSet) -> None:
        """Write nothing of `chunks`, which were granted, when they come: another link wrote them. Answered by
        `Cancelled` with those that will not be written, at once; for those that are being written this moment
        `Verified` is the answer."""

    def close(self) -> None:
        """End now, also in the middle of a blocking call; answered by `Closed`."""

    async def next_report(self) -> Report:
        """Wait for the next report; reports of one kind may be merged. After `Closed` there is none."""


class Dialler(Protocol):
    """Makes links, and asks small questions."""

    async def open_link(self, provider: PeerAddress, manifest: Digest, *, prefix_bytes: int, via: str) -> Link:
        """Connect, prove both identities, send Open. Returns before the answer came. Raises PeerError."""

    async def open_control(self, peer: PeerAddress) -> Control:
        """Open a control connection. Raises PeerError."""


Take = Callable[[bytes | bytearray], Awaitable[None]]
"""Given what came, in its own time: the server's does not run meanwhile."""


class Mirrors(Protocol):
    """Web servers that hold the files of a manifest, as sources. They serve byte ranges, and know nothing of p2phub."""

    async def open_link(self, mirror: MirrorId, manifest: Digest, *, wants_manifest: bool) -> Link:
        """Find where the mirror is and begin to ask. `Opened` tells that it answers, with the manifest's root page if
        `wants_manifest` and it has that. Raises PeerError."""

    async def release(self, mirror: MirrorId, publisher: PeerId, name: str, tag: str) -> bytes | None:
        """Return the signed release that the mirror has of a name, unchecked; None if it has none. Raises PeerError."""

    def open_hub(self, mirror: MirrorId, token: str | None) -> Hub:
        """Return how a hub of models is asked that is at the mirror's URL, with a token or without."""


class Hub(Protocol):
    """A hub of models, asked over HTTP as its own clients ask it. What comes is its word. Close it with `aclose`."""

    async def told(self, path: str, query: str = "", *, most: int) -> tuple[bytes, str | None]:
        """Return what it tells at `path`, at most `most` bytes, and the query of the next page, if there is one.
        Raises NotFound where it has nothing for us, PeerError."""

    async def span(self, path: str, start: int, stop: int, *, size: int, take: Take) -> None:
        """Hand bytes `start` ..< `stop` of a file of `size` bytes to `take`, as they come. Raises NotFound,
        PeerError."""

    async def aclose(self) -> None: ...


class Control(Protocol):
    """A control connection we opened: questions in order, one answer each."""

    @property
    def peer(self) -> PeerId: ...

    @property
    def address(self) -> Address:
        """Where the peer is, as this side sees it; not always where it was dialled."""

    async def ask(self, request: ControlRequest) -> ControlAnswer:
        """Put one question. Raises PeerError; the connection is dead then. Timeouts belong to the caller."""

    async def aclose(self) -> None: ...


class Cap(Protocol):
    """What a fetch must know of the cap on what it receives. A `job` is named by its manifest."""

    def ahead_bytes(self, job: Digest, most: int) -> int:
        """Return how much may be asked of one peer at once, `most` where there is no cap."""

    def is_pressed(self, job: Digest) -> bool:
        """Return whether a cap, not the peers, is what bounds the job now."""

    def links_max(self, job: Digest) -> int:
        """Return how many links the cap keeps busy, at most CROWD_LINKS_MAX."""


class NoCap:
    """Nothing is capped."""

    def ahead_bytes(self, job: Digest, most: int) -> int:
        return most

    def is_pressed(self, job: Digest) -> bool:
        return False

    def links_max(self, job: Digest) -> int:
        return limits.CROWD_LINKS_MAX


# --- the serving side --------------------------------------------------------------------------------------------


class Offer(msgspec.Struct, frozen=True):
    """What we have of a manifest. `order`: the digests of its blobs as the first flight sends them (root page, pages,
    chunk lists); `blob` gives the bytes of one of them, None for any other digest. `held`: what may be read by now,
    where that grows while it is served; else `plan.held` says it for good. Thread-safe."""

    plan: ReadPlan
    order: tuple[Digest, ...]
    blob: Callable[[Digest], bytes | None]
    held: Callable[[], RangeSet] | None = None

    @property
    def held_now(self) -> RangeSet:
        return self.plan.held if self.held is None else self.held()


class Shelf(Protocol):
    """What the engine lets strangers have. Called on serving threads."""

    def offer(self, manifest: Digest, requester: PeerId) -> Offer:
        """Raises PeerRefused(reason="unknown" or "busy"): a private manifest is "unknown" to who may not have it."""

    def sent(self, manifest: Digest, requester: PeerId, bytes_sent: int) -> None:
        """Told about every REPORT_S and at the end of a connection: how many more payload bytes went out."""

    def changed(self, manifest: Digest, file: int) -> None:
        """Told when a file no longer is what was hashed."""


AnswerControl = Callable[[PeerId, Address, ControlRequest], Awaitable[ControlAnswer]]
"""Answers a stranger's control request: (who, the address it comes from, what it asks)."""
