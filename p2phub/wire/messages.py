"""The messages of the bulk and the control protocol, as values. Source: proto/transfer.md §2 and §6.

Payload is never inside a message: `Opening`, `Chunks` and `BlobsFollow` say how many bytes follow them on the
connection.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from p2phub.content import Digest, RangeSet
from p2phub.identity import PeerAddress, PeerId

REASONS = ("unknown", "busy", "changed", "not-held", "disk")
"""Why a provider may refuse: it does not have the manifest (or not for you), is at its limit, the file was changed on
its disk, it does not hold these chunks, its disk failed. None is a fault that costs a peer its standing."""

_IN_WORDS = {
    "unknown": "does not have it, or does not give it to this node",
    "busy": "serves as many as it can just now",
    "changed": "has it no more as it was published",
    "not-held": "does not hold what was asked of it",
    "disk": "cannot read its disk",
}


def refusal(who: str, reason: str) -> str:
    """Return in words that `who` refused, one of REASONS being why."""
    return f"{who} {_IN_WORDS[reason]}" if reason in _IN_WORDS else f"{who} refused: {reason}"


# --- bulk: requester to provider ---------------------------------------------------------------------------------


class Open(msgspec.Struct, frozen=True):
    """First frame of a bulk connection: which manifest, and how much may be pushed unasked (0 ..= PREFIX_BYTES_MAX)."""

    manifest: Digest
    prefix_bytes: int


class Want(msgspec.Struct, frozen=True):
    """Chunks to send, as disjoint (first, count) pairs in sending order; at most BATCH_BYTES_MAX, BATCH_CHUNKS_MAX."""

    ranges: tuple[tuple[int, int], ...]


class Ask(msgspec.Struct, frozen=True):
    """Blobs to send: digests of manifest pages and chunk lists."""

    blobs: tuple[Digest, ...]


# --- bulk: provider to requester ---------------------------------------------------------------------------------


class Opening(msgspec.Struct, frozen=True):
    """Answer to Open. Followed by the blobs (`blob_lengths`, in the order of the manifest) and then `chunk_count`
    chunks from number 0 on, `chunk_bytes` together."""

    held: RangeSet
    blob_lengths: tuple[int, ...]
    chunk_count: int
    chunk_bytes: int


class Chunks(msgspec.Struct, frozen=True):
    """Followed by `length` bytes: the chunks of `ranges` in order. `coding` is "raw"."""

    ranges: tuple[tuple[int, int], ...]
    length: int
    coding: Literal["raw"] = "raw"


class BlobsFollow(msgspec.Struct, frozen=True):
    """Answer to Ask; followed by the blobs in the order asked. A length of 0 means: not held."""

    lengths: tuple[int, ...]


class Refuse(msgspec.Struct, frozen=True):
    """These wanted chunks will not come (empty: the Open itself is refused and the connection ends)."""

    ranges: tuple[tuple[int, int], ...]
    reason: str


# --- control: requests and answers -------------------------------------------------------------------------------


class Ping(msgspec.Struct, frozen=True):
    """Are you alive? Answered by Pong at once."""


class Pong(msgspec.Struct, frozen=True):
    pass


class GetRelease(msgspec.Struct, frozen=True):
    """Which release of publisher/name@tag do you know? Answered by ReleaseIs."""

    publisher: PeerId
    name: str
    tag: str


class ReleaseIs(msgspec.Struct, frozen=True):
    """`signed`: the release envelope as its publisher signed it, or empty: none known."""

    signed: bytes


class Probe(msgspec.Struct, frozen=True):
    """Can you reach me? Dial the address this question comes from, at `port`, as me. Answered by Probed."""

    port: int


class Probed(msgspec.Struct, frozen=True):
    """`observed_ip`: where the question came from; `reached`: whether a dial back to it proved the asker's identity."""

    observed_ip: str
    reached: bool
    detail: str


class GetNews(msgspec.Struct, frozen=True):
    """What do you hold, and whom do you know, that you have not told me yet? Answered by News: at once if there is
    something, else when there is, or after `wait_ms`.

    `seen`: what the last answer on this connection said it was up to; (0, 0) at first. `port`: where the
    asker can be dialled, at the address that the question comes from; 0: nowhere. `got`:
    from whom else how many bytes of it were had so far, at most GOT_TOLD_MAX peers, none twice."""

    manifest: Digest
    port: int
    seen: tuple[int, int] = (0, 0)
    wait_ms: int = 0
    got: tuple[tuple[PeerId, int], ...] = ()


class News(msgspec.Struct, frozen=True):
    """`held`: all that can be served now, None if that is as it was told before; `peers`: members that were not told.

    `seen`: up to where this goes, to be said with the next question; what the numbers mean is the answerer's own."""

    held: RangeSet | None
    peers: tuple[PeerAddress, ...]
    seen: tuple[int, int]


ControlRequest = Ping | GetRelease | Probe | GetNews
ControlAnswer = Pong | ReleaseIs | Probed | News
