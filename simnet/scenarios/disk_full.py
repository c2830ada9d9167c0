"""The requester's disk is full before the end: it says so, blames nobody, keeps what it has, and a later fetch ends."""

from __future__ import annotations

import math
from random import Random

from p2phub import limits
from simnet.scene import MB, Happening, Member, Scene


def scene(chance: Random, nodes: int | None) -> Scene:
    rate, size = 4 * MB, 16 * limits.MIB
    return Scene(
        members=(
            Member("ann", holds=True, up=rate),
            Member("cy", holds=True, up=rate),
            Member("bob", fetches=True, knows=("ann", "cy"), may_end_with=("DiskFull",), then_again_s=10.0),
        ),
        happenings=(
            Happening(0.0, "disk-room", "bob", amount=chance.randrange(0, size)),
            Happening(8.0, "disk-room", "bob", amount=math.inf),
        ),
        files={"model.safetensors": size},
        within_s=30,
        waste_max=1.0,
    )
