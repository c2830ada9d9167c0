"""What a node counted since it began, for whoever watches over it: sums that only grow, by a few known words.

Counted where it happens, on the loop's thread: an addition, no lock. No peer, name or path is a word here, so that
there are never more sums than stand in this file. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from p2phub.errors import HubError

DONE, STOPPED, BUG = "done", "stopped", "bug"
_OUTCOMES = {2: "usage", 3: "not_found", 4: "not_trusted", 5: "damaged", 6: "disk", 7: "no_provider"}
"""By exit code: what failed is called the same everywhere."""

OUTCOMES = (DONE, STOPPED, BUG, *_OUTCOMES.values())


def outcome_of(error: BaseException) -> str:
    """Return the word for how something ended with `error`."""
    if isinstance(error, HubError):
        return _OUTCOMES.get(error.code, BUG)
    return BUG if isinstance(error, Exception) else STOPPED


class Tally(msgspec.Struct):
    """`received`: verified payload bytes by how they came (direct, lan, mirror …). `refused`: chunks that a source
    would not give, by its reason (`wire.REASONS`), or that were not what was asked for ("wrong"). `dropped`: links that
    ended with a fault of the other side, by whether that was a lie ("lied") or not ("gone"). `jobs`: fetches that
    ended, by outcome. `questions`: of peers, by kind. `hashed_bytes`: read by publish and adopt.
    `collected_bytes`: let go of by collections."""

    received: Counter[str] = msgspec.field(default_factory=Counter)
    refused: Counter[str] = msgspec.field(default_factory=Counter)
    dropped: Counter[str] = msgspec.field(default_factory=Counter)
    jobs: Counter[str] = msgspec.field(default_factory=Counter)
    questions: Counter[str] = msgspec.field(default_factory=Counter)
    hashed_bytes: int = 0
    collected_bytes: int = 0

    def take(self, verb: str, result: Mapping[str, Any]) -> None:
        """Add what a verb says it did."""
        match verb:
            case "publish" | "adopt":
                self.hashed_bytes += result["bytes_hashed"]
            case "gc" if not result["dry_run"]:
                self.collected_bytes += result["bytes"] + result["blob_bytes"]
