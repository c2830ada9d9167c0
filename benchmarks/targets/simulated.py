"""Judge what the simulator answered: of several seeds the worst, and nothing is met where a run failed.

Only what the production engine and its sessions did is met or missed. Arrays have no code of p2phub, so that no change
to it could make them miss: they are shown as a model.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.plan import TARGET_BYTES
from benchmarks.questions import (
    ARRAYS,
    OF_BEST,
    OF_BOUND,
    RIDERS_COST,
    RIDERS_LATER,
    ROUND_TRIPS,
    questions,
)
from benchmarks.simulated import Answer, Simulated
from benchmarks.targets.verdict import Kind, Verdict

_COSTS = {"poisoners": OF_BEST, "tarpits": OF_BEST, "riders": RIDERS_COST, "cold": ROUND_TRIPS}


def of_bound(simulated: Simulated, name: str, least: float) -> Verdict:
    """Judge how near a crowd came to T*."""
    return _judge(simulated, name, OF_BOUND, OF_BOUND, f">= {least:g}", min, lambda value: value >= least)


def worst(simulated: Simulated, name: str, most: float) -> Verdict:
    """Judge what something cost."""
    label = _COSTS[name]
    return _judge(simulated, name, label, label, f"<= {most:g}", max, lambda value: value <= most)


def riders_are_later(simulated: Simulated) -> Verdict:
    """Judge whether half of the free riders are done later than half of the others, with each seed."""
    what = "half of them later than half of the others"
    return _judge(simulated, "riders", RIDERS_LATER, what, "> 0 s", min, lambda value: value > 0)


def wall(simulated: Simulated, name: str, most_s: float) -> Verdict:
    """Judge the simulator's own wall time: it is ours, whatever is simulated."""
    of, answer = _of(simulated, name), simulated.get(name)
    what, target = "wall time of the simulator", f"<= {most_s:g} s"
    if answer is None or answer.wall_s is None:
        return _unknown(of, what, target, answer)
    return Verdict(of, what, target, f"{answer.wall_s:.1f} s (CPU {answer.cpu_s:.1f} s)", answer.wall_s <= most_s)


def _judge(
    simulated: Simulated,
    name: str,
    label: str,
    what: str,
    target: str,
    of_seeds: Callable[[list[float]], float],
    enough: Callable[[float], bool],
) -> Verdict:
    """Judge the figures `label` of an answer by one of them, which `of_seeds` picks."""
    of, answer = _of(simulated, name), simulated.get(name)
    values = answer.figures.get(label, []) if answer is not None else []
    if answer is None or not values:
        return _unknown(of, what, target, answer)
    value, failed = of_seeds(values), len(answer.failures)
    measured = f"{value:.2f}" if len(values) == 1 else f"{value:.2f}, worst of {len(values)}"
    words = f"{measured}, {failed} failed" if failed else measured
    met = enough(value) and not failed
    return Verdict(of, what, target, words, met, Kind.MODEL if answer.level == ARRAYS else Kind.REQUIRED)


def _of(simulated: Simulated, name: str) -> str:
    """Return what was asked, or would have been."""
    asked = simulated.get(name) or next(each for each in questions(TARGET_BYTES) if each.name == name)
    return f"simulated {asked.title} ({asked.level})"


def _unknown(of: str, what: str, target: str, answer: Answer | None) -> Verdict:
    """Return that nothing was measured: missed, if it should have been."""
    return Verdict(of, what, target, None, None) if answer is None else Verdict(of, what, target, "failed", False)
