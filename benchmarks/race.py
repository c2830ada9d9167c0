"""A race: all contestants on one payload, interleaved, so that what the machine does beside falls on all of them alike.

Rounds go forwards and backwards in turn. A contestant that cannot get ready is out of this race; one whose trial fails
stays in, and the failure is reported beside what it measured. A race in a crowd has the same order, and its trials
are of the other kind (`crowd_trial`). A race over a line has the same trials, between the line's two ends.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from benchmarks.contestants import Contestant, CrowdContestant, Far, Scene
from benchmarks.crowd_trial import CrowdTrial, run_crowd_trial
from benchmarks.line import Line, joined, why_not
from benchmarks.payload import Payload
from benchmarks.processes import ContestantFailed
from benchmarks.trial import Trial, run_trial

Tell = Callable[[str], None]
T = TypeVar("T", Trial, CrowdTrial)


@dataclass(frozen=True, slots=True)
class How:
    """What holds for every race: how many rounds, where, and how long one requester may take."""

    rounds: int
    work: Path
    timeout_s: float
    tell: Tell
    unable: Mapping[str, str] = field(default_factory=dict)
    """Contestants that could not be installed, and why."""


class _Named(Protocol):
    name: str
    description: str


C = TypeVar("C", bound=_Named)


@dataclass(slots=True)
class Standing(Generic[T]):
    """What one contestant has done in one race so far."""

    description: str
    trials: list[T] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Race:
    """The results on one payload: by contestant's name, in the order in which they were given.

    Nobody's, if it could not be held here, and then why.
    """

    title: str
    payload_bytes: int
    standings: dict[str, Standing[Trial]]
    not_measured: str | None = None


@dataclass(frozen=True, slots=True)
class CrowdRace:
    """The same of a race in a crowd."""

    title: str
    payload_bytes: int
    scene: Scene
    standings: dict[str, Standing[CrowdTrial]]


def run_race(
    title: str, payload: Payload, contestants: Sequence[Contestant], how: How, *, line: Line | None = None
) -> Race:
    """Run `how.rounds` trials of each contestant; over a line, if there is one, whose provider they were told of."""
    if line is not None and (why := why_not(line, how.work)) is not None:
        how.tell(f"{title}: not measured: {why}")
        return Race(title, payload.size, {}, why)
    work = how.work / (payload.name if line is None else f"{payload.name}-far")
    race = Race(title, payload.size, {one.name: Standing(one.description) for one in contestants})

    def prepare(contestant: Contestant, directory: Path) -> None:
        contestant.prepare(payload, directory)

    def take_part(contestant: Contestant) -> Trial:
        directory = work / f"{contestant.name}-trial"
        if line is None:
            return run_trial(contestant, payload, directory, timeout_s=how.timeout_s)
        with joined(line, stderr=work / f"{contestant.name}-line.stderr", tell=how.tell) as ends:
            return run_trial(Far(contestant, ends), payload, directory, timeout_s=how.timeout_s)

    ready = _prepare(title, contestants, race.standings, prepare, work, how)
    _run(title, ready, race.standings, take_part, lambda trial: trial.verified_s, how)
    shutil.rmtree(work)  # what contestants made ready is as large as the payload
    return race


def run_crowd_race(
    title: str, payload: Payload, scene: Scene, contestants: Sequence[CrowdContestant], how: How
) -> CrowdRace:
    """Run `how.rounds` trials of each contestant in this scene."""
    work = how.work / f"crowd-{scene.providers}-{scene.requesters}"
    race = CrowdRace(title, payload.size, scene, {one.name: Standing(one.description) for one in contestants})

    def prepare(contestant: CrowdContestant, directory: Path) -> None:
        contestant.prepare(payload, scene, directory)

    def take_part(contestant: CrowdContestant) -> CrowdTrial:
        return run_crowd_trial(contestant, payload, scene, work / f"{contestant.name}-trial", timeout_s=how.timeout_s)

    ready = _prepare(title, contestants, race.standings, prepare, work, how)
    _run(title, ready, race.standings, take_part, lambda trial: trial.last_done_s, how)
    shutil.rmtree(work)  # what contestants made ready is as large as the payload
    return race


def _prepare(
    title: str,
    contestants: Sequence[C],
    standings: dict[str, Standing[T]],
    prepare: Callable[[C, Path], None],
    work: Path,
    how: How,
) -> list[C]:
    """Get each contestant ready; return those that are."""
    ready: list[C] = []
    for contestant in contestants:
        directory = work / contestant.name
        directory.mkdir(parents=True)
        try:
            if contestant.name in how.unable:
                raise ContestantFailed(how.unable[contestant.name])
            prepare(contestant, directory)
        except ContestantFailed as failure:
            standings[contestant.name].failures.append(str(failure))
            how.tell(f"{title}: {contestant.name} could not get ready")
        else:
            ready.append(contestant)
    return ready


def _run(
    title: str,
    ready: Sequence[C],
    standings: dict[str, Standing[T]],
    take_part: Callable[[C], T],
    seconds: Callable[[T], float],
    how: How,
) -> None:
    for number in range(how.rounds):
        for contestant in ready if number % 2 == 0 else reversed(ready):
            standing = standings[contestant.name]
            try:
                trial = take_part(contestant)
            except ContestantFailed as failure:
                standing.failures.append(str(failure))
                how.tell(f"{title}, round {number + 1}: {contestant.name} FAILED")
            else:
                standing.trials.append(trial)
                how.tell(f"{title}, round {number + 1}: {contestant.name} {seconds(trial):.2f} s")
