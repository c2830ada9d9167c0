"""One provider 160 ms away, there and back, and slow beside that: its link is filled all the same.

A chunk takes about as long as a round trip there, or several times as long, so that whoever asks for one after the
other loses a part of the time with each. Dialling and the first questions take half a second of it. More than two
members are pairs of which one knows nothing of the other.
"""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, Member, Scene, named


def scene(chance: Random, nodes: int | None) -> Scene:
    pairs = (nodes or 2) // 2
    rate, usual = chance.choice(((1 * MB, 24 * limits.MIB), (4 * MB, 96 * limits.MIB)))
    size = usual if pairs == 1 else usual // 2
    members: list[Member] = []
    for ann, bob in zip(named("ann", pairs), named("bob", pairs), strict=True):
        members += [
            Member(ann, holds=True, up=rate, latency_s=0.04),
            Member(bob, fetches=True, knows=(ann,), latency_s=0.04),
        ]
    return Scene(
        members=tuple(members),
        files={"model.safetensors": size},
        chunk_bytes=chance.choice((64 * limits.KIB, limits.MIB)),
        best_s=size / rate,
        of_best_min=0.95 if pairs == 1 else 0.9,  # The beginning is more of less content.
        within_s=1.1 * size / rate + 1,
        waste_max=0.02,
    )
