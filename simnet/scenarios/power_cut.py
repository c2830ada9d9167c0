"""The requester's power goes, on a real disk that loses what was not synced: its journal is never ahead of its data."""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, Happening, Member, Scene


def scene(chance: Random, nodes: int | None) -> Scene:
    rate, size = 4 * MB, 24 * limits.MIB
    first_s = chance.uniform(2.2, 2.8)
    again_s = first_s + chance.uniform(0.7, 3.5)
    return Scene(
        members=(
            Member("ann", holds=True, up=rate),
            Member("bob", fetches=True, knows=("ann",), real_disk=True),
        ),
        happenings=(
            Happening(first_s, "kill", "bob"),
            Happening(first_s + 0.5, "restart", "bob"),
            Happening(again_s, "kill", "bob"),
            Happening(again_s + 0.5, "restart", "bob"),
        ),
        files={"one.bin": size // 2, "sub/two.bin": size // 4, "three.bin": size // 4},
        best_s=size / rate + 1,
        within_s=60,
        waste_max=1.5,
    )
