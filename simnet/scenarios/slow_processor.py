"""The requester hashes slower than its network brings: it is waited for, nothing piles up, and nobody is blamed."""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, Member, Scene


def scene(chance: Random, nodes: int | None) -> Scene:
    size, hashes = 12 * limits.MIB, chance.choice((0.5, 1.0, 2.0)) * MB
    return Scene(
        members=(
            Member("ann", holds=True, up=20 * MB),
            Member("cy", holds=True, up=20 * MB),
            Member("bob", fetches=True, knows=("ann", "cy"), hashes=hashes),
        ),
        files={"model.safetensors": size},
        best_s=size / (4 * hashes),  # Two links to each, and each has a thread and a processor of its own.
        within_s=1.5 * size / hashes + 10,
        waste_max=0.15,
    )
