"""Some nodes answer to a name with an old release, or with another of the same number: nobody who asks goes back.

All releases are signed as they should be. Who has heard of a newer one believes no older one, whoever tells it and
however often; of two with one number everybody comes to the same, and keeps the proof that there were two.
"""

from __future__ import annotations

from random import Random

from p2phub import limits
from simnet.scene import MB, NODES_USUAL_MAX, Asks, Happening, Member, Says, Scene


def scene(chance: Random, nodes: int | None) -> Scene:
    rate, size = 4 * MB, 4 * limits.MIB
    holders = [f"h{number}" for number in range(max(4, (nodes or NODES_USUAL_MAX) - 2))]
    says = [Says(0.0, name, 1, other=True) for name in holders]
    # Most hear of each new release, some sooner and some later; the last holder goes on with the first for ever.
    for sequence, at_s in ((2, 5.0), (3, 30.0)):
        for name in holders[:-1]:
            if name == holders[0] or chance.random() < 0.7:
                says.append(Says(at_s + chance.uniform(0, 10), name, sequence, other=sequence == 2))
    if chance.random() < 0.5:  # The publisher, or a thief of its key, signs another with the newest number.
        says.append(Says(chance.uniform(30, 45), holders[1], 3, other=True))
    asks = [
        Asks(2.0 + 6.0 * number + chance.random(), chance.choice(("bob", "eve")), _some(chance, holders))
        for number in range(10)
    ]
    asks += [Asks(66.0, "bob"), Asks(72.0, "eve", (holders[0],))]
    # At the end only the last holder is left, and what it says was never the newest.
    kills = [Happening(80.0 + number, "kill", name) for number, name in enumerate(holders[1:-1])]
    asks += [Asks(100.0, "bob", (holders[-1],))]
    kills += [Happening(110.0, "kill", holders[0])]
    asks += [Asks(120.0, "bob", (holders[-1],)), Asks(126.0, "eve")]
    return Scene(
        members=(
            *(Member(name, holds=True, up=rate) for name in holders),
            Member("bob", fetches=True, starts_s=74.0, knows=tuple(holders)),
            Member("eve"),
        ),
        happenings=tuple(kills),
        files={"model.safetensors": size},
        best_s=size / (rate * len(holders)),
        within_s=30,
        waste_max=0.40,  # Of so little, the beginning that one pushes while others are asked for it is much.
        says=tuple(says),
        asks=tuple(asks),
    )


def _some(chance: Random, holders: list[str]) -> tuple[str, ...]:
    return tuple(chance.sample(holders, chance.randint(0, 3)))
