"""What follows from trials: rates against each other, times against the ideal, copies sent. All from medians.

The report shows these figures and `targets` judges them, so both must mean the same by them.
"""

from collections.abc import Callable, Sequence
from statistics import median

from benchmarks.crowd_trial import CrowdTrial
from benchmarks.race import CrowdRace, Race
from benchmarks.trial import Trial


def trials_of(race: Race | None, name: str) -> list[Trial]:
    """Return the trials of one contestant; none if it, or the race, did not take place."""
    return race.standings[name].trials if race is not None and name in race.standings else []


def rate_ratio(race: Race | None, name: str, other: str, seconds: Callable[[Trial], float]) -> float | None:
    """Return how many times the rate of `other` the rate of `name` is; None if one of them has no trial."""
    own, others = trials_of(race, name), trials_of(race, other)
    return median(map(seconds, others)) / median(map(seconds, own)) if own and others else None


def ideals(race: CrowdRace, trials: Sequence[CrowdTrial]) -> float:
    """Return how many times the ideal the last requester took until it was done, start-up included."""
    return median(trial.last_done_s for trial in trials) / race.scene.ideal_s(race.payload_bytes)


def copies_sent(race: CrowdRace, trials: Sequence[CrowdTrial]) -> float | None:
    """Return how many copies of the payload all providers together sent; None if nobody could count."""
    sent = [sum(trial.sent_bytes) for trial in trials if trial.sent_bytes is not None]
    return median(sent) / race.payload_bytes if sent else None
