"""Judge what the store and the gateway did: a figure, or one over another, of medians. What was skipped is not
measured, and the report says why."""

from __future__ import annotations

from statistics import median

from benchmarks.plan import SUBJECTS
from benchmarks.store import Measured, Stored
from benchmarks.targets.verdict import Kind, Verdict


def most(stored: Stored, name: str, label: str, bound: float) -> Verdict:
    """Judge a figure that may be at most `bound`."""
    measured = _of(stored, name)
    values = measured.figures.get(label)
    got = median(values) if values else None
    return _verdict(measured, label, f"<= {bound:g}", got, got is not None and got <= bound)


def share(
    stored: Stored, name: str, what: str, over: str, under: str, bound: float, *, kind: Kind = Kind.REQUIRED
) -> Verdict:
    """Judge the figure `over` over the figure `under`, at least `bound`: of seconds, it is our rate over another's."""
    measured = _of(stored, name)
    got = _ratio(measured, over, under)
    return _verdict(measured, what, f">= {bound:g}", got, got is not None and got >= bound, kind)


def times(stored: Stored, name: str, what: str, over: str, under: str, bound: float) -> Verdict:
    """Judge the figure `over` over the figure `under`, at most `bound`."""
    measured = _of(stored, name)
    got = _ratio(measured, over, under)
    return _verdict(measured, what, f"<= {bound:g}", got, got is not None and got <= bound)


def _of(stored: Stored, name: str) -> Measured:
    return stored.get(name) or Measured(SUBJECTS[name])


def _ratio(measured: Measured, over: str, under: str) -> float | None:
    one, two = measured.figures.get(over), measured.figures.get(under)
    return median(one) / median(two) if one and two else None


def _verdict(
    measured: Measured, what: str, target: str, got: float | None, enough: bool, kind: Kind = Kind.REQUIRED
) -> Verdict:
    failed = len(measured.failures)
    if got is None:  # What failed before it came to this figure owes it; what was skipped does not.
        return Verdict(measured.title, what, target, "failed" if failed else None, False if failed else None, kind)
    words = f"{got:.3g}, {failed} failed" if failed else f"{got:.3g}"
    return Verdict(measured.title, what, target, words, enough and not failed, kind)
