"""What a scenario is: who is there, what happens to them, and what must have come of it. Plain values.

A scenario is a file in `simnet/scenarios` with a function `scene(chance, nodes)`; all that is left to chance (sizes,
rates, moments) it draws from `chance`, so that a seed is the whole story.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pkgutil import iter_modules
from random import Random

from p2phub import limits

MB = 1_000_000


@dataclass(frozen=True)
class Member:
    """One node. `knows`: the providers it is told at the start; None: none, so that it asks its finder, which names
    everybody who holds or wants the content."""

    name: str
    character: str = "honest"  # See `characters`.
    holds: bool = False
    fetches: bool = False
    starts_s: float = 0.0
    up: float = math.inf
    down: float = math.inf
    cap: float | None = None  # On what it sends, its own choice.
    latency_s: float = 0.01
    knows: tuple[str, ...] | None = None
    patience_s: float = 60.0
    may_end_with: tuple[str, ...] = ()  # Names of errors that may end its fetch, besides success.
    real_disk: bool = False  # Its store is the file system's, below a temporary folder.
    then_again_s: float = 0.0  # If it ended so: when to fetch again, which must succeed.


@dataclass(frozen=True)
class Happening:
    """`act` befalls `who` at `at_s`: kill, restart, freeze, thaw, cut (nothing gets from `who` to `other`), heal, slow
    (to `amount` bytes a second), disk-room (`amount` bytes are left), disk-rate, touch (a file changes)."""

    at_s: float
    act: str
    who: str
    other: str = ""
    amount: float = 0.0


@dataclass(frozen=True)
class Scene:
    """One run to be. `best_s`: how long it takes at best, by a bound that the scenario knows; `within_s`: how long
    any fetch may take."""

    members: tuple[Member, ...]
    happenings: tuple[Happening, ...] = ()
    files: Mapping[str, int] = field(default_factory=lambda: {"model.safetensors": 16 * limits.MIB})
    chunk_bytes: int = 256 * limits.KIB
    loss: float = 0.0
    best_s: float = 0.0
    within_s: float = 600.0
    waste_max: float = 0.10
    """Payload that was received in vain, as a part of the whole."""
    riders_cost_max: float | None = None
    """How long the honest may take, in times of what they take without the riders (and see `run.GETS_KNOWN_S`); None:
    there are no riders to judge."""

    def __post_init__(self) -> None:
        names = [member.name for member in self.members]
        assert len(set(names)) == len(names)
        assert all(happening.who in names for happening in self.happenings)

    def without(self, character: str) -> Scene:
        """Return the same scene without the members of one character."""
        return replace(self, members=tuple(member for member in self.members if member.character != character))


Build = Callable[[Random, int | None], Scene]


def scenarios() -> dict[str, Build]:
    """Return every scenario by its name, which is that of its file."""
    package = import_module("simnet.scenarios")
    names = sorted(found.name for found in iter_modules(package.__path__))
    return {name: import_module(f"simnet.scenarios.{name}").scene for name in names}
