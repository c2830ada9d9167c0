"""The real DHT on the real libp2p: who knows one address finds who has it, also after half of all nodes are gone.

Everybody knows the first member alone. Ann fetches while all are there. Then one of two providers and half of those
who only keep records die, perhaps the first member, too; Bob asks after that, and is not kept waiting by the dead.
"""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, Happening, Member, Scene

NODES_USUAL = 8
NODES_LARGE = 16
JOINED_S = 3.0  # By then tables have filled, and the records are out.
DIED_S = 6.0
FOUND_S = 8.0  # What finding may take: a dial to a dead one is refused, a search has some rounds.


def scene(chance: Random, nodes: int | None) -> Scene:
    keepers = max(0, (nodes or NODES_USUAL) - 5)
    rate, size = 4 * MB, 8 * limits.MIB
    names = [f"k{number}" for number in range(keepers)]
    dead = [*chance.sample(names, keepers // 2), "p1", *["first"] * chance.randint(0, 1)]
    best_s = size / rate
    return Scene(
        members=(
            Member("first"),
            Member("p0", holds=True, up=rate),
            Member("p1", holds=True, up=rate),
            *(Member(name) for name in names),
            Member("ann", fetches=True, starts_s=JOINED_S, down=rate),
            Member("bob", fetches=True, starts_s=DIED_S + 1.0, down=rate),
        ),
        happenings=tuple(Happening(DIED_S + chance.random(), "kill", name) for name in dead),
        files={"model.safetensors": size},
        best_s=best_s,
        within_s=best_s + FOUND_S,
        waste_max=0.20,
        dht=True,
    )
