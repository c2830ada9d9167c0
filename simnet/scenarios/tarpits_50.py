"""Half of the providers hardly answer: they drip, stall, hold nothing, or boast of what they lack.

None of that is a lie that can be proved, so none may be banned. It takes at most 1.5 times as long as the honest ones
would need at best: what the others still hold at its end is asked of those, too (proto/transfer.md §5).
"""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, NODES_USUAL_MAX, Member, Scene, best_among, some_bad


def scene(chance: Random, nodes: int | None) -> Scene:
    count = (nodes or 7) - 1  # Of providers.
    bad = count // 2
    rate, size = 2 * MB, (24 if count < NODES_USUAL_MAX else 120) * limits.MIB
    providers = some_bad(chance, ("tarpit", "staller", "boaster", "empty"), bad=bad, honest=count - bad, rate=rate)
    best_s = best_among(size, rate=rate, honest=count - bad, wanting=1)
    knows = tuple(each.name for each in providers)
    return Scene(
        members=(*providers, Member("bob", fetches=True, up=rate, knows=knows)),
        files={"model.safetensors": size},
        best_s=best_s,
        of_best_min=1 / 1.5,
        within_s=1.5 * best_s + 25,
        waste_max=0.30,
    )
