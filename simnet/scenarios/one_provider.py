"""One provider, one requester, of any speed and distance: the plain case, near the bound of the link.

After ten round trips at most it has 0.95 of the link's rate; a link with more than 2 MiB on its way, that much a round
trip. Of 100 seeds the slowest took 8.2 round trips beside that. More than two members are pairs of which one knows
nothing of the other.
"""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, Member, Scene, content_bytes, named

BEGINS_ROUND_TRIPS = 10
FILLS_BYTES = 2 * limits.MIB  # On their way, in two connections, whatever the link would hold.
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
    takes_s = max(_takes_s(size, rate, 4 * latency_s) for rate, latency_s in links)
    return Scene(
        members=tuple(members),
        files=files,
        chunk_bytes=chance.choice((64 * limits.KIB, limits.MIB)),
        best_s=size / slowest,
        of_best_min=size / slowest / takes_s,
        within_s=1.1 * size / slowest + 40 * max(latency_s for _, latency_s in links) + 3,
        waste_max=0.02 + pairs * FRAMES_BYTES / size,
    )


def _takes_s(size: int, rate: float, round_trip_s: float) -> float:
    """Return how long one pair may take."""
    return size / min(rate, FILLS_BYTES / round_trip_s) / 0.95 + BEGINS_ROUND_TRIPS * round_trip_s
