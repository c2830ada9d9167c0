"""Most of a crowd can dial and cannot be dialled, and some links carry one way alone for a while: all get all.

Who cannot be dialled fetches from who can, and nobody dials it on and on. Nothing is punched through yet, so what it
holds is of no use to others: the bound is what those who can be dialled send.
"""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, Happening, Member, Scene


def scene(chance: Random, nodes: int | None) -> Scene:
    wanting = max(2, (nodes or 8) - 1)
    rate, size = 4 * MB, 4 * limits.MIB
    natted = [number % 4 != 0 for number in range(wanting)]
    members = [Member("publisher", holds=True, up=rate)]
    members += [
        Member(f"r{number}", fetches=True, starts_s=chance.uniform(0, 1), up=rate, natted=natted[number], patience_s=90)
        for number in range(wanting)
    ]
    happenings: list[Happening] = []
    for member in chance.sample(members[1:], max(1, wanting // 3)):
        other = chance.choice([each for each in members if each is not member and not each.natted])
        source, target = chance.sample((member.name, other.name), 2)
        at_s = chance.uniform(0.2, 3.0)
        happenings.append(Happening(at_s, "cut", source, target))
        happenings.append(Happening(at_s + chance.uniform(1.0, 20.0), "heal", source, target))
    return Scene(
        members=tuple(members),
        happenings=tuple(happenings),
        files={"model.safetensors": size},
        best_s=size / rate,
        within_s=wanting * size / rate + 60,
        waste_max=0.40,
    )
