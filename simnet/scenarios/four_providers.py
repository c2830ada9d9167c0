"""Four providers with caps of their own: the requester gets the sum of them."""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, Member, Scene


def scene(chance: Random, nodes: int | None) -> Scene:
    count = nodes or 4
    rates = [chance.choice((2, 4, 8)) * MB for _ in range(count)]
    size = 16 * limits.MIB
    providers = [
        Member(f"p{number}", holds=True, up=rate, latency_s=chance.choice((0.002, 0.02)))
        for number, rate in enumerate(rates)
    ]
    best_s = size / sum(sorted(rates)[-8:])  # No more than eight are asked at once.
    return Scene(
        members=(*providers, Member("bob", fetches=True, knows=tuple(each.name for each in providers))),
        files={"model.safetensors": size - 5000, "readme.md": 5000},
        best_s=best_s,
        within_s=1.4 * best_s + 5,
        waste_max=0.05,
    )
