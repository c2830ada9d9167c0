"""Five providers, of which one is killed, one freezes, one lies and one turns slow, all before a quarter is done.

It reaches 0.8 of what is left of them at least.
"""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, Happening, Member, Scene


def scene(chance: Random, nodes: int | None) -> Scene:
    rate = 1 * MB
    size = 16 * limits.MIB
    quarter_s = size / (5 * rate) / 4
    moments = sorted(chance.uniform(0.3, quarter_s) for _ in range(3))
    chance.shuffle(moments)
    providers = (
        Member("killed", holds=True, up=rate),
        Member("frozen", holds=True, up=rate),
        Member("liar", "liar", holds=True, up=rate),
        Member("slow", holds=True, up=rate),
        Member("honest", holds=True, up=rate),
    )
    return Scene(
        members=(*providers, Member("bob", fetches=True, knows=tuple(each.name for each in providers))),
        happenings=(
            Happening(moments[0], "kill", "killed"),
            Happening(moments[1], "freeze", "frozen"),
            Happening(moments[2], "slow", "slow", amount=0.1 * MB),
        ),
        files={"model.safetensors": size},
        # What is left of them: one honest, one slow.
        best_s=size / (rate + 0.1 * MB),
        of_best_min=0.8,
        within_s=size / (rate + 0.1 * MB) / 0.8 + 25,
        waste_max=0.30,
    )
