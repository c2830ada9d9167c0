"""All races in one table: two rows a race, a column for p2phub and for each of its peers.

The rows are the two finishing lines (`trial` says why there are two), or of a crowd when the last one was done and
what the providers sent for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from statistics import median

from benchmarks.crowd_trial import CrowdTrial
from benchmarks.plan import LIMITS, OURS
from benchmarks.race import CrowdRace, Race, Standing, T
from benchmarks.ratios import copies_sent
from benchmarks.report.layout import table
from benchmarks.trial import Trial

_ABSENT, _FAILED = "-", "failed"


def side_by_side(races: Sequence[Race], crowds: Sequence[CrowdRace], *, width: int) -> str:
    """Return the table; nothing if nothing was raced."""
    names = _columns([*races, *crowds])
    if not names:
        return ""
    rows, headings = [["", *names]], {}
    for race in (each for each in races if each.not_measured is None):
        headings[len(rows)] = race.title
        rows.append(["  verified s", *_cells(race.standings, names, _verified)])
        rows.append(["  durable s", *_cells(race.standings, names, _durable)])
    for crowd in crowds:
        headings[len(rows)] = crowd.title
        rows.append(["  last done s", *_cells(crowd.standings, names, _last_done)])
        rows.append(["  copies sent", *_cells(crowd.standings, names, partial(_copies, crowd))])
    return "\n".join(["Side by side: medians, less is better", *table(rows, width=width, headings=headings)])


def _columns(races: Sequence[Race | CrowdRace]) -> list[str]:
    """Return who took part: ours first, then the others in their order, the machine's limits last."""
    names = list(dict.fromkeys(name for race in races for name in race.standings))
    return sorted(names, key=lambda name: (not name.startswith(OURS), name in LIMITS))


def _cells(standings: dict[str, Standing[T]], names: Sequence[str], figure: Callable[[Sequence[T]], str]) -> list[str]:
    return [_cell(standings[name], figure) if name in standings else _ABSENT for name in names]


def _cell(standing: Standing[T], figure: Callable[[Sequence[T]], str]) -> str:
    return figure(standing.trials) if standing.trials else _FAILED


def _verified(trials: Sequence[Trial]) -> str:
    return f"{median(trial.verified_s for trial in trials):.2f}"


def _durable(trials: Sequence[Trial]) -> str:
    return f"{median(trial.durable_s for trial in trials):.2f}"


def _last_done(trials: Sequence[CrowdTrial]) -> str:
    return f"{median(trial.last_done_s for trial in trials):.2f}"


def _copies(race: CrowdRace, trials: Sequence[CrowdTrial]) -> str:
    copies = copies_sent(race, trials)
    return "not seen" if copies is None else f"{copies:.2f}"
