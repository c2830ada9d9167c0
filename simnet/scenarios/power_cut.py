"""The requester's power goes, on a real disk that loses what was not synced: its journal is never ahead of its data."""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, NODES_USUAL_MAX, Happening, Member, Scene, named, outage, side_by_side


def scene(chance: Random, nodes: int | None) -> Scene:
    if nodes is not None and nodes > NODES_USUAL_MAX:
        return side_by_side(scene, chance, nodes)
    count = nodes or 2
    wanting = named("bob", count - 1)
    rate, size = 4 * MB, 24 * limits.MIB
    happenings: list[Happening] = []
    for bob in wanting:
        first_s = chance.uniform(2.2, 2.8)
        again_s = first_s + chance.uniform(0.7, 3.5)
        for at_s in (first_s, again_s):
            happenings += outage(bob, at_s)
    return Scene(
        members=(
            Member("ann", holds=True, up=rate),
            *(Member(bob, fetches=True, up=rate, knows=("ann",), real_disk=True) for bob in wanting),
        ),
        happenings=tuple(happenings),
        files={"one.bin": size // 2, "sub/two.bin": size // 4, "three.bin": size // 4},
        best_s=size / rate + 1,
        within_s=60 + (len(wanting) - 1) * size / rate,
        waste_max=1.5,
    )
