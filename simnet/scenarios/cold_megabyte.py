"""A megabyte from a known provider 100 ms away, there and back, on lines without a bound: round trips are all.

The first bytes come after three, which is the bound: TCP, TLS, and the first flight (proto/transfer.md). The network
has no slow start; a TCP that begins with ten segments takes about six more for a megabyte. More than two members are
pairs of which one knows nothing of the other.
"""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import Member, Scene, named

ROUND_TRIP_S = 0.1
ROUND_TRIPS_BEST = 3
ROUND_TRIPS_MAX = 6


def scene(chance: Random, nodes: int | None) -> Scene:
    pairs = (nodes or 2) // 2
    files = chance.randint(1, 4)
    members: list[Member] = []
    for ann, bob in zip(named("ann", pairs), named("bob", pairs), strict=True):
        members += [
            Member(ann, holds=True, latency_s=ROUND_TRIP_S / 4),
            Member(bob, fetches=True, knows=(ann,), latency_s=ROUND_TRIP_S / 4),
        ]
    return Scene(
        members=tuple(members),
        files={f"part-{number}.bin": limits.MIB // files for number in range(files)},
        chunk_bytes=chance.choice((16, 64, 256, 1024)) * limits.KIB,
        best_s=ROUND_TRIPS_BEST * ROUND_TRIP_S,
        of_best_min=ROUND_TRIPS_BEST / ROUND_TRIPS_MAX,
        within_s=10 * ROUND_TRIP_S,
        waste_max=0.02,
    )
