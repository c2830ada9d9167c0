"""Show what a run measured, from the single race to the whole, so that the last screen tells how it went.

In order: the machine, a table a race (`races`), what p2phub did alone, the store, the simulator's answers, failures in
full, all races side by side (`side_by_side`), and every target with what was measured (`verdicts`). Plain text, laid
out for the reader's terminal (`layout`).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.alone import Alone
from benchmarks.plan import GATEWAY, STORE
from benchmarks.race import CrowdRace, Race
from benchmarks.report.layout import paragraph, table
from benchmarks.report.races import crowd_table, legend, race_table, spread
from benchmarks.report.side_by_side import side_by_side
from benchmarks.report.verdicts import verdict_table
from benchmarks.search import Search, within
from benchmarks.simulated import Answer, Simulated
from benchmarks.store import Stored
from benchmarks.targets import Verdict

_SUBJECT_COLUMNS = ("subject", "measured", "trials")
_SIMULATED_COLUMNS = ("simulated", "measured", "CPU s", "wall s")


@dataclass(frozen=True, slots=True)
class Results:
    """All that a run measured, and what it means."""

    races: Sequence[Race]
    crowds: Sequence[CrowdRace]
    alone: Alone
    simulated: Simulated
    stored: Stored
    verdicts: Sequence[Verdict]


def render(machine: Sequence[str], results: Results, *, size: int, width: int = 120) -> str:
    """Return the whole report as plain text; `size` is what `--bytes` said, `width` how many columns there are."""
    parts = [
        "\n".join(paragraph(line, width=width) for line in machine),
        *(race_table(race, width=width) for race in results.races),
        *(crowd_table(race, width=width) for race in results.crowds),
        legend([*results.races, *results.crowds], width=width),
        _alone(results.alone),
        _subjects("The store, one copy on disk", results.stored, STORE, width=width),
        _subjects("The gateway", results.stored, GATEWAY, width=width),
        _simulated(results.simulated, width=width),
        _failures(results),
        side_by_side(results.races, results.crowds, width=width),
        verdict_table(results.verdicts, size=size, width=width),
    ]
    return "\n\n".join(part for part in parts if part)


def write_json(path: Path, machine: Sequence[str], results: Results) -> None:
    """Write every single measurement, for whoever wants to compare or plot."""
    everything = {
        "machine": list(machine),
        "races": [dataclasses.asdict(race) for race in results.races],
        "crowds": [dataclasses.asdict(race) for race in results.crowds],
        "alone": dataclasses.asdict(results.alone),
        "simulated": {name: dataclasses.asdict(answer) for name, answer in results.simulated.items()},
        "store": {name: dataclasses.asdict(measured) for name, measured in results.stored.items()},
        "targets": [dataclasses.asdict(verdict) for verdict in results.verdicts],
    }
    path.write_text(json.dumps(everything, indent=1) + "\n")


def _alone(alone: Alone) -> str:
    measured = {"publish": alone.publish_s, "hash once": alone.hash_once_s, "p2phub --help": alone.help_s}
    measured["gc --dry-run"] = alone.held.dry_run_s
    lines = [f"  {what}: {spread(seconds)} s, {len(seconds)} runs" for what, seconds in measured.items() if seconds]
    if alone.held.lookup_us:
        took = alone.held.lookup_us
        lines.append(f"  looking up a chunk among {alone.held.chunks:,}: {spread(took)} us, {len(took)} times")
    lines += _search(alone.search)
    return "\n".join(["Alone, process start to exit", *lines]) if lines else ""


def _search(search: Search) -> list[str]:
    if not search.took_ms:
        return []
    made = "kept from before" if search.made_s is None else f"made in {search.made_s:.0f} s"
    lines = [f"  searching {search.rows:,} releases: an index of {search.bytes / 1e6:.0f} MB, {made}"]
    for kind, took in search.took_ms.items():
        most, busy = within(took, 0.95), median(search.cpu_ms[kind])
        lines.append(f"    {kind}: {spread(took)} ms, 95 % within {most:.1f} ms, CPU {busy:.1f} ms, {len(took)} times")
    return lines


def _subjects(title: str, stored: Stored, names: Container[str], *, width: int) -> str:
    """Return the table of those subjects that have these names."""
    subjects = [subject for name, subject in stored.items() if name in names]
    if not subjects:
        return ""
    rows: list[tuple[str, ...]] = [_SUBJECT_COLUMNS]
    for subject in subjects:
        figures = [(f"{spread(values)} {label}", str(len(values))) for label, values in subject.figures.items()]
        figures += [(f"skipped: {what}", "") for what in subject.skipped]
        named = subject.title + (f" ({len(subject.failures)} failed)" if subject.failures else "")
        rows += [(f"  {'' if number else named}", *cells) for number, cells in enumerate(figures or [("nothing", "")])]
    lines = table(rows, width=width, flexible=_SUBJECT_COLUMNS.index("measured"))
    return "\n".join([paragraph(f"{title}: medians (least-most)", width=width), *lines])


def _simulated(simulated: Simulated, *, width: int) -> str:
    if not simulated:
        return ""
    rows: list[tuple[str, ...]] = [_SIMULATED_COLUMNS]
    headings: dict[int, str] = {}
    for level in dict.fromkeys(answer.level for answer in simulated.values()):
        headings[len(rows)] = level
        rows += [row for answer in simulated.values() if answer.level == level for row in _answer(answer)]
    title = "Simulated, in virtual time: medians over seeds (least-most); seconds are those of the simulator itself"
    lines = table(rows, width=width, flexible=_SIMULATED_COLUMNS.index("simulated"), headings=headings)
    return "\n".join([paragraph(title, width=width), *lines])


def _answer(answer: Answer) -> list[tuple[str, ...]]:
    """Return a row for each figure; what the whole of it took stands in the first."""
    figures = [f"{spread(values)} {label}" for label, values in answer.figures.items() if values] or ["nothing"]
    if answer.failures:
        figures[0] += f" ({len(answer.failures)} failed)"
    took = ["-" if seconds is None else f"{seconds:.1f}" for seconds in (answer.cpu_s, answer.wall_s)]
    return [(f"  {answer.title}", figures[0], *took), *(("", figure, "", "") for figure in figures[1:])]


def _failures(results: Results) -> str:
    races: list[Race | CrowdRace] = [*results.races, *results.crowds]
    found = [
        f"{race.title}: {name}: {failure}"
        for race in races
        for name, standing in race.standings.items()
        for failure in standing.failures
    ]
    alone = (results.alone, results.alone.held, results.alone.search)
    found += [f"alone: {failure}" for one in alone for failure in one.failures]
    found += [f"{subject.title}: {failure}" for subject in results.stored.values() for failure in subject.failures]
    found += [f"{answer.title}: {failure}" for answer in results.simulated.values() for failure in answer.failures]
    return "\n\n".join(["FAILED", *found]) if found else ""
