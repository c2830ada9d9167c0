"""How long nodes stay: two kinds, each with sessions and absences of exponential length.

Some are machines that run for weeks, others a laptop's evening. That mixture is what measured networks look like from
afar: of the holders of a record 13 in 20 still serve it after 22 hours (IPFS, ProbeLab RFM17), though half the peers
that one meets are gone within hours. A node that comes back is a new process: its records are lost, since they are kept
in memory. Times are hours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Churn:
    """`steady`: the share of the nodes online at any time that are of the lasting kind."""

    steady: float = 0.7
    steady_h: float = 300.0
    fleeting_h: float = 1.0
    absence_h: float = 1.0  # Of either kind.

    def stays(self, hours: float) -> float:
        """Return the share of those online now that stay so, in one session, for `hours`."""
        steady = self.steady * np.exp(-hours / self.steady_h)
        return float(steady + (1 - self.steady) * np.exp(-hours / self.fleeting_h))

    def draw_stays(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return for each of `count` nodes that are online now for how many hours it stays."""
        mean_h = np.where(rng.random(count) < self.steady, self.steady_h, self.fleeting_h)
        return rng.exponential(mean_h)


STILL = Churn(steady=1.0, steady_h=1e12)
"""Nobody comes or goes."""


class Sessions:
    """When each of `nodes` nodes is online, from hour 0 to `hours`, in a network that has been running for long."""

    def __init__(self, nodes: int, churn: Churn, hours: float, rng: np.random.Generator) -> None:
        # Of all nodes, more are of the fleeting kind than of those online at a time.
        present = np.array([churn.steady_h, churn.fleeting_h]) / (
            np.array([churn.steady_h, churn.fleeting_h]) + churn.absence_h
        )
        share = np.array([churn.steady, 1 - churn.steady]) / present
        steady = rng.random(nodes) < share[0] / share.sum()
        mean_h = np.where(steady, churn.steady_h, churn.fleeting_h)
        begins_online = rng.random(nodes) < np.where(steady, present[0], present[1])
        self._begins_online = begins_online
        # Exponential lengths have no memory, so what is left of a length at hour 0 is drawn like a whole one.
        columns: list[NDArray[np.float64]] = []
        at = np.zeros(nodes)
        online = begins_online.copy()
        while at.min() < hours:
            at = at + rng.exponential(np.where(online, mean_h, churn.absence_h))
            columns.append(at)
            online = ~online
        self._turns = np.stack(columns, axis=1)  # When each node comes or goes, ascending.

    def session(self, node: int, hour: float) -> int | None:
        """Return which session `node` is in at `hour`, a number that no other of its sessions has; None if offline."""
        turn = int(np.searchsorted(self._turns[node], hour, side="right"))
        return turn if (turn % 2 == 0) == bool(self._begins_online[node]) else None

    def online(self, nodes: NDArray[np.int64], hours: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return for each of `nodes` whether it is online at the moment of `hours` beside it."""
        turns = (self._turns[nodes] <= hours[:, None]).sum(axis=1)
        return np.asarray((turns % 2 == 0) == self._begins_online[nodes])
