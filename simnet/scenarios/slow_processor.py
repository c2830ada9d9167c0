"""The requester hashes slower than its network brings: a buffer a link waits at most, and nobody is blamed."""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, Member, Scene, named


def scene(chance: Random, nodes: int | None) -> Scene:
    size, hashes = 12 * limits.MIB, chance.choice((0.5, 1.0, 2.0)) * MB
    providers = named("p", max(2, (nodes or 3) - 1))
    return Scene(
        members=(
            *(Member(name, holds=True, up=20 * MB) for name in providers),
            Member("bob", fetches=True, knows=providers, hashes=hashes),
        ),
        files={"model.safetensors": size},
        # Two links to each of two, else one; each has a thread and a processor of its own.
        best_s=size / (max(4, min(8, len(providers))) * hashes),
        within_s=1.5 * size / hashes + 10,
        waste_max=0.15,
    )
