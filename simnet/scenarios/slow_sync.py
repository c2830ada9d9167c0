"""The requester's memory takes what comes, its disk makes it durable slowly: a power cut costs SYNC_BYTES at most."""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, NODES_USUAL_MAX, Happening, Member, Scene, named, outage, pushed, side_by_side


def scene(chance: Random, nodes: int | None) -> Scene:
    if nodes is not None and nodes > NODES_USUAL_MAX:
        return side_by_side(scene, chance, nodes)
    count = nodes or 3
    wanting = named("bob", count - 2)
    size, disk, up = 160 * limits.MIB, chance.choice((8.0, 12.0, 20.0)) * MB, 60 * MB
    happenings = [Happening(0.0, "sync-rate", bob, amount=disk) for bob in wanting]
    for bob in wanting:
        happenings += outage(bob, chance.uniform(3.0, 6.0))
    return Scene(
        members=(
            Member("ann", holds=True, up=up),
            Member("cy", holds=True, up=up),
            *(Member(bob, fetches=True, up=up, knows=("ann", "cy")) for bob in wanting),
        ),
        happenings=tuple(happenings),
        files={"one.bin": size // 2, "two.bin": size // 2},
        best_s=size / (2 * up),
        within_s=2 * size / disk + 10 + (len(wanting) - 1) * size / (2 * up),
        waste_max=limits.SYNC_BYTES / size + 0.05 + pushed(size, len(wanting)),
    )
