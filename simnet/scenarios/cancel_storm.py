"""Users give up at any moment and start again, over and over: nothing stays open, and what was verified is kept.

Several do so at once, who serve each other meanwhile what they have of it.
"""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, NODES_USUAL_MAX, Member, Scene, content_bytes


def scene(chance: Random, nodes: int | None) -> Scene:
    wanting = max(1, (nodes or 4) - 1)
    rate, size = 2 * MB, content_bytes(6 * limits.MIB, wanting + 1)
    times = 6 if wanting < NODES_USUAL_MAX else 1  # Of many each once: they meet each other's beginnings as it is.
    members = [Member("publisher", holds=True, up=rate)]
    for number in range(wanting):
        # Half of the times early, in the dials and questions that a fetch begins with.
        cancels = [chance.uniform(0, 0.3) if chance.random() < 0.5 else chance.uniform(0.3, 3) for _ in range(times)]
        member = Member(
            f"r{number}",
            fetches=True,
            starts_s=chance.uniform(0, 1),
            up=rate,
            cancels_s=tuple(cancels),
            knows=("publisher",) if chance.random() < 0.5 else None,
            real_disk=number == 0,
        )
        members.append(member)
    return Scene(
        members=tuple(members),
        files={"one.bin": size // 2, "sub/two.bin": size - size // 2},
        best_s=size / rate,
        within_s=wanting * size / rate + 30,
        waste_max=0.60,
    )
