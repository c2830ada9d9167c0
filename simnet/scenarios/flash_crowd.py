"""Many want what one has, all at once, and find each other: each serves what it has verified while the rest arrives.

The bound is T* = (F/u)(1 + floor(log2 N)/M). `within_s` allows for the time in which a crowd gets to know itself, which
weighs much here: the content is small, so that the scenario is quick to run (docs/decisions/0070-simulator.md).
"""

from __future__ import annotations

from math import floor, log2
from random import Random

from p2phub import limits
from simnet.scene import MB, Member, Scene


def scene(chance: Random, nodes: int | None) -> Scene:
    wanting = (nodes or 7) - 1
    rate, size, chunk_bytes = 4 * MB, 8 * limits.MIB, 256 * limits.KIB
    pieces = size / chunk_bytes
    best_s = size / rate * (1 + floor(log2(max(1, wanting))) / pieces)
    members = [Member("publisher", holds=True, up=rate, down=4 * rate)]
    members += [
        Member(
            f"r{number}",
            fetches=True,
            starts_s=chance.uniform(0, 0.5),
            up=rate,
            down=4 * rate,
            latency_s=chance.choice((0.002, 0.01, 0.03)),
        )
        for number in range(wanting)
    ]
    return Scene(
        members=tuple(members),
        files={"model.safetensors": size},
        chunk_bytes=chunk_bytes,
        best_s=best_s,
        within_s=best_s / 0.8 + 8 + wanting / 2,
        waste_max=0.20,
    )
