"""The requester is killed in the middle, and its disk loses some of what was not synced: it resumes, and ends right."""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, NODES_USUAL_MAX, Happening, Member, Scene, named, outage, side_by_side


def scene(chance: Random, nodes: int | None) -> Scene:
    if nodes is not None and nodes > NODES_USUAL_MAX:
        return side_by_side(scene, chance, nodes)
    count = nodes or 3
    wanting = named("bob", count - 2)
    rate, size = 3 * MB, 20 * limits.MIB
    happenings: list[Happening] = []
    for bob in wanting:
        first_s = chance.uniform(1.0, 3.0)
        again_s = first_s + chance.uniform(3.0, 6.0)
        for at_s in (first_s, again_s):
            happenings += outage(bob, at_s)
    return Scene(
        members=(
            Member("ann", holds=True, up=rate),
            Member("cy", holds=True, up=rate),
            *(Member(bob, fetches=True, up=rate, knows=("ann", "cy")) for bob in wanting),
        ),
        happenings=tuple(happenings),
        files={"one.bin": size // 2, "two.bin": size - size // 2},
        best_s=size / (2 * rate) + 1,
        within_s=60 + (len(wanting) - 1) * size / (2 * rate),
        waste_max=1.5,
    )
