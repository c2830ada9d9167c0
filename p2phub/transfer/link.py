"""What a session knows of one link: its lease, its pace, and how it stands with the coordinator."""

from __future__ import annotations

import msgspec

from p2phub import limits
from p2phub.errors import PeerError
from p2phub.identity import SourceId
from p2phub.transfer.actions import Drop, LinkId
from p2phub.transfer.crowd import Turn
from p2phub.transfer.pace import Pace
from p2phub.transfer.picker import Workplace
from p2phub.transfer.runs import Runs

BUSY_RETRY_S = 0.5  # After "busy", doubled each time up to the next.
BUSY_RETRY_S_MAX = 8.0
NEVER = (-1, -1, -1)


class LinkNow(msgspec.Struct, frozen=True):
    """What a link does at this moment, for whoever explains the fetch. `busy_s`: how long it is left alone for it;
    `bytes_leased`: all that it owes; `slowed_from`: the rate it had before it became much slower, else None; `is_late`:
    its next answer is overdue at its own rate; `unmoved_s`: since when nothing whole came, however much is coming."""

    link: LinkId
    peer: SourceId
    bytes_per_s: float
    bytes_leased: int
    silent_s: float
    busy_s: float
    slowed_from: float | None = None
    is_late: bool = False
    unmoved_s: float = 0.0


class Link:
    """One link of a session, which changes it."""

    __slots__ = (
        "barren", "busy_s", "busy_until", "dropping", "dry_at", "id", "joined_at", "kept_until", "lease", "lease_bytes",
        "on_parole", "pace", "peer", "rationed", "revoking", "turn", "unsettled", "vain_bytes", "workplace",
    )  # fmt: skip

    def __init__(self, link: LinkId, peer: SourceId, *, now: float) -> None:
        self.id = link
        self.peer = peer
        self.joined_at = now
        self.lease = Runs()
        self.lease_bytes = 0
        self.unsettled = Runs()  # Had, over another link; it has not said yet that it will not write them.
        self.vain_bytes = 0  # Under way on it and had by now: they come before anything else that it is asked for.
        self.pace = Pace(now=now)
        self.workplace = Workplace()
        self.rationed = False  # It was given less than a lease last, so that somebody need not wait for it.
        self.revoking = False
        self.kept_until = now  # No Revoke before: it may have been given again what the last one took.
        self.barren = False  # The last Revoke brought nothing: all that is left is in flight.
        self.dropping = False
        self.on_parole = False  # It is asked for a batch at a time: see `standing`.
        self.turn = Turn()
        self.dry_at = NEVER  # What was known when there was nothing to grant it: no reason to look again before.
        self.busy_until = now
        self.busy_s = BUSY_RETRY_S

    @property
    def owes(self) -> bool:
        """Whether something is to come over it."""
        return bool(self.lease) or self.vain_bytes > 0

    def rate(self, *, now: float) -> float:
        """The rate to expect of it; 0 if unknown. Silence counts against a link that has something to do."""
        return self.pace.rate_by_now(now=now) if self.owes else self.pace.rate

    def finish_s(self, *, now: float) -> float:
        """How long its lease will take; while nothing is measured, as long again as it has been silent."""
        rate = self.rate(now=now)
        return self.lease_bytes / rate if rate else now - self.pace.moved_at

    def is_low(self, most: float) -> bool:
        """Whether it is time to top up its lease, which may be `most` bytes."""
        return self.lease_bytes * 2 < min(self.quota_bytes, most)

    @property
    def quota_bytes(self) -> int:
        """How much it should have in its lease."""
        return limits.BATCH_BYTES_MAX if self.on_parole else self.pace.lease_bytes

    @property
    def says_busy(self) -> bool:
        """Whether the last that it did was to say that it is busy."""
        return self.busy_s > BUSY_RETRY_S

    def said_busy(self, *, now: float) -> None:
        self.busy_until = now + self.busy_s
        self.busy_s = min(self.busy_s * 2, BUSY_RETRY_S_MAX)

    def drop(self, error: PeerError) -> Drop:
        self.dropping = True
        return Drop(self.id, error)

    def now(self, *, late_at: float, now: float) -> LinkNow:
        return LinkNow(
            self.id,
            self.peer,
            self.rate(now=now),
            self.lease_bytes + self.vain_bytes,
            now - self.pace.progress_at,
            max(0.0, self.busy_until - now),
            self.pace.slowed_from(now=now) if self.owes else None,
            self.owes and now >= late_at,
            now - self.pace.moved_at,
        )
