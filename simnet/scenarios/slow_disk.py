"""The requester's disk is slower than the network: a buffer a link waits at most, and nobody is blamed."""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, NODES_USUAL_MAX, Happening, Member, Scene, named, pushed, side_by_side


def scene(chance: Random, nodes: int | None) -> Scene:
    if nodes is not None and nodes > NODES_USUAL_MAX:
        return side_by_side(scene, chance, nodes)
    count = nodes or 3
    wanting = named("bob", count - 2)
    size, disk = 24 * limits.MIB, chance.choice((1.0, 2.0, 4.0)) * MB
    return Scene(
        members=(
            Member("ann", holds=True, up=20 * MB),
            Member("cy", holds=True, up=20 * MB),
            *(Member(bob, fetches=True, up=20 * MB, knows=("ann", "cy")) for bob in wanting),
        ),
        happenings=tuple(Happening(0.0, "disk-rate", bob, amount=disk) for bob in wanting),
        files={"model.safetensors": size},
        best_s=size / (2 * disk),  # Each link's thread writes at the disk's rate.
        within_s=1.5 * size / disk + 10 + (len(wanting) - 1) * size / (40 * MB),
        waste_max=0.10 + pushed(size, len(wanting)),
    )
