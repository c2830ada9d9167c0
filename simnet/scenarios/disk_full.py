"""The requester's disk is full before the end: it says so, blames nobody, keeps what it has, and a later fetch ends."""

from __future__ import annotations

import math
from random import Random

from p2phub import limits
from simnet.scene import MB, NODES_USUAL_MAX, Happening, Member, Scene, named, side_by_side


def scene(chance: Random, nodes: int | None) -> Scene:
    if nodes is not None and nodes > NODES_USUAL_MAX:
        return side_by_side(scene, chance, nodes)
    count = nodes or 3
    wanting = named("bob", count - 2)
    rate, size = 4 * MB, 16 * limits.MIB
    return Scene(
        members=(
            Member("ann", holds=True, up=rate),
            Member("cy", holds=True, up=rate),
            *(
                Member(name, fetches=True, up=rate, knows=("ann", "cy"), may_end_with=("DiskFull",), then_again_s=10.0)
                for name in wanting
            ),
        ),
        happenings=(
            *(Happening(0.0, "disk-room", name, amount=chance.randrange(0, size)) for name in wanting),
            *(Happening(8.0, "disk-room", name, amount=math.inf) for name in wanting),
        ),
        files={"model.safetensors": size},
        within_s=30 + (len(wanting) - 1) * size / (2 * rate),
        waste_max=1.0,
    )
