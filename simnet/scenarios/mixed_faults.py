"""Of five providers one is killed, one freezes, one lies and one turns slow, all before a quarter is done.

A lone requester reaches 0.8 of what is left of them at least.
"""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, Happening, Member, Scene, content_bytes, named, pushed


def scene(chance: Random, nodes: int | None) -> Scene:
    count = nodes or 6
    fives = max(1, count // 6)
    wanting = named("bob", count - 5 * fives)
    rate = 1 * MB
    size = content_bytes(16 * limits.MIB, count)
    quarter_s = size / (5 * rate) / 4
    members: list[Member] = []
    happenings: list[Happening] = []
    for five in range(fives):
        killed, frozen, liar, slow, honest = (
            named(kind, fives)[five] for kind in ("killed", "frozen", "liar", "slow", "honest")
        )
        moments = sorted(chance.uniform(0.3, max(0.5, quarter_s)) for _ in range(3))
        chance.shuffle(moments)
        members += [
            Member(killed, holds=True, up=rate),
            Member(frozen, holds=True, up=rate),
            Member(liar, "liar", holds=True, up=rate),
            Member(slow, holds=True, up=rate),
            Member(honest, holds=True, up=rate),
        ]
        happenings += [
            Happening(moments[0], "kill", killed),
            Happening(moments[1], "freeze", frozen),
            Happening(moments[2], "slow", slow, amount=0.1 * MB),
        ]
    knows = tuple(each.name for each in members)
    best_s = size / (fives * (rate + 0.1 * MB))  # What is left of them: the honest, and the slow.
    return Scene(
        members=(*members, *(Member(name, fetches=True, up=rate, knows=knows) for name in wanting)),
        happenings=tuple(happenings),
        files={"model.safetensors": size},
        best_s=best_s,
        of_best_min=0.8 if len(wanting) == 1 else 0.0,
        within_s=len(wanting) * best_s / 0.8 + 15 + 10 * fives,  # Each frozen one that is met costs its time.
        waste_max=0.30 + pushed(size, len(wanting)),
    )
