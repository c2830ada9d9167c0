"""Providers with caps of their own, four of five members: a requester gets the sum of them, of eight at most.

A lone one has 0.95 of it after eight round trips of 80 ms at most; of 60 seeds the slowest took 5.9 beside that.
"""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, Member, Scene, content_bytes, named, of_best, pushed

BEGINS_S = 8 * 0.08


def scene(chance: Random, nodes: int | None) -> Scene:
    count = nodes or 5
    wanting = named("bob", max(1, count // 5))
    rates = [chance.choice((2, 4, 8)) * MB for _ in range(count - len(wanting))]
    size = content_bytes(16 * limits.MIB, count)
    providers = [
        Member(f"p{number}", holds=True, up=rate, latency_s=chance.choice((0.002, 0.02)))
        for number, rate in enumerate(rates)
    ]
    # No more than eight are asked at once; what many want has to leave the providers, or another requester.
    best_s = max(size / sum(sorted(rates)[-8:]), len(wanting) * size / sum([*rates, *(4 * MB for _ in wanting)]))
    return Scene(
        members=(
            *providers,
            *(Member(name, fetches=True, up=4 * MB, knows=tuple(each.name for each in providers)) for name in wanting),
        ),
        files={"model.safetensors": size - 5000, "readme.md": 5000},
        best_s=best_s,
        of_best_min=of_best(best_s, part=0.95, begins_s=BEGINS_S) if len(wanting) == 1 else 0.0,
        within_s=1.4 * best_s + 5 * len(wanting),
        waste_max=0.05 + pushed(size, len(wanting)),
    )
