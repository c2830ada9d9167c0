"""Nine in ten of those who are named as providers are none: the fetch finds the one that is, and accuses nobody.

They have nothing, say they have all, never have a place, are not there at all, or are said to be where another is. A
connection to each is the most that they cost, so this takes the time of asking them, and not that of waiting for them.
"""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, NODES_USUAL_MAX, Member, Scene

FALSE = ("empty", "boaster", "refuser", "absent", "misplaced")


def scene(chance: Random, nodes: int | None) -> Scene:
    count = (nodes or NODES_USUAL_MAX) - 1
    honest = max(1, count // 10)
    here = chance.sample(FALSE, chance.randint(1, len(FALSE)))  # Of one kind alone there may be more than is good.
    kinds = [chance.choice(here) for _ in range(count - honest)]
    rate, size = 2 * MB, 8 * limits.MIB
    names = [f"p{number}" for number in range(count)]
    members = [Member(name, holds=True, up=rate) for name in names[:honest]]
    for name, kind in zip(names[honest:], kinds, strict=True):
        if kind == "misplaced":
            members.append(Member(name, holds=True, up=rate, found_at=names[chance.randrange(honest)]))
        else:
            members.append(Member(name, kind, holds=True, up=rate))
    best_s = size / (rate * min(8, honest))
    return Scene(
        members=(*members, Member("bob", fetches=True)),
        files={"model.safetensors": size},
        best_s=best_s,
        within_s=1.5 * best_s + 15,
        waste_max=0.20,
    )
