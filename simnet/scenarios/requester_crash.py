"""The requester is killed in the middle, and its disk loses some of what was not synced: it resumes, and ends right."""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, Happening, Member, Scene


def scene(chance: Random, nodes: int | None) -> Scene:
    rate, size = 3 * MB, 20 * limits.MIB
    at_s = chance.uniform(1.0, 3.0)
    again_s = at_s + chance.uniform(3.0, 6.0)
    return Scene(
        members=(
            Member("ann", holds=True, up=rate),
            Member("cy", holds=True, up=rate),
            Member("bob", fetches=True, knows=("ann", "cy")),
        ),
        happenings=(
            Happening(at_s, "kill", "bob"),
            Happening(at_s + 0.5, "restart", "bob"),
            Happening(again_s, "kill", "bob"),
            Happening(again_s + 0.5, "restart", "bob"),
        ),
        files={"one.bin": size // 2, "two.bin": size - size // 2},
        best_s=size / (2 * rate) + 1,
        within_s=60,
        waste_max=1.5,
    )
