"""One provider, one requester, of any speed and distance: the plain case, near the bound of the link.

More than two members are pairs of which one knows nothing of the other.
"""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, Member, Scene, content_bytes, named

FRAMES_BYTES = 256  # Around little content they are a noticeable part of it.


def scene(chance: Random, nodes: int | None) -> Scene:
    pairs = (nodes or 2) // 2
    links = [(chance.choice((1, 4, 20, 60)) * MB, chance.choice((0.001, 0.01, 0.04))) for _ in range(pairs)]
    most = content_bytes(12 * limits.MIB, 2 * pairs)
    files = {f"part-{number}.bin": chance.randrange(1, most) for number in range(chance.randint(1, 4))}
    size = sum(files.values())
    members: list[Member] = []
    for ann, bob, (rate, latency_s) in zip(named("ann", pairs), named("bob", pairs), links, strict=True):
        members += [
            Member(ann, holds=True, up=rate, latency_s=latency_s),
            Member(bob, fetches=True, knows=(ann,), latency_s=latency_s),
        ]
    slowest = min(rate for rate, _ in links)
    return Scene(
        members=tuple(members),
        files=files,
        chunk_bytes=chance.choice((64 * limits.KIB, limits.MIB)),
        best_s=size / slowest,
        within_s=1.1 * size / slowest + 40 * max(latency_s for _, latency_s in links) + 3,
        waste_max=0.02 + pairs * FRAMES_BYTES / size,
    )
