"""The requester's disk is slower than the network: it is waited for, memory stays bounded, and nobody is blamed."""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, Happening, Member, Scene, content_bytes, named, pushed


def scene(chance: Random, nodes: int | None) -> Scene:
    count = nodes or 3
    wanting = named("bob", count - 2)
    size, disk = content_bytes(24 * limits.MIB, count), chance.choice((1.0, 2.0, 4.0)) * MB
    return Scene(
        members=(
            Member("ann", holds=True, up=20 * MB),
            Member("cy", holds=True, up=20 * MB),
            *(Member(bob, fetches=True, up=20 * MB, knows=("ann", "cy")) for bob in wanting),
        ),
        happenings=tuple(Happening(0.0, "disk-rate", bob, amount=disk) for bob in wanting),
        files={"model.safetensors": size},
        best_s=size / (2 * disk),  # Each link's thread writes at the disk's rate.
        within_s=1.5 * size / disk + 10 + (len(wanting) - 1) * size / (40 * MB),
        waste_max=0.10 + pushed(size, len(wanting)),
    )
