"""Serve a fetch while it runs: what it has verified so far, and after its end what the store holds of it.

A connection that was opened in the middle of a fetch lives on when the fetch is done: its files are opened from the
arrival while that lasts, then from where they were put. Called on serving threads.
"""

from __future__ import annotations

from p2phub.content import Digest, RangeSet, Readable, ReadPlan
from p2phub.errors import ContentChanged, DiskError
from p2phub.store import Arrival, Store


class Arriving:
    """What is served of one arrival. `ended` is called when it was finished or given up, before it is closed."""

    def __init__(self, arrival: Arrival, store: Store) -> None:
        self._arrival = arrival
        self._store = store
        self._plan = arrival.read_plan()
        self._ended = False
        self._after: RangeSet | None = None

    @property
    def manifest(self) -> Digest:
        return self._plan.manifest

    @property
    def plan(self) -> ReadPlan:
        return ReadPlan(self._plan.manifest, self._plan.table, self.held(), self._open)

    def held(self) -> RangeSet:
        """Return what may be served by now."""
        if not self._ended:
            return self._arrival.have
        if self._after is None:
            plan = self._store.read_plan(self.manifest)
            self._after = plan.held if plan is not None else RangeSet()
        return self._after

    def ended(self) -> None:
        """Serve what the store holds from now on: all of it, or nothing."""
        self._ended = True

    def _open(self, file: int) -> Readable:
        try:
            return self._plan.open(file)
        except ContentChanged:
            raise
        except DiskError:
            plan = self._store.read_plan(self.manifest)  # It was finished this moment.
            if plan is None:
                raise
            return plan.open(file)
