"""Show each race: a table of its contestants, and once for all what each of them ran."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from benchmarks.crowd_trial import CrowdTrial
from benchmarks.payload import GIB, MIB
from benchmarks.plan import OURS
from benchmarks.race import CrowdRace, Race, Standing
from benchmarks.ratios import copies_sent, ideals, rate_ratio
from benchmarks.report.layout import paragraph, table
from benchmarks.trial import Trial

_COLUMNS = (
    "\ncontestant",
    "\nverified s",
    "\nMiB/s",
    "vs\nbare",
    "vs\nours",
    "\nexit s",
    "\ndurable s",
    "durable\nvs bare",
    "durable\nvs ours",
    "CPU s/GiB\nprov + req",
    "peak MB\nprov, req",
)
_CROWD_COLUMNS = (
    "\ncontestant",
    "\nlast done s",
    "\nx size/cap",
    "first\ndone s",
    "last\nverified s",
    "copies\nsent",
    "CPU s of all\nprov + req",
    "peak MB\nprov, req",
)


def race_table(race: Race, *, width: int) -> str:
    if race.not_measured is not None:
        return paragraph(f"{race.title}: not measured: {race.not_measured}", width=width)
    rows = [_row(race, name, standing) for name, standing in race.standings.items()]
    title = f"{race.title}: {_rounds(race.standings)}; ratios are of rates"
    return "\n".join([paragraph(title, width=width), *table([_COLUMNS, *rows], width=width)])


def crowd_table(race: CrowdRace, *, width: int) -> str:
    rows = [_crowd_row(race, name, standing) for name, standing in race.standings.items()]
    ideal_s = race.scene.ideal_s(race.payload_bytes)
    title = f"{race.title}: {_rounds(race.standings)}; size/cap is {ideal_s:.2f} s"
    return "\n".join([paragraph(title, width=width), *table([_CROWD_COLUMNS, *rows], width=width)])


def legend(races: Sequence[Race | CrowdRace], *, width: int) -> str:
    """Say what each contestant ran: it is the same in all races of a kind."""
    told = {
        f"{name}{' in a crowd' if isinstance(race, CrowdRace) else ''}: {each.description}": None
        for race in races
        for name, each in race.standings.items()
    }
    lines = [paragraph(one, width=width, indent="  ") for one in told]
    return "\n".join(["Contestants", *lines]) if lines else ""


def spread(values: Sequence[float]) -> str:
    """Return the median, and from where to where the values go, if there are several."""
    digits = 2 if max(values) < 10 else 1
    middle, least, most = (f"{value:.{digits}f}" for value in (median(values), min(values), max(values)))
    return middle if len(values) == 1 else f"{middle} ({least}-{most})"


def _row(race: Race, name: str, standing: Standing[Trial]) -> tuple[str, ...]:
    trials = standing.trials
    if not trials:
        return (name, "failed", *[""] * (len(_COLUMNS) - 2))
    verified = [trial.verified_s for trial in trials]
    gib = race.payload_bytes / GIB
    return (
        _named(name, standing),
        spread(verified),
        f"{race.payload_bytes / MIB / median(verified):.0f}",
        _ratio(race, name, "bare", lambda trial: trial.verified_s),
        _ratio(race, name, OURS, lambda trial: trial.verified_s),
        f"{median(trial.exit_s for trial in trials):.2f}",
        spread([trial.durable_s for trial in trials]),
        _ratio(race, name, "bare", lambda trial: trial.durable_s),
        _ratio(race, name, OURS, lambda trial: trial.durable_s),
        _cpu([trial.provider_cpu_s / gib for trial in trials], [trial.requester_cpu_s / gib for trial in trials]),
        _peaks(trials),
    )


def _crowd_row(race: CrowdRace, name: str, standing: Standing[CrowdTrial]) -> tuple[str, ...]:
    trials = standing.trials
    if not trials:
        return (name, "failed", *[""] * (len(_CROWD_COLUMNS) - 2))
    copies = copies_sent(race, trials)
    return (
        _named(name, standing),
        spread([trial.last_done_s for trial in trials]),
        f"{ideals(race, trials):.2f}x",
        f"{median(min(trial.done_s) for trial in trials):.2f}",
        f"{median(trial.last_verified_s for trial in trials):.2f}",
        "not seen" if copies is None else f"{copies:.2f}",
        _cpu([trial.providers_cpu_s for trial in trials], [trial.requesters_cpu_s for trial in trials]),
        _peaks(trials),
    )


def _rounds(standings: Mapping[str, Standing[Trial]] | Mapping[str, Standing[CrowdTrial]]) -> str:
    rounds = max((len(standing.trials) for standing in standings.values()), default=0)
    return "1 round" if rounds == 1 else f"{rounds} rounds, medians (least-most)"


def _named(name: str, standing: Standing[Trial] | Standing[CrowdTrial]) -> str:
    return f"{name} ({len(standing.failures)} failed)" if standing.failures else name


def _ratio(race: Race, name: str, other: str, seconds: Callable[[Trial], float]) -> str:
    ratio = rate_ratio(race, name, other, seconds)
    return "-" if ratio is None else f"{ratio:.2f}x"


def _cpu(providers_s: Sequence[float], requesters_s: Sequence[float]) -> str:
    return f"{median(providers_s):.1f} + {median(requesters_s):.1f}"


def _peaks(trials: Sequence[Trial] | Sequence[CrowdTrial]) -> str:
    """Return the highest peak of either side; one that was never looked at is not seen."""
    highest = (max(one.provider_peak_bytes for one in trials), max(one.requester_peak_bytes for one in trials))
    return ", ".join(f"{peak / 1e6:.0f}" if peak else "not seen" for peak in highest)
