"""A provider's file is changed under it: it refuses what it can no longer prove, and is not blamed for it."""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, NODES_USUAL_MAX, Happening, Member, Scene, named, pushed, side_by_side


def scene(chance: Random, nodes: int | None) -> Scene:
    if nodes is not None and nodes > NODES_USUAL_MAX:
        return side_by_side(scene, chance, nodes)
    count = nodes or 3
    rate, size = 3 * MB, 20 * limits.MIB
    return Scene(
        members=(
            Member("ann", holds=True, up=rate),
            Member("cy", holds=True, up=rate),
            *(Member(name, fetches=True, up=rate, knows=("ann", "cy")) for name in named("bob", count - 2)),
        ),
        happenings=(Happening(chance.uniform(0.2, 2.5), "touch", "ann"),),
        files={"a.bin": size // 2, "b.bin": size - size // 2},
        best_s=size / (2 * rate),
        waste_max=0.10 + pushed(size, count - 2),
        within_s=(count - 2) * size / rate + 10,
    )
