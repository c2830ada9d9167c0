"""One verdict: what was run, what of it is judged, what it must reach, what was measured, and whether that is enough.

A *goal* is what to aim at beyond what is required: a miss is shown, and to be explained by a profile, but fails no run.
A *model* has none of p2phub's code: what it reaches says what p2phub could, so it neither meets a target nor misses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    REQUIRED = "required"
    GOAL = "goal"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`of`: what was run, by its title. `measured`: None if nothing was. `met`: None if there is nothing to judge."""

    of: str
    what: str
    target: str
    measured: str | None
    met: bool | None
    kind: Kind = Kind.REQUIRED

    @property
    def fails_the_run(self) -> bool:
        return self.met is False and self.kind is Kind.REQUIRED

    @property
    def word(self) -> str:
        """What a report calls it."""
        if self.measured is None:
            return "not measured"
        if self.kind is Kind.MODEL:
            return "a model"
        word = "met" if self.met else "missed"
        return f"{word} (goal)" if self.kind is Kind.GOAL else word
