"""A race: all contestants on one payload, interleaved, so that what the machine does beside falls on all of them alike.

Rounds go forwards and backwards in turn. A contestant that cannot get ready is out of this race; one whose trial fails
stays in, and the failure is reported beside what it measured.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.contestants import Contestant
from benchmarks.payload import Payload
from benchmarks.processes import ContestantFailed
from benchmarks.trial import Trial, run_trial

Tell = Callable[[str], None]


@dataclass(slots=True)
class Standing:
    """What one contestant has done in one race so far."""

    description: str
    trials: list[Trial] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Race:
    """The results on one payload: by contestant's name, in the order in which they were given."""

    title: str
    payload_bytes: int
    standings: dict[str, Standing]


def run_race(
    title: str,
    payload: Payload,
    contestants: Sequence[Contestant],
    *,
    rounds: int,
    work: Path,
    timeout_s: float,
    tell: Tell,
) -> Race:
    """Run `rounds` trials of each contestant; `timeout_s` is for one requester."""
    race = Race(title, payload.size, {contestant.name: Standing(contestant.description) for contestant in contestants})
    ready = [contestant for contestant in contestants if _prepare(contestant, payload, race, work, tell)]
    for number in range(rounds):
        for contestant in ready if number % 2 == 0 else reversed(ready):
            standing = race.standings[contestant.name]
            directory = work / payload.name / f"{contestant.name}-trial"
            try:
                trial = run_trial(contestant, payload, directory, timeout_s=timeout_s)
            except ContestantFailed as failure:
                standing.failures.append(str(failure))
                tell(f"{title}, round {number + 1}: {contestant.name} FAILED")
            else:
                standing.trials.append(trial)
                tell(f"{title}, round {number + 1}: {contestant.name} {trial.verified_s:.2f} s")
    return race


def _prepare(contestant: Contestant, payload: Payload, race: Race, work: Path, tell: Tell) -> bool:
    directory = work / payload.name / contestant.name
    directory.mkdir(parents=True)
    try:
        contestant.prepare(payload, directory)
    except ContestantFailed as failure:
        race.standings[contestant.name].failures.append(str(failure))
        tell(f"{race.title}: {contestant.name} could not get ready")
        return False
    return True
