"""Lines that lose up to 3 parts in 10, and are up to half a second long: slow they may be, blamed is nobody, all comes.

There are no packets: what is lost comes a while later, in its order. Up to 2 % of loss a fetch keeps most of its rate.
"""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, Member, Scene


def scene(chance: Random, nodes: int | None) -> Scene:
    rate, size = 0.5 * MB, 8 * limits.MIB
    loss = chance.choice((0.005, 0.02, 0.1, 0.3))
    latency_s = chance.uniform(0.01, 0.12)  # To the middle of the network: a way there and back takes four of it.
    best_s = size / (2 * rate)
    return Scene(
        members=(
            Member("ann", holds=True, up=rate, latency_s=latency_s),
            Member("cy", holds=True, up=rate, latency_s=latency_s),
            Member("bob", fetches=True, knows=("ann", "cy"), latency_s=latency_s),
        ),
        files={"model.safetensors": size},
        loss=loss,
        best_s=best_s,
        within_s=(best_s / 0.7 + 40 * latency_s if loss <= 0.02 else 5 * best_s) + 5,
        waste_max=0.30,
    )
