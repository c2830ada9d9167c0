"""Half of the providers hardly answer: they drip, stall, hold nothing, or boast of what they lack.

None of that is a lie that can be proved, so none may be banned. It takes at most 1.5 times as long as the honest ones
would need at best: what the others still hold at its end is asked of those, too (proto/transfer.md §5).
"""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, Member, Scene


def scene(chance: Random, nodes: int | None) -> Scene:
    count = nodes or 8
    bad = count // 2
    kinds = [chance.choice(("tarpit", "staller", "boaster", "empty")) for _ in range(bad)] + ["honest"] * (count - bad)
    chance.shuffle(kinds)
    rate, size = 2 * MB, 24 * limits.MIB
    providers = [Member(f"p{number}", kind, holds=True, up=rate) for number, kind in enumerate(kinds)]
    best_s = size / (rate * min(8, count - bad))
    return Scene(
        members=(*providers, Member("bob", fetches=True, knows=tuple(each.name for each in providers))),
        files={"model.safetensors": size},
        best_s=best_s,
        of_best_min=1 / 1.5,
        within_s=1.5 * best_s + 25,
        waste_max=0.30,
    )
