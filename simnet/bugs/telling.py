"""Bugs to plant that tell the user what is not so."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

from p2phub import limits
from p2phub.engine.meter import Meter
from simnet.bugs.planting import plant


@plant
def _run_progress_backwards() -> AbstractContextManager[Any]:
    def careless(self: Meter, verified: int) -> None:
        self._verified = verified - (verified // limits.MIB % 3) * limits.MIB

    return mock.patch.object(Meter, "verified", careless)


@plant
def _credit_the_wrong_peer() -> AbstractContextManager[Any]:
    received = Meter.received
    first: dict[int, Any] = {}

    def confused(self: Meter, peer: Any, count: int, *, now: float) -> None:
        received(self, first.setdefault(id(self), peer), count, now=now)

    return mock.patch.object(Meter, "received", confused)
