"""A provider's file is changed under it: it refuses what it can no longer prove, and is not blamed for it."""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, Happening, Member, Scene


def scene(chance: Random, nodes: int | None) -> Scene:
    rate, size = 3 * MB, 20 * limits.MIB
    return Scene(
        members=(
            Member("ann", holds=True, up=rate),
            Member("cy", holds=True, up=rate),
            Member("bob", fetches=True, knows=("ann", "cy")),
        ),
        happenings=(Happening(chance.uniform(0.2, 2.5), "touch", "ann"),),
        files={"a.bin": size // 2, "b.bin": size - size // 2},
        best_s=size / (2 * rate),
        within_s=size / rate + 10,
    )
