"""Four in ten of those who want it take from everybody and give nobody anything: they pay for that, not the others.

Everybody keeps a cap on what it sends, so that upload is what is short. Content and rates are such that the transfer
takes several times what a crowd needs to get to know itself: until then nobody can be told from a free rider. Then the
others take 1.25 times what they take without the riders at most, and these end later: what was found, and what is
judged where, stands in docs/decisions/0062-fair-shares.md.
"""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, NODES_USUAL_MAX, Member, Scene, side_by_side


def scene(chance: Random, nodes: int | None) -> Scene:
    if nodes is not None and nodes > NODES_USUAL_MAX:
        return side_by_side(scene, chance, nodes)
    wanting = (nodes or 6) - 1
    riders = round(0.4 * wanting)
    rate, size = 4 * MB, 40 * limits.MIB
    # The riders come last, so that the others are who they are without them, too.
    members = [Member("publisher", holds=True, cap=rate)]
    members += [
        Member(
            f"r{number}",
            "honest" if number < wanting - riders else "rider",
            fetches=True,
            knows=("publisher",),
            starts_s=chance.uniform(0, 0.5),
            cap=rate,
            down=4 * rate,
            latency_s=chance.choice((0.002, 0.01, 0.03)),
        )
        for number in range(wanting)
    ]
    return Scene(
        members=tuple(members),
        files={"model.safetensors": size},
        chunk_bytes=512 * limits.KIB,
        best_s=size / rate,
        within_s=8 * size / rate,
        waste_max=0.20,
        riders_cost_max=1.25,
    )
