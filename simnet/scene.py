"""What a scenario is: who is there, what happens to them, and what must have come of it. Plain values.

A scenario is a file in `simnet/scenarios` with a function `scene(chance, nodes)`; all that is left to chance (sizes,
rates, moments) it draws from `chance`, so that a seed is the whole story.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
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
    neighbours: tuple[str, ...] | None = None  # Whom its local network names, if asked; None: it has none.
    patience_s: float = 60.0
    wait_s: float | None = None  # How long its user has it wait while nobody is there; None: they say nothing.
    may_end_with: tuple[str, ...] = ()  # Names of errors that may end its fetch, besides success.
    real_disk: bool = False  # Its store is the file system's, below a temporary folder.
    hashes: float = math.inf  # Bytes a second that each of its threads checks.
    natted: bool = False  # It dials others, and nobody can dial it.
    network: str = "10"  # How its address begins: one or two numbers.
    found_at: str = ""  # Whoever names it, names the address of this other member.
    beside: str = ""  # It has the IP address of this other member, as one behind the same router or on the same host.
    cancels_s: tuple[float, ...] = ()  # Its user gives up so long after each start, and a moment later starts again.
    then_again_s: float = 0.0  # If it ended so: when to fetch again, which must succeed.
    in_order: bool = False  # It reads what it fetches, from front to back,
    waits_s_max: float = math.inf  # and waits no longer than this for what comes next.


@dataclass(frozen=True)
class Happening:
    """`act` befalls `who` at `at_s`: kill, restart, freeze, thaw, cut (nothing gets from `who` to `other`), heal, slow
    (to `amount` bytes a second), disk-room (`amount` bytes are left), disk-rate, sync-rate, touch (a file
    changes)."""

    at_s: float
    act: str
    who: str
    other: str = ""
    amount: float = 0.0


@dataclass(frozen=True)
class Says:
    """From `at_s` on `who` answers questions about the name with the publisher's release number `sequence`. It means
    the content that there is, or (`other`) something else."""

    at_s: float
    who: str
    sequence: int
    other: bool = False


@dataclass(frozen=True)
class Asks:
    """`who` resolves the name at `at_s`: by asking `whom`, and else everybody, through its finder."""

    at_s: float
    who: str
    whom: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scene:
    """One run to be. `best_s`: how long it takes at best, by a bound that the scenario knows; `within_s`: how long
    any fetch may take, each time it is begun."""

    members: tuple[Member, ...]
    happenings: tuple[Happening, ...] = ()
    files: Mapping[str, int] = field(default_factory=lambda: {"model.safetensors": 16 * limits.MIB})
    chunk_bytes: int = 256 * limits.KIB
    loss: float = 0.0
    best_s: float = 0.0
    of_best_min: float = 0.0
    """Which part of the speed of `best_s` must be reached."""
    within_s: float = 600.0
    done_by_s: float = math.inf  # Every fetch is done by then, however often it began.
    waste_max: float = 0.10
    """Payload that was received in vain, as a part of the whole."""
    dht: bool = False
    """Whether the nodes find by the real DHT on the real libp2p, and know of it the first member."""
    says: tuple[Says, ...] = ()
    asks: tuple[Asks, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    """What networks are to those who fetch, as in the `[labels]` of a configuration."""
    parts_max: Mapping[str, float] = field(default_factory=dict)
    """Which part of the content a member may send at most, by its name."""
    copies_max: float = math.inf
    """How many copies of the content the first member may send."""
    riders_cost_max: float | None = None
    """How long the honest may take, in times of what they take without the riders; None: there are no riders to
    judge."""

    def __post_init__(self) -> None:
        names = [member.name for member in self.members]
        assert len(set(names)) == len(names)
        plays: list[Happening | Says | Asks] = [*self.happenings, *self.says, *self.asks]
        assert all(each.who in names for each in plays)

    def without(self, character: str) -> Scene:
        """Return the same scene without the members of one character."""
        return replace(self, members=tuple(member for member in self.members if member.character != character))


def pushed(size: int, wanting: int) -> float:
    """Return which part of the content may come twice where many fetch it.

    The beginning is pushed to each, who may have it by then from a provider that answered sooner.
    """
    return limits.PREFIX_BYTES_MAX / size if wanting > 1 else 0.0


def of_best(best_s: float, *, part: float, begins_s: float) -> float:
    """Return which part of the best speed is reached where bytes flow after `begins_s`, at `part` of the best rate.

    `best_s`: how long it would take from the start at the best rate. The beginning is more of less content.
    """
    return best_s / (best_s / part + begins_s)


def outage(who: str, at_s: float, lasts_s: float = 0.5) -> tuple[Happening, Happening]:
    """Return what befalls `who` that is killed at `at_s`, and started again `lasts_s` later."""
    return Happening(at_s, "kill", who), Happening(at_s + lasts_s, "restart", who)


Build = Callable[[Random, int | None], Scene]
"""`nodes`: how many members in all, None: as many as the scenario is told with, eight at most."""

NODES_USUAL_MAX = 8
NODES_LARGE = 50  # For a scenario that does not say NODES_LARGE itself.
SWARM_NODES = 5  # Of many side by side.


def named(name: str, count: int) -> tuple[str, ...]:
    """Return names for `count` members of one kind; `name` alone for one."""
    return (name,) if count == 1 else tuple(f"{name}{number}" for number in range(count))


def content_bytes(usual: int, nodes: int) -> int:
    """Return how much content `nodes` members share: less for many, who would need minutes to simulate else."""
    return usual if nodes <= NODES_USUAL_MAX else usual // 4


def side_by_side(build: Build, chance: Random, nodes: int) -> Scene:
    """Return swarms of SWARM_NODES in one network, `nodes` members in all, that know nothing of each other.

    So a fault that concerns one requester and its providers befalls many, each at moments of its own.
    """
    sizes = [SWARM_NODES] * (nodes // SWARM_NODES)
    sizes[-1] += nodes % SWARM_NODES
    scenes = [build(chance, size) for size in sizes]
    members: list[Member] = []
    happenings: list[Happening] = []
    parts_max: dict[str, float] = {}
    for number, scene in enumerate(scenes):
        assert scene.files == scenes[0].files, "they share the content"
        assert not scene.says, "they share the name"
        assert not scene.asks

        def renamed(name: str, number: int = number) -> str:
            return f"{name}-{number}" if name else name

        members += [
            replace(
                member,
                name=renamed(member.name),
                found_at=renamed(member.found_at),
                beside=renamed(member.beside),
                knows=None if member.knows is None else tuple(map(renamed, member.knows)),
                neighbours=None if member.neighbours is None else tuple(map(renamed, member.neighbours)),
            )
            for member in scene.members
        ]
        happenings += [
            replace(happening, who=renamed(happening.who), other=renamed(happening.other))
            for happening in scene.happenings
        ]
        parts_max |= {renamed(name): part for name, part in scene.parts_max.items()}
    return replace(
        scenes[0],
        members=tuple(members),
        happenings=tuple(happenings),
        parts_max=parts_max,
        loss=max(scene.loss for scene in scenes),
        best_s=max(scene.best_s for scene in scenes),
        within_s=max(scene.within_s for scene in scenes),
        waste_max=max(scene.waste_max for scene in scenes),
    )


def some_bad(chance: Random, characters: Sequence[str], *, bad: int, honest: int, rate: float) -> tuple[Member, ...]:
    """Return providers that each send at `rate`, in random order: `bad` of them of a random one of `characters`."""
    kinds = [chance.choice(characters) for _ in range(bad)] + ["honest"] * honest
    chance.shuffle(kinds)
    return tuple(Member(f"p{number}", kind, holds=True, up=rate) for number, kind in enumerate(kinds))


def best_among(size: int, *, rate: float, honest: int, wanting: int) -> float:
    """Return in how many seconds `wanting` may have `size` bytes at best, where they and the honest providers send at
    `rate`, and each takes from `limits.BULK_THREADS_MAX` at once."""
    alone_s = size / (rate * min(limits.BULK_THREADS_MAX, honest))
    return max(alone_s, wanting * size / (rate * (honest + wanting)))


def scenarios() -> dict[str, Build]:
    """Return every scenario by its name, which is that of its file."""
    package = import_module("simnet.scenarios")
    names = sorted(found.name for found in iter_modules(package.__path__))
    return {name: import_module(f"simnet.scenarios.{name}").scene for name in names}


def large_nodes(name: str) -> int:
    """Return how many members a large run of scenario `name` has."""
    nodes: int = getattr(import_module(f"simnet.scenarios.{name}"), "NODES_LARGE", NODES_LARGE)
    return nodes


def least_nodes(name: str) -> int:
    """Return with how few nodes a scenario can be told: somebody has something and somebody wants it, and it does not
    take more nodes than it was given."""
    build = scenarios()[name]
    return next(nodes for nodes in range(2, NODES_USUAL_MAX + 1) if _can_be_told(build, nodes))


def _can_be_told(build: Build, nodes: int) -> bool:
    try:
        scene = build(Random(0), nodes)
    except ArithmeticError:  # It shares something among nobody.
        return False
    wants = bool(scene.asks) or any(member.fetches for member in scene.members)
    return wants and any(member.holds for member in scene.members) and len(scene.members) <= nodes
