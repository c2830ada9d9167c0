"""A liar has many keys: banned with one it comes back with the next, at the same address, where an honest node is, too.

Keys cost nothing. So whoever is found where liars were is tried one at a time and a batch at a time, and the more of
them lied, the more seldom: the lies of many are hardly more than those of a few, and nobody is accused for another.
"""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, NODES_USUAL_MAX, Member, Scene

ELSEWHERE = 2  # Honest providers that have an address to themselves.
TRIED_MAX = limits.BULK_THREADS_MAX + 3  # Keys: as many as are dialled before one has lied, and three one by one.
CHUNK_BYTES = 256 * limits.KIB  # What a lie costs.


def scene(chance: Random, nodes: int | None) -> Scene:
    liars = (nodes or NODES_USUAL_MAX) - ELSEWHERE - 2
    rate, size = 2 * MB, 40 * limits.MIB
    elsewhere = [Member(f"p{number}", holds=True, up=rate) for number in range(ELSEWHERE)]
    kinds = ["liar"] * liars + ["honest"]
    chance.shuffle(kinds)
    there = [
        Member(f"k{number}", kind, holds=True, up=rate, beside="k0" if number else "")
        for number, kind in enumerate(kinds)
    ]
    best_s = size / (rate * (ELSEWHERE + 1))
    return Scene(
        members=(
            *elsewhere,
            *there,
            Member("bob", fetches=True, knows=tuple(each.name for each in (*elsewhere, *there))),
        ),
        chunk_bytes=CHUNK_BYTES,
        files={"model.safetensors": size},
        best_s=best_s,
        of_best_min=1 / 2,
        within_s=2 * best_s + 8,
        waste_max=TRIED_MAX * CHUNK_BYTES / size,
    )
