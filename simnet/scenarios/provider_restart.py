"""The only provider is killed, is away for a while, and comes back: the fetch waits for it and goes on.

Of many requesters some have nothing when it goes first, since all share its uplink: they may give up, and begin again.
"""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, NODES_USUAL_MAX, Happening, Member, Scene, named, outage, side_by_side


def scene(chance: Random, nodes: int | None) -> Scene:
    if nodes is not None and nodes > NODES_USUAL_MAX:
        return side_by_side(scene, chance, nodes)
    count = nodes or 2
    rate, size = 2 * MB, (16 if count == 2 else 8) * limits.MIB
    happenings: list[Happening] = []
    away_s, at_s = 0.0, 0.5
    for _ in range(chance.randint(1, 3)):
        at_s += chance.uniform(0.5, 2.0)
        pause_s = chance.uniform(0.1, 15.0)
        happenings += outage("ann", at_s, pause_s)
        at_s += pause_s
        away_s += pause_s
    may_end_with = ("NoProvider",) if count > 2 else ()
    return Scene(
        members=(
            Member("ann", holds=True, up=rate),
            *(
                Member(bob, fetches=True, up=rate, knows=("ann",), may_end_with=may_end_with, then_again_s=at_s + 1.0)
                for bob in named("bob", count - 1)
            ),
        ),
        happenings=tuple(happenings),
        files={"model.safetensors": size},
        best_s=size / rate + away_s,
        within_s=(count - 1) * size / rate + away_s + 20 * len(happenings) + 5,
        waste_max=0.40,
    )
