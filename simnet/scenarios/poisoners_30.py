"""Three in ten providers send wrong bytes: each is proved and never asked again, and the rest carry the fetch.

It takes at most 1.3 times as long as the honest ones would need at best.
"""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, NODES_USUAL_MAX, Member, Scene, best_among, some_bad


def scene(chance: Random, nodes: int | None) -> Scene:
    count = (nodes or 8) - 1  # Of providers.
    bad = max(1, round(0.3 * count))
    rate, size = 2 * MB, (40 if count < NODES_USUAL_MAX else 80) * limits.MIB
    providers = some_bad(chance, ("liar", "liar", "flooder"), bad=bad, honest=count - bad, rate=rate)
    best_s = best_among(size, rate=rate, honest=count - bad, wanting=1)
    knows = tuple(each.name for each in providers)
    return Scene(
        members=(*providers, Member("bob", fetches=True, up=rate, knows=knows)),
        files={"model.safetensors": size},
        best_s=best_s,
        of_best_min=1 / 1.3,
        within_s=2.0 * best_s + 8,
        waste_max=0.40,
    )
