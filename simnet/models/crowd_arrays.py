"""A flash crowd as arrays: who has which piece, as bits, round by round, for up to 10^6 requesters. Idealised.

In a round each node sends at most one piece: its uplink is busy for as long. Who has nothing to send to the one it met
meets another, a few times. It sends a rare piece that the other lacks, by how many have it anywhere; the publisher, on
whom all wait, the rarest. So nobody asks twice for the same, nothing is known late and nobody is limited to eight
links: what is lost here is lost to chance meetings alone, and what the production engine loses beyond it is its own
(docs/decisions/0071-models.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PIECES_MAX = 64  # A word of bits a node.
MEETINGS = 6  # In a round, for those who found nothing to send.
DOWN_PER_UP = 4  # Pieces that a node can receive in the time in which it sends one.
TIERS = 4  # Into which pieces are sorted by rarity; within one, chance decides.

Bits = NDArray[np.uint64]
_ONE = np.uint64(1)
_AT_ONCE = 1 << 15  # Pairs looked at together: what fits the processor's cache is three times as fast.


@dataclass(frozen=True, slots=True)
class Spread:
    """How a crowd was served. At the end of each round: how many had all, and how many had the rarest and the most
    common piece, so that one sees generations come and grow. And the copies that the publisher sent."""

    requesters: int
    pieces: int
    complete: NDArray[np.int64]
    rarest: NDArray[np.int64]
    commonest: NDArray[np.int64]
    delivered: NDArray[np.float64]  # Which share of all that is to be delivered.
    copies: float

    @property
    def rounds(self) -> int:
        """When the last was done. A round is as long as a piece takes on an uplink."""
        return len(self.complete)

    @property
    def median_round(self) -> int:
        """When half were done."""
        return int(np.searchsorted(self.complete, (self.requesters + 1) // 2)) + 1


def spread(requesters: int, pieces: int, rng: np.random.Generator) -> Spread:
    """Serve `requesters` from one publisher, all uplinks equal. `pieces`: 1 to PIECES_MAX."""
    assert 1 <= pieces <= PIECES_MAX
    all_pieces = np.uint64(2**pieces - 1)
    held: Bits = np.zeros(requesters + 1, np.uint64)
    held[0] = all_pieces  # The publisher.
    counts = np.ones(pieces, np.int64)
    complete: list[int] = []
    history: list[NDArray[np.int64]] = []  # How many have each piece.
    sent_by_publisher = 0
    while not complete or complete[-1] < requesters:
        coming, sent, received = _meet(held, counts, all_pieces, rng)
        sent_by_publisher += int(sent[0])
        counts += received
        held |= coming
        complete.append(int((held == all_pieces).sum()) - 1)
        history.append(counts - 1)
    of = np.array(history)
    delivered = of.mean(axis=1) / requesters
    copies = sent_by_publisher / pieces
    return Spread(requesters, pieces, np.array(complete), of.min(axis=1), of.max(axis=1), delivered, copies)


def _meet(
    held: Bits, counts: NDArray[np.int64], all_pieces: np.uint64, rng: np.random.Generator
) -> tuple[Bits, NDArray[np.bool_], NDArray[np.int64]]:
    """Play one round. Returns what comes to each node, who sent, and how many of each piece were sent."""
    nodes, tiers = len(held), _by_rarity(counts)
    coming: Bits = np.zeros(nodes, np.uint64)
    room = np.full(nodes, DOWN_PER_UP, np.int8)
    sent = np.zeros(nodes, np.bool_)
    received = np.zeros_like(counts)
    senders = np.flatnonzero(held)
    for _ in range(MEETINGS):
        wanting = np.flatnonzero(((held | coming) != all_pieces) & (room > 0))
        if not senders.size or not wanting.size:
            break
        # Nobody is met by two at once: else they might send it the same piece.
        pairs = min(senders.size, wanting.size)
        some = senders if pairs == senders.size else rng.permutation(senders)[:pairs]
        # Each meets its neighbour at a random distance: as good as any pairs, and memory is read in order.
        met = np.roll(wanting, int(rng.integers(wanting.size)))[:pairs]
        for start in range(0, pairs, _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            by, to = some[part], met[part]
            wanted = held[by] & ~(held[to] | coming[to])
            piece = _rare(wanted, tiers, rng)
            piece[by == 0] = _rarest(wanted[by == 0], counts)
            served = piece != 0
            coming[to] |= piece
            room[to] -= served
            sent[by] = served
            # The exponent of a power of two is exact in a float.
            which = np.frexp(piece[served].astype(np.float64))[1] - 1
            received += np.bincount(which, minlength=len(received))
        senders = senders[~sent[senders]]
    return coming, sent, received


def _by_rarity(counts: NDArray[np.int64]) -> list[np.uint64]:
    """Return the pieces as masks, the rarest first; those of equal count together."""
    order = np.argsort(counts, kind="stable")
    edges = {int(counts[order[len(order) * tier // TIERS]]) for tier in range(1, TIERS)}
    tier_of = np.searchsorted(np.array(sorted(edges)), counts, side="left")
    masks = [sum(1 << int(piece) for piece in np.flatnonzero(tier_of == tier)) for tier in range(len(edges) + 1)]
    return [np.uint64(mask) for mask in masks if mask]


def _rarest(wanted: Bits, counts: NDArray[np.int64]) -> Bits:
    """Return the one bit of each of `wanted` that the fewest have; 0 where nothing is wanted."""
    choice = np.zeros_like(wanted)
    for piece in np.argsort(counts, kind="stable")[::-1]:
        bit = _ONE << np.uint64(piece)
        choice = np.where(wanted & bit, bit, choice)
    return choice


def _rare(wanted: Bits, tiers: list[np.uint64], rng: np.random.Generator) -> Bits:
    """Return one bit of each of `wanted`, of the rarest tier that has any; 0 where nothing is wanted."""
    choice = wanted & tiers[-1]
    for mask in reversed(tiers[:-1]):
        rarer = wanted & mask
        np.copyto(choice, rarer, where=rarer != 0)
    # A random one of several bits: turn the word by a random amount, take the lowest, turn it back.
    turn = rng.integers(0, 64, len(wanted), dtype=np.uint64)
    back = (np.uint64(64) - turn) & np.uint64(63)
    turned = (choice >> turn) | (choice << back)
    lowest = turned & (~turned + _ONE)
    chosen: Bits = (lowest << turn) | (lowest >> back)
    return chosen
