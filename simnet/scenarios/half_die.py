"""Half of all providers are killed in one instant, and stay dead: the others carry on with what those had begun."""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, NODES_USUAL_MAX, Happening, Member, Scene


def scene(chance: Random, nodes: int | None) -> Scene:
    count = (nodes or NODES_USUAL_MAX) - 1
    rate, size = 1 * MB, 16 * limits.MIB
    names = [f"p{number}" for number in range(count)]
    at_s = chance.uniform(0.2, 1.5)
    dead = chance.sample(names, count // 2)
    best_s = size / (rate * (count - len(dead)))
    return Scene(
        members=(*(Member(name, holds=True, up=rate) for name in names), Member("bob", fetches=True)),
        happenings=tuple(Happening(at_s, "kill", name) for name in dead),
        files={"model.safetensors": size},
        best_s=best_s,
        within_s=1.25 * best_s + 5,
        waste_max=0.20,
    )
