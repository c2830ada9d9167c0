"""Lines that lose up to 3 parts in 10, and are up to half a second long: slow they may be, blamed is nobody, all comes.

There are no packets: what is lost comes a while later, in its order. Of two providers that are one content long enough
away, a fetch keeps 0.7 of its rate up to 2 % of loss, and half of it beyond.
"""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, Member, Scene, named


def scene(chance: Random, nodes: int | None) -> Scene:
    rate, size = 0.5 * MB, 8 * limits.MIB
    loss = chance.choice((0.005, 0.02, 0.1, 0.3))
    latency_s = chance.uniform(0.01, 0.12)  # To the middle of the network: a way there and back takes four of it.
    providers = named("p", max(2, (nodes or 3) - 1))
    best_s = size / (min(8, len(providers)) * rate)
    return Scene(
        members=(
            *(Member(name, holds=True, up=rate, latency_s=latency_s) for name in providers),
            Member("bob", fetches=True, knows=providers, latency_s=latency_s),
        ),
        files={"model.safetensors": size},
        loss=loss,
        best_s=best_s,
        of_best_min=(0.7 if loss <= 0.02 else 0.5) if len(providers) == 2 else 0.0,
        within_s=(best_s / 0.7 + 40 * latency_s if loss <= 0.02 else 5 * best_s) + 5,
        waste_max=0.30,
    )
