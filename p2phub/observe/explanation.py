"""Why a fetch is as fast as it is: what each source does, and what bounds the whole.

Words are for people; scripts read `bound` and the numbers.
"""

from __future__ import annotations

from typing import Any

import msgspec


class SourceNow(msgspec.Struct, frozen=True):
    """One provider. `state` says in words what it does or is waited for; rates are bytes/s, times seconds.

    `bytes_leased`: all that it is to give. `window_bytes`: how much of that may be asked of it ahead, over all its
    links, 0 without one: what comes in 0.25 s and two round trips at its measured rate, within bounds and our own cap;
    of a mirror what its requests at once are for. `trip_s`: the shortest round trip seen, None before the first."""

    peer_id: str
    via: str
    nearness: str  # machine, rack, site, lan, far or metered.
    addresses: tuple[str, ...]
    links: int
    bytes_received: int
    bytes_per_s: float
    bytes_leased: int
    window_bytes: int
    trip_s: float | None
    silent_s: float | None  # Since when nothing verified came from it, while something is asked of it.
    state: str


class WaitNow(msgspec.Struct, frozen=True):
    """How a fetch waits that nobody who is there can bring forward. `reason`: who is away; `next`: when it looks again
    and when it gives up, both in words as an event `waiting` has them; times are seconds."""

    reason: str
    next: str
    waited_s: float
    again_s: float  # Until it looks again; 0 while it looks.
    left_s: float | None  # Until it gives up; None: never.


class Explanation(msgspec.Struct, frozen=True):
    """`bound`: metadata, providers, holders, cap, network, disk or hash. `because` says it in a sentence. `waiting`:
    None where somebody who is there may have something to give."""

    bytes_verified: int
    bytes_missing: int | None  # None: not known yet.
    bytes_duplicate: int  # Came though they were had: at the end, what one is late with is asked of another, too.
    bound: str
    because: str
    waiting: WaitNow | None
    sources: tuple[SourceNow, ...]

    def as_json(self) -> dict[str, Any]:
        as_json: dict[str, Any] = msgspec.to_builtins(self)
        return as_json
