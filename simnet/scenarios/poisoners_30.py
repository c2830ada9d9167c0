"""Three in ten providers send wrong bytes: each is proved and never asked again, and the rest carry the fetch.

It takes at most 1.3 times as long as the honest ones would need at best.
"""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, Member, Scene


def scene(chance: Random, nodes: int | None) -> Scene:
    count = nodes or 10
    bad = max(1, round(0.3 * count))
    kinds = [chance.choice(("liar", "liar", "flooder")) for _ in range(bad)] + ["honest"] * (count - bad)
    chance.shuffle(kinds)
    rate, size = 2 * MB, 40 * limits.MIB
    providers = [Member(f"p{number}", kind, holds=True, up=rate) for number, kind in enumerate(kinds)]
    best_s = size / (rate * min(8, count - bad))
    return Scene(
        members=(*providers, Member("bob", fetches=True, knows=tuple(each.name for each in providers))),
        files={"model.safetensors": size},
        best_s=best_s,
        of_best_min=1 / 1.3,
        within_s=2.0 * best_s + 8,
        waste_max=0.40,
    )
