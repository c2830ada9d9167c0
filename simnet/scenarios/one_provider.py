"""One provider, one requester, of any speed and distance: the plain case, near the bound of the link."""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, Member, Scene


def scene(chance: Random, nodes: int | None) -> Scene:
    rate = chance.choice((1, 4, 20, 60)) * MB
    latency_s = chance.choice((0.001, 0.01, 0.04))
    files = {f"part-{number}.bin": chance.randrange(1, 12 * limits.MIB) for number in range(chance.randint(1, 4))}
    size = sum(files.values())
    return Scene(
        members=(
            Member("ann", holds=True, up=rate, latency_s=latency_s),
            Member("bob", fetches=True, knows=("ann",), latency_s=latency_s),
        ),
        files=files,
        chunk_bytes=chance.choice((64 * limits.KIB, limits.MIB)),
        best_s=size / rate,
        within_s=1.1 * size / rate + 40 * latency_s + 3,
        waste_max=0.02,
    )
