"""Somebody reads what they fetch, from front to back. One provider is slow, one freezes: they wait a second or so.

The one freezes when it is known by now what the slow one is worth: of two that are asked for one chunk one is good.
"""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, Happening, Member, Scene, content_bytes, side_by_side

WAITS_S_MAX = 2.0
"""Until a provider is late, and what another then takes for a chunk, beside what it was asked for already."""
KNOWN_S = 2.0
SIDE = 6
"""Members: a reader, and who provides."""


def scene(chance: Random, nodes: int | None) -> Scene:
    if nodes is not None and nodes >= 2 * SIDE:
        return side_by_side(scene, chance, nodes)
    count = (nodes or SIDE) - 3
    rate = chance.choice((1, 2)) * MB
    size = content_bytes(24 * limits.MIB, nodes or SIDE)
    good = [Member(f"good{number}", holds=True, up=rate) for number in range(count)]
    providers = [*good, Member("slow", holds=True, up=rate / 50), Member("frozen", holds=True, up=rate)]
    chance.shuffle(providers)
    best_s = size / (count * rate)
    knows = tuple(each.name for each in providers)
    return Scene(
        members=(*providers, Member("bob", fetches=True, knows=knows, in_order=True, waits_s_max=WAITS_S_MAX)),
        happenings=(Happening(chance.uniform(KNOWN_S, max(KNOWN_S, best_s / 2)), "freeze", "frozen"),),
        files={"config.json": 5000, "model.safetensors": size - 5000},
        best_s=best_s,
        of_best_min=0.7,
        within_s=1.5 * best_s + 20,
        waste_max=0.3,
    )
