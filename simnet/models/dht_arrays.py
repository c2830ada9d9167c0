"""The DHT as arrays: lookups, stores and churn of up to 10^6 nodes in seconds. Kademlia by sorted positions.

A bucket of a node is the nodes of one subtree, which in a sorted array of positions is a slice. A node knows at most k
of each slice, at random: its buckets are never made, a lookup draws from the slice when it comes to it. So the model
says how deep lookups go, where records lie and what churn takes, and nothing of time, load of a moment, or lies.
Positions are the first 64 of the 256 bits: enough to tell 10^6 nodes apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simnet.models.churn import Churn

Positions = NDArray[np.uint64]
_ALL = np.uint64(2**64 - 1)
_AT_ONCE = 50_000  # Keys looked at together: what fits the processor's cache is twice as fast.


@dataclass(frozen=True, slots=True)
class Lookups:
    """For each lookup: `hops` is how many questions deep it went, `vain` how many dead contacts it asked on its way,
    `found` whether it came to the neighbourhood of its target."""

    hops: NDArray[np.int64]
    vain: NDArray[np.int64]
    found: NDArray[np.bool_]


def draw_positions(nodes: int, rng: np.random.Generator) -> Positions:
    """Return the positions of `nodes` nodes, ascending."""
    return np.sort(rng.integers(0, 2**64, nodes, dtype=np.uint64))


def look_up(
    positions: Positions, targets: Positions, rng: np.random.Generator, *, k: int, dead: float = 0.0
) -> Lookups:
    """Look up each of `targets` from a random node; `dead` is the share of contacts that do not answer."""
    count, nodes = len(targets), len(positions)
    at = positions[rng.integers(0, nodes, count)]
    hops, vain = np.zeros(count, np.int64), np.zeros(count, np.int64)
    found = np.ones(count, np.bool_)
    towards = targets.copy()
    going = np.flatnonzero(at != towards)
    while going.size:
        low, size, below = _bucket(positions, at[going], towards[going])
        # Nobody is there: then the nearest node is the one nearest to the other half of that subtree.
        empty = going[size == 0]
        towards[empty] ^= below[size == 0] + np.uint64(1)
        hops[going[size > 0]] += 1
        far = going[size > k]  # Of a smaller bucket all are known: the nearest of them ends the lookup.
        low, size = low[size > k], size[size > k]
        drawn = low[:, None] + (rng.random((far.size, k)) * size[:, None]).astype(np.int64)
        distance = positions[drawn] ^ towards[far][:, None]
        answers = rng.random(drawn.shape) >= dead if dead else np.ones(drawn.shape, np.bool_)
        best = np.where(answers, distance, _ALL).min(axis=1)
        vain[far] += (~answers & (distance < best[:, None])).sum(axis=1)
        lost = best == _ALL
        found[far[lost]] = False
        far, best = far[~lost], best[~lost]
        at[far] = best ^ towards[far]
        going = np.concatenate((far, empty))
        going = going[at[going] != towards[going]]
    return Lookups(hops, vain, found)


def nearest(positions: Positions, targets: Positions, k: int) -> NDArray[np.int64]:
    """Return for each target the `k` nodes nearest to it by XOR, as indices of `positions`; k columns, in no order."""
    # The k nearest lie in the smallest subtree of the target that has k nodes: a slice of the sorted array.
    chosen = np.empty((len(targets), k), np.int64)
    for start in range(0, len(targets), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        chosen[part] = _nearest(positions, targets[part], k)
    return chosen


def holders_per_node(positions: Positions, keys: Positions, k: int) -> NDArray[np.int64]:
    """Return how many records each node holds, if each of `keys` has one record at its `k` nearest nodes."""
    counts = np.zeros(len(positions), np.int64)
    for start in range(0, len(keys), _AT_ONCE):
        held = _nearest(positions, keys[start : start + _AT_ONCE], k)
        counts += np.bincount(held.ravel(), minlength=len(positions))
    return counts


@dataclass(frozen=True, slots=True)
class Survival:
    """What is left of records after some hours. For each key: `alive` holders that stayed, and `nearest` how many of
    them are still among the k nearest nodes, where a search looks, though others have come."""

    alive: NDArray[np.int64]
    nearest: NDArray[np.int64]


def survive(
    positions: Positions, keys: Positions, churn: Churn, hours: float, rng: np.random.Generator, *, k: int
) -> Survival:
    """Store a record under each of `keys`; look again after `hours` without anybody announcing it anew.

    The network keeps its size: for each node that leaves one comes, elsewhere, without records.
    """
    holders = nearest(positions, keys, k)
    stayed = churn.draw_stays(len(positions), rng) > hours
    came = rng.integers(0, 2**64, int((~stayed).sum()), dtype=np.uint64)
    later = np.concatenate((positions[stayed], came))
    order = np.argsort(later)
    holders_later = nearest(later[order], keys, k)
    old = later[order][holders_later]  # Positions of those asked; who stayed keeps its own, so it is known by it.
    alive = stayed[holders]
    still = _in_rows(positions[holders], alive, old)
    return Survival(alive.sum(axis=1), still)


def _in_rows(holders: Positions, alive: NDArray[np.bool_], asked: Positions) -> NDArray[np.int64]:
    """Return for each row how many of `asked` are `alive` ones of `holders`."""
    count = np.zeros(len(holders), np.int64)
    for column in range(holders.shape[1]):
        hit = (asked == holders[:, column : column + 1]).any(axis=1)
        count += hit & alive[:, column]
    return count


def _bucket(
    positions: Positions, at: Positions, targets: Positions
) -> tuple[NDArray[np.int64], NDArray[np.int64], Positions]:
    """Return the bucket in which a node at `at` looks for `targets`: where in `positions` it begins, how many it has,
    and the mask of the bits in which its nodes differ."""
    below = _below(at ^ targets)
    low = np.searchsorted(positions, targets & ~below, side="left")
    high = np.searchsorted(positions, targets | below, side="right")
    return low, high - low, below


def _nearest(positions: Positions, targets: Positions, k: int) -> NDArray[np.int64]:
    nodes = len(positions)
    assert nodes >= k
    # Halve the subtree for as long as it has k nodes.
    below = np.full(len(targets), _ALL)
    low, high = np.zeros(len(targets), np.int64), np.full(len(targets), nodes)
    going = np.arange(len(targets))
    while going.size:
        half = below[going] >> np.uint64(1)
        start = np.searchsorted(positions, targets[going] & ~half, side="left")
        stop = np.searchsorted(positions, targets[going] | half, side="right")
        enough = stop - start >= k
        going, half, start, stop = going[enough], half[enough], start[enough], stop[enough]
        below[going], low[going], high[going] = half, start, stop
    width = int((high - low).max())
    index = low[:, None] + np.arange(width)
    inside = index < high[:, None]
    distance = np.where(inside, positions[np.minimum(index, nodes - 1)] ^ targets[:, None], _ALL)
    return low[:, None] + np.argpartition(distance, k - 1, axis=1)[:, :k]


def _below(distance: Positions) -> Positions:
    """Return the mask of all bits below the highest one that is set in `distance`."""
    mask = distance >> np.uint64(1)
    for step in (1, 2, 4, 8, 16, 32):
        mask |= mask >> np.uint64(step)
    return mask
