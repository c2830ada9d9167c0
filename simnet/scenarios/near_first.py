"""Near providers, far ones and a metered one: the near do the work, and who is farther stands in when they are gone.

The near are in the requester's own network, the far somewhere on the internet, 80 ms away; the metered one is as fast
as the near, in a network that is labelled so. Sometimes all goes well: then it sends nothing, and the far little.
Sometimes the near go or stand still when the far have been let go of, and sometimes the far go later, too: then it is
what is left. Of more than eight members, swarms of five know nothing of each other.
"""

from __future__ import annotations

from functools import partial
from random import Random

from p2phub import limits
from simnet.scene import MB, NODES_USUAL_MAX, Happening, Member, Scene, named, side_by_side

SIZE = 24 * limits.MIB
NEAR_RATE, FAR_RATE, METERED_RATE = 4.0 * MB, 0.95 * MB, 4.0 * MB  # Of all of a kind together.
NEAR_GO_S = (3.5, 4.5)  # After the far have been let go of.
FAR_GO_S = 2.0  # After that.
STANDS_IN_S = 6.0  # What it costs at most when those who did the work are gone, each time.


def scene(chance: Random, nodes: int | None) -> Scene:
    plot = chance.choice(("all well", "near go", "near freeze", "far go, too"))
    count = nodes or 6
    if count > NODES_USUAL_MAX:
        return side_by_side(partial(_scene, plot), chance, count)
    return _scene(plot, chance, count)


def _scene(plot: str, chance: Random, nodes: int | None) -> Scene:
    assert nodes is not None
    far = named("far", max(1, (nodes - 2) // 2))
    near = named("near", nodes - 2 - len(far))
    goes_s = chance.uniform(*NEAR_GO_S)
    happenings: list[Happening] = []
    if plot != "all well":
        happenings += [Happening(goes_s, "freeze" if plot == "near freeze" else "kill", name) for name in near]
    if plot == "near freeze":
        happenings += [Happening(goes_s + 30, "thaw", name) for name in near]  # So that the run can end.
    if plot == "far go, too":
        happenings += [Happening(goes_s + FAR_GO_S, "kill", name) for name in far]
    knows = ["dear", *far, *near]
    chance.shuffle(knows)
    best_s = SIZE / NEAR_RATE
    left = max(0.0, SIZE - NEAR_RATE * (goes_s - 0.5)) if plot != "all well" else 0.0
    most = {} if plot == "far go, too" else {"dear": 0.0}
    if plot == "all well":
        most |= {name: 0.15 / len(far) for name in far}  # Before it is known that the near do it.
    return Scene(
        members=(
            *(Member(name, holds=True, up=NEAR_RATE / len(near), latency_s=0.001) for name in near),
            *(Member(name, holds=True, up=FAR_RATE / len(far), latency_s=0.08, network="93.184") for name in far),
            Member("dear", holds=True, up=METERED_RATE, latency_s=0.02, network="100.64"),
            Member("bob", fetches=True, knows=tuple(knows), latency_s=0.001),
        ),
        happenings=tuple(happenings),
        files={"model.safetensors": SIZE},
        labels={"100.64.0.0/10": "metered"},
        best_s=best_s,
        of_best_min=0.8 if plot == "all well" else 0.0,
        within_s=best_s / 0.8 + left / FAR_RATE + (STANDS_IN_S if plot != "all well" else 0),
        waste_max=0.1,
        parts_max=most,
    )
