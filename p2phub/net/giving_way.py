"""Who gives way when all places for connections are taken and somebody comes from elsewhere.

Identities cost nothing, addresses do: of several networks each may have its share of the places, whatever the number of
keys that it shows. Whatever else decides about places (`transfer.slots`) does so within that, or the two would give and
take the same places for ever. Pure. Threat T37.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TypeVar

Place = TypeVar("Place")


def gives_way(places: Mapping[Place, str | None], newcomer: str | None) -> Place | None:
    """Return the place that goes to who comes from the network `newcomer`: the oldest of the network that holds the
    most, if that is more than the newcomer's would hold with one more; else None.

    `places`: oldest first, each with its network; None for those of this machine and of private networks, who are the
    user's own and keep their places.
    """
    held = Counter(places.values())
    most = max((count for network, count in held.items() if network is not None), default=0)
    if most <= held[newcomer] + 1:
        return None
    return next(place for place, network in places.items() if network is not None and held[network] == most)


def in_reach(places: Mapping[Place, str | None], newcomer: str | None) -> list[Place]:
    """Return the places that may go to who comes from the network `newcomer` for another reason than that its network
    has too few: those of its own network, and of networks that hold more.

    So no such move takes what `gives_way` gives back. `places` as there; who comes from a private network may have a
    stranger's place, never the reverse.
    """
    held = Counter(places.values())
    return [
        place
        for place, network in places.items()
        if network == newcomer or (network is not None and held[network] > held[newcomer])
    ]
