"""Show what a run measured: a table a race, what p2phub did alone, the simulator's answers, failures, targets."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.alone import Alone
from benchmarks.crowd_trial import CrowdTrial
from benchmarks.payload import GIB, MIB
from benchmarks.plan import OURS, TARGET_BYTES
from benchmarks.race import CrowdRace, Race, Standing
from benchmarks.simulated import Answer, Simulated
from benchmarks.targets import Verdict, copies_sent, ideals, rate_ratio
from benchmarks.trial import Trial

_COLUMNS = (
    "contestant",
    "verified s (min-max)",
    "MiB/s",
    "vs bare",
    "vs ours",
    "exit s",
    "durable s (min-max)",
    "vs bare",
    "vs ours",
    "CPU s/GiB prov",
    "req",
    "peak MB prov",
    "req",
)
_CROWD_COLUMNS = (
    "contestant",
    "last done s (min-max)",
    "x size/cap",
    "first done s",
    "last verified s",
    "copies sent",
    "CPU s prov",
    "req together",
    "peak MB prov",
    "req",
)
_SIMULATED_COLUMNS = ("simulated", "level", "measured", "CPU s", "wall s")


@dataclass(frozen=True, slots=True)
class Results:
    """All that a run measured, and what it means."""

    races: Sequence[Race]
    crowds: Sequence[CrowdRace]
    alone: Alone
    simulated: Simulated
    verdicts: Sequence[Verdict]


def render(machine: Sequence[str], results: Results, *, size: int) -> str:
    """Return the whole report as plain text; `size` is what `--bytes` said."""
    parts = [
        "\n".join(machine),
        *(_race(race) for race in results.races),
        *(_crowd_race(race) for race in results.crowds),
        _alone(results.alone),
        _simulated(results.simulated),
        _failures(results),
        _verdicts(results.verdicts, size),
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
        "targets": [dataclasses.asdict(verdict) for verdict in results.verdicts],
    }
    path.write_text(json.dumps(everything, indent=1) + "\n")


def _race(race: Race) -> str:
    rows = [_row(race, name, standing) for name, standing in race.standings.items()]
    rounds = max((len(standing.trials) for standing in race.standings.values()), default=0)
    title = f"{race.title}: {race.payload_bytes / MIB:,.0f} MiB, {rounds} rounds, medians; ratios are of rates"
    legend = [f"  {name}: {standing.description}" for name, standing in race.standings.items()]
    return "\n".join([title, *_table([_COLUMNS, *rows]), *legend])


def _row(race: Race, name: str, standing: Standing[Trial]) -> tuple[str, ...]:
    trials = standing.trials
    if not trials:
        return (name, "failed", *[""] * (len(_COLUMNS) - 2))
    verified = [trial.verified_s for trial in trials]
    durable = [trial.durable_s for trial in trials]
    gib = race.payload_bytes / GIB
    return (
        f"{name} ({len(standing.failures)} failed)" if standing.failures else name,
        _spread(verified),
        f"{race.payload_bytes / MIB / median(verified):.0f}",
        _ratio(race, name, "bare", lambda trial: trial.verified_s),
        _ratio(race, name, OURS, lambda trial: trial.verified_s),
        f"{median(trial.exit_s for trial in trials):.2f}",
        _spread(durable),
        _ratio(race, name, "bare", lambda trial: trial.durable_s),
        _ratio(race, name, OURS, lambda trial: trial.durable_s),
        f"{median(trial.provider_cpu_s for trial in trials) / gib:.2f}",
        f"{median(trial.requester_cpu_s for trial in trials) / gib:.2f}",
        _peak([trial.provider_peak_bytes for trial in trials]),
        _peak([trial.requester_peak_bytes for trial in trials]),
    )


def _crowd_race(race: CrowdRace) -> str:
    rows = [_crowd_row(race, name, standing) for name, standing in race.standings.items()]
    rounds = max((len(standing.trials) for standing in race.standings.values()), default=0)
    ideal_s = race.scene.ideal_s(race.payload_bytes)
    title = f"{race.title}: {race.payload_bytes / MIB:,.0f} MiB, {rounds} rounds, medians; size/cap is {ideal_s:.2f} s"
    legend = [f"  {name}: {standing.description}" for name, standing in race.standings.items()]
    return "\n".join([title, *_table([_CROWD_COLUMNS, *rows]), *legend])


def _crowd_row(race: CrowdRace, name: str, standing: Standing[CrowdTrial]) -> tuple[str, ...]:
    trials = standing.trials
    if not trials:
        return (name, "failed", *[""] * (len(_CROWD_COLUMNS) - 2))
    copies = copies_sent(race, trials)
    return (
        f"{name} ({len(standing.failures)} failed)" if standing.failures else name,
        _spread([trial.last_done_s for trial in trials]),
        f"{ideals(race, trials):.2f}x",
        f"{median(min(trial.done_s) for trial in trials):.2f}",
        f"{median(trial.last_verified_s for trial in trials):.2f}",
        "not seen" if copies is None else f"{copies:.2f}",
        f"{median(trial.providers_cpu_s for trial in trials):.2f}",
        f"{median(trial.requesters_cpu_s for trial in trials):.2f}",
        _peak([trial.provider_peak_bytes for trial in trials]),
        _peak([trial.requester_peak_bytes for trial in trials]),
    )


def _ratio(race: Race, name: str, other: str, seconds: Callable[[Trial], float]) -> str:
    ratio = rate_ratio(race, name, other, seconds)
    return "-" if ratio is None else f"{ratio:.2f}x"


def _spread(seconds: Sequence[float]) -> str:
    return f"{median(seconds):.2f} ({min(seconds):.2f}-{max(seconds):.2f})"


def _peak(peaks_bytes: Sequence[int]) -> str:
    return f"{max(peaks_bytes) / 1e6:.0f}" if max(peaks_bytes) else "not seen"


def _alone(alone: Alone) -> str:
    measured = {"publish": alone.publish_s, "hash once": alone.hash_once_s, "p2phub --help": alone.help_s}
    lines = [f"  {what}: {_spread(seconds)} s, {len(seconds)} runs" for what, seconds in measured.items() if seconds]
    return "\n".join(["Alone, process start to exit", *lines]) if lines else ""


def _simulated(simulated: Simulated) -> str:
    if not simulated:
        return ""
    rows = [
        (
            answer.title,
            answer.level,
            _figures(answer),
            "-" if answer.cpu_s is None else f"{answer.cpu_s:.1f}",
            "-" if answer.wall_s is None else f"{answer.wall_s:.1f}",
        )
        for answer in simulated.values()
    ]
    title = "Simulated, in virtual time: medians over seeds (least-most); seconds are those of the simulator itself"
    return "\n".join([title, *_table([_SIMULATED_COLUMNS, *rows])])


def _figures(answer: Answer) -> str:
    words = "; ".join(
        f"{_spread(values) if len(values) > 1 else f'{values[0]:.2f}'} {label}"
        for label, values in answer.figures.items()
        if values
    )
    return f"{words or 'nothing'} ({len(answer.failures)} failed)" if answer.failures else words


def _failures(results: Results) -> str:
    races: list[Race | CrowdRace] = [*results.races, *results.crowds]
    found = [
        f"{race.title}: {name}: {failure}"
        for race in races
        for name, standing in race.standings.items()
        for failure in standing.failures
    ]
    found += [f"alone: {failure}" for failure in results.alone.failures]
    found += [f"{answer.title}: {failure}" for answer in results.simulated.values() for failure in answer.failures]
    return "\n\n".join(["FAILED", *found]) if found else ""


def _verdicts(verdicts: Sequence[Verdict], size: int) -> str:
    words = {True: "met", False: "missed", None: "not measured"}
    rows = [
        (words[verdict.met] + (" (goal)" if verdict.goal else ""), verdict.target, verdict.measured or "")
        for verdict in verdicts
    ]
    note = "" if size == TARGET_BYTES else f"; this run was given {size / MIB:,.0f} MiB, so its verdicts only hint"
    return "\n".join([f"Targets, set for {TARGET_BYTES / GIB:g} GiB and 10,000 small files{note}", *_table(rows)])


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
