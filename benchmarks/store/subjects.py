"""The subjects by their names in `plan.STORE`, and how one is measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.plan import STORE
from benchmarks.processes import ContestantFailed
from benchmarks.store.adopt import measure_adopt
from benchmarks.store.changed import measure_changed
from benchmarks.store.ground import Ground, Measured
from benchmarks.store.readme import measure_readme
from benchmarks.store.reflink import measure_reflink
from benchmarks.store.reuse import measure_reuse
from benchmarks.store.tensors import measure_tensors
from benchmarks.store.terabyte import measure_terabyte

_MEASURE: dict[str, Callable[[Measured, Ground, Path], None]] = {
    "adopt": measure_adopt,
    "changed": measure_changed,
    "readme": measure_readme,
    "reuse": measure_reuse,
    "reflink": measure_reflink,
    "tensors": measure_tensors,
    "terabyte": measure_terabyte,
}


def measure_store(name: str, ground: Ground) -> Measured:
    """Measure one subject. What fails is noted beside what was measured until then."""
    measured = Measured(STORE[name])
    try:
        with ground.directory(name) as work:
            _MEASURE[name](measured, ground, work)
    except ContestantFailed as failure:
        measured.failures.append(str(failure))
        ground.tell(measured, "FAILED")
    for what in measured.skipped:
        ground.tell(measured, f"skipped: {what}")
    return measured
