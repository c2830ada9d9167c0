"""The subjects by their names in `plan.GATEWAY`, and how one is measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.gateway.fetched import measure_fetched
from benchmarks.gateway.first import measure_first
from benchmarks.gateway.held import measure_curl, measure_hub
from benchmarks.gateway.readers import measure_readers
from benchmarks.plan import GATEWAY
from benchmarks.processes import ContestantFailed
from benchmarks.store import Ground, Measured

_MEASURE: dict[str, Callable[[Measured, Ground, Path], None]] = {
    "gw-curl": measure_curl,
    "gw-hub": measure_hub,
    "gw-fetched": measure_fetched,
    "gw-first": measure_first,
    "gw-readers": measure_readers,
}


def measure_gateway(name: str, ground: Ground) -> Measured:
    """Measure one subject. What fails is noted beside what was measured until then."""
    measured = Measured(GATEWAY[name])
    try:
        with ground.directory(name) as work:
            _MEASURE[name](measured, ground, work)
    except ContestantFailed as failure:
        measured.failures.append(str(failure))
        ground.tell(measured, "FAILED")
    return measured
