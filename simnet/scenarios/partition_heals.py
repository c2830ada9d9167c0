"""Links are cut, both ways or one way, and heal: whoever is cut off loses time and nothing else."""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, NODES_USUAL_MAX, Happening, Member, Scene, named, side_by_side


def scene(chance: Random, nodes: int | None) -> Scene:
    if nodes is not None and nodes > NODES_USUAL_MAX:
        return side_by_side(scene, chance, nodes)
    count = nodes or 3
    wanting = named("bob", count - 2)
    rate, size = 1 * MB, 16 * limits.MIB
    happenings: list[Happening] = []
    for bob in wanting:
        for name in ("ann", "cy"):
            at_s = chance.uniform(0.5, 3.0)
            long_s = chance.choice((0.5, 5.0, 25.0)) * chance.uniform(0.8, 1.2)
            ways = chance.choice(((name, bob), (bob, name), None))
            for source, target in [ways] if ways else [(name, bob), (bob, name)]:
                happenings += [
                    Happening(at_s, "cut", source, target),
                    Happening(at_s + long_s, "heal", source, target),
                ]
    return Scene(
        members=(
            Member("ann", holds=True, up=rate),
            Member("cy", holds=True, up=rate),
            *(Member(bob, fetches=True, up=rate, knows=("ann", "cy"), patience_s=90) for bob in wanting),
        ),
        happenings=tuple(happenings),
        files={"model.safetensors": size},
        loss=chance.choice((0.0, 0.0, 0.02)),
        best_s=size / (2 * rate),
        within_s=150 + (len(wanting) - 1) * size / (2 * rate),
        waste_max=0.40,
    )
