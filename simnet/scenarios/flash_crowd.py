"""Many want what one has, all at once, and find each other: whoever is done serves the others.

Serving what has arrived while the rest is on its way is not built yet. Until it is, a requester of whom nothing can be
had is asked in vain, and the publisher sends nearly every copy itself; so no part of the bound T* is demanded here.
Once it is: `demanded` becomes 0.8, and `copies_max` 1.2 (see docs/decisions/0070-simulator.md).
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
        within_s=2.0 * wanting * size / rate + 60,
        waste_max=0.20,
    )
