"""Many want what one has, all at once, and find each other: each serves what it has verified while the rest arrives.

They are told the publisher alone. The bound is T* = (F/u)(1 + floor(log2 N)/M), where all send at the same rate u, and
counts from the first start: `within_s` allows for the time in which they start and get to know each other, and for the
end, when what came last goes round (docs/decisions/0070-simulator.md). Of eight members at most the last has 0.7 of the
speed of T*: the worst of fifty runs had 0.775.
"""

from __future__ import annotations

import math
from math import floor, log2
from random import Random

from p2phub import limits
from simnet.scene import MB, NODES_LARGE, NODES_USUAL_MAX, Member, Scene

CHUNK_BYTES = 256 * limits.KIB


def _content(wanting: int) -> tuple[int, float]:
    """Return how many bytes `wanting` fetch, and how many a second each sends."""
    if wanting >= NODES_LARGE:  # Each second, and each chunk, of each of hundreds costs: little, and quick.
        return limits.PREFIX_CONTENT_BYTES_MAX + CHUNK_BYTES, 100 * MB
    # A few are quick to simulate, and quickly acquainted; many take long to simulate.
    return (16 if wanting <= 4 else 32 if wanting < NODES_USUAL_MAX else 24) * limits.MIB, 4 * MB


def scene(chance: Random, nodes: int | None) -> Scene:
    wanting = (nodes or 7) - 1
    size, rate = _content(wanting)
    pieces = size / CHUNK_BYTES
    best_s = size / rate * (1 + floor(log2(max(1, wanting))) / pieces)
    members = [Member("publisher", holds=True, up=rate, down=4 * rate)]
    members += [
        Member(
            f"r{number}",
            fetches=True,
            knows=("publisher",),
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
        chunk_bytes=CHUNK_BYTES,
        best_s=best_s,
        of_best_min=0.7 if wanting < NODES_USUAL_MAX else 0.0,
        within_s=best_s / 0.65 + 3 + wanting / 8,
        waste_max=0.05,
        # Beyond that not all are linked to all: who does not see that another has a chunk asks the publisher for it.
        copies_max=1.2 if wanting <= limits.CROWD_LINKS_MAX else math.inf,
    )
