"""Closed forms: what no model may beat, and what each must come near.

Symbols as in the literature: F bytes of content in M pieces, u bytes a second up, N nodes, k replicas of a record.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log, log2, sqrt


def broadcast_s(content_bytes: float, up: float, requesters: int, pieces: int) -> float:
    """Return how long it takes at least until all have it: T* = (F/u)(1 + floor(log2 N)/M), all with upload `up`.

    Source: Mundinger, Weber, Weiss 2008, "Optimal scheduling of peer-to-peer file dissemination", for equal uplinks and
    whole pieces.
    """
    return content_bytes / up * (1 + floor(log2(max(1, requesters))) / pieces)


def uneven_s(content_bytes: float, publisher_up: float, ups: Sequence[float], down: float) -> float:
    """Return how long it takes at least where uplinks differ: the publisher sends all once, the slowest downlink takes
    all, and all uplinks together carry a copy for each requester. `ups`: of the requesters.

    Source: Kumar and Ross 2006, "Peer-assisted file distribution: the minimum distribution time".
    """
    all_up = publisher_up + sum(ups)
    return max(content_bytes / publisher_up, content_bytes / down, len(ups) * content_bytes / all_up)


def mean_hops(nodes: float, k: int) -> float:
    """Return how many questions deep a lookup goes on average: 1 + log2(N/k) / (H_k/ln 2 + 1/2), for N >= k.

    Of k random contacts in a bucket the nearest leaves 1/min of k uniform draws of the distance: H_k/ln 2 bits on
    average (H_k: the harmonic number). Rounded down to whole bits that costs half a bit, and the bucket that it looks
    in next is one bit nearer than it is itself. The last question goes to the neighbourhood of k that knows itself.
    Kademlia's log2 N is for one contact a bucket and one bit a question; 1 + log2(N/k)/(1 + log2 k), the usual
    estimate, lies 4 to 5 % above this for k = 20.
    """
    bits = sum(1 / number for number in range(1, k + 1)) / log(2) + 0.5
    return 1 + max(0.0, log2(nodes / k)) / bits


def record_found(k: int, holder_stays: float) -> float:
    """Return how likely at least one of `k` holders of a record stays, each with probability `holder_stays`."""
    return float(1 - (1 - holder_stays) ** k)


def three_sigma(probability: float, draws: int) -> float:
    """Return by how much the share of `draws` may miss `probability` by chance alone: three standard deviations."""
    return 3 * sqrt(max(probability * (1 - probability), 1 / draws) / draws)
