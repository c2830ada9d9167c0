"""The speeds and sizes to reach, and whether a run reached them. Ratios are of medians, within one run.

A goal is what to aim at beyond what is required: a miss is shown, and to be explained by a profile, but fails no run.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.alone import Alone
from benchmarks.crowd_trial import CrowdTrial
from benchmarks.plan import BUSY, OURS
from benchmarks.race import CrowdRace, Race
from benchmarks.simulated import OF_BEST, OF_BOUND, RIDERS_COST, RIDERS_LATER, ROUND_TRIPS, Answer, Simulated
from benchmarks.trial import Trial

MEMORY_BYTES_MAX = 256_000_000
LIBTORRENT_RATE_MIN, LIBTORRENT_RATE_GOAL = 2.5, 3.0
CURL_RATE_MIN = 1.2
BARE_RATE_MIN, BARE_RATE_GOAL = 0.6, 0.7
RSYNC_RATE_GOAL = 1.0
BUSY_RATE_MIN = 0.5
SMALL_RSYNC_RATE_MIN = 1.5
SMALL_LIBTORRENT_RATE_MIN = 4.0
MANY_RATE_MIN = 0.9  # of the sum of the caps
SWARM_IDEALS_MAX = 1.25
SWARM_COPIES_MAX = 1.2
CAPPED_IDEALS_MAX = 1.05
PUBLISH_RATE_MIN = 0.8
HELP_S_MAX = 0.2
COLD_FETCH_S_MAX = 0.3
OF_BOUND_MIN = 0.8  # T* = (F/u)(1 + floor(log2 N)/M)
POISONERS_COST_MAX = 1.3
TARPITS_COST_MAX = 1.5
RIDERS_COST_MAX = 1.25
COLD_ROUND_TRIPS_MAX = 6.0
SIMULATED_ENGINE_S_MAX = 20.0
SIMULATED_MILLION_S_MAX = 60.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target: what it says, what was measured (None: it was not), and whether that is enough."""

    target: str
    measured: str | None
    met: bool | None
    goal: bool = False


def judge(
    races: Mapping[str, Race], crowds: Mapping[str, CrowdRace], alone: Alone, simulated: Simulated
) -> list[Verdict]:
    """Hold every target against the races, by their names in `plan`, against what p2phub did alone, and against what
    the simulator answered.
    """
    four, small = races.get("four"), races.get("small")
    large = [four, races.get("one")]
    return [
        *_rates("libtorrent", four, LIBTORRENT_RATE_MIN),
        *_rates("libtorrent", four, LIBTORRENT_RATE_GOAL, goal=True),
        *_rates("curl", four, CURL_RATE_MIN),
        *_rates("rsync", four, RSYNC_RATE_GOAL, goal=True),
        *_rates("bare", four, BARE_RATE_MIN),
        *_rates("bare", four, BARE_RATE_GOAL, goal=True),
        *_rates("bare", four, BUSY_RATE_MIN, own=BUSY),
        *_rates("rsync", small, SMALL_RSYNC_RATE_MIN, where="small files: "),
        *_rates("libtorrent", small, SMALL_LIBTORRENT_RATE_MIN, where="small files: "),
        _many(crowds.get("many")),
        _ideals("last of 8 requesters of one capped provider", crowds.get("swarm"), SWARM_IDEALS_MAX),
        _copies(crowds.get("swarm")),
        _ideals("one requester of a capped provider", crowds.get("capped"), CAPPED_IDEALS_MAX),
        _memory("provider", large, lambda trial: trial.provider_peak_bytes),
        _memory("requester", large, lambda trial: trial.requester_peak_bytes),
        _publish(alone),
        _at_most("p2phub --help", alone.help_s, HELP_S_MAX, strictly=True),
        _at_most(
            "cold fetch of 1 MiB, start to exit",
            [trial.exit_s for trial in trials_of(races.get("cold"), OURS)],
            COLD_FETCH_S_MAX,
        ),
        *_of_bound(simulated),
        _worst("30 % poisoners, simulated: cost", simulated.get("poisoners"), OF_BEST, POISONERS_COST_MAX),
        _worst("50 % tarpits, simulated: cost", simulated.get("tarpits"), OF_BEST, TARPITS_COST_MAX),
        _worst(
            "40 % free riders in swarms of five, simulated: honest take",
            simulated.get("riders"),
            RIDERS_COST,
            RIDERS_COST_MAX,
        ),
        _riders_are_later(simulated.get("riders")),
        _worst("cold 1 MiB, simulated:", simulated.get("cold"), ROUND_TRIPS, COLD_ROUND_TRIPS_MAX),
        _wall("50-node flash crowd of the production engine", simulated.get("crowd-engine"), SIMULATED_ENGINE_S_MAX),
        _wall("10^6-node model of a flash crowd", simulated.get("crowd-many"), SIMULATED_MILLION_S_MAX),
    ]


def trials_of(race: Race | None, name: str) -> list[Trial]:
    """Return the trials of one contestant; none if it, or the race, did not take place."""
    return race.standings[name].trials if race is not None and name in race.standings else []


def rate_ratio(race: Race | None, name: str, other: str, seconds: Callable[[Trial], float]) -> float | None:
    """Return how many times the rate of `other` the rate of `name` is (medians); None if one of them has no trial."""
    own, others = trials_of(race, name), trials_of(race, other)
    return median(map(seconds, others)) / median(map(seconds, own)) if own and others else None


def ideals(race: CrowdRace, trials: Sequence[CrowdTrial]) -> float:
    """Return how many times the ideal the last requester took until it was done, start-up included (median)."""
    return median(trial.last_done_s for trial in trials) / race.scene.ideal_s(race.payload_bytes)


def copies_sent(race: CrowdRace, trials: Sequence[CrowdTrial]) -> float | None:
    """Return how many copies of the payload all providers together sent (median); None if nobody could count."""
    sent = [sum(trial.sent_bytes) for trial in trials if trial.sent_bytes is not None]
    return median(sent) / race.payload_bytes if sent else None


def _rates(
    other: str, race: Race | None, least: float, *, own: str = OURS, where: str = "", goal: bool = False
) -> list[Verdict]:
    """Judge the rate to verified bytes (p2phub's own word; to exit in brackets) and to durable files."""
    who = "" if own == OURS else f" of {own}"
    to_verified, to_durable = (
        f"{where}rate{who} vs {other}, to {what} >= {least:g}" for what in ("verified bytes", "durable files")
    )
    verified = rate_ratio(race, own, other, lambda trial: trial.verified_s)
    ended = rate_ratio(race, own, other, lambda trial: trial.exit_s)
    durable = rate_ratio(race, own, other, lambda trial: trial.durable_s)
    if verified is None or ended is None or durable is None:
        return [Verdict(to_verified, None, None, goal), Verdict(to_durable, None, None, goal)]
    return [
        Verdict(to_verified, f"{verified:.2f} (to exit {ended:.2f})", verified >= least, goal),
        Verdict(to_durable, f"{durable:.2f}", durable >= least, goal),
    ]


def _many(race: CrowdRace | None) -> Verdict:
    """Judge the rate to verified bytes against the sum of the caps."""
    target = f"rate from four capped providers vs the sum of the caps >= {MANY_RATE_MIN:g}"
    trials = _crowd_trials_of(race)
    if race is None or not trials:
        return Verdict(target, None, None)
    ideal_s = race.scene.ideal_s(race.payload_bytes)
    verified = ideal_s / median(trial.last_verified_s for trial in trials)
    done = ideal_s / median(trial.last_done_s for trial in trials)
    return Verdict(target, f"{verified:.2f} (to exit {done:.2f})", verified >= MANY_RATE_MIN)


def _ideals(what: str, race: CrowdRace | None, most: float) -> Verdict:
    target = f"{what}, start to exit <= {most:g} x size / cap"
    trials = _crowd_trials_of(race)
    if race is None or not trials:
        return Verdict(target, None, None)
    measured = ideals(race, trials)
    return Verdict(target, f"{measured:.2f}", measured <= most)


def _copies(race: CrowdRace | None) -> Verdict:
    target = f"copies that the one provider of 8 requesters sends <= {SWARM_COPIES_MAX:g}"
    trials = _crowd_trials_of(race)
    copies = copies_sent(race, trials) if race is not None else None
    if copies is None:
        return Verdict(target, None, None)
    return Verdict(target, f"{copies:.2f}", copies <= SWARM_COPIES_MAX)


def _crowd_trials_of(race: CrowdRace | None) -> list[CrowdTrial]:
    return race.standings[OURS].trials if race is not None and OURS in race.standings else []


def _memory(side: str, races: Sequence[Race | None], peak_bytes: Callable[[Trial], int]) -> Verdict:
    target = f"{side} peak anonymous memory <= {MEMORY_BYTES_MAX // 10**6} MB"
    peaks = [peak_bytes(trial) for race in races for trial in trials_of(race, OURS)]
    if not any(peaks):  # no trial, or all ended before the first look
        return Verdict(target, None, None)
    return Verdict(target, f"{max(peaks) / 1e6:.0f} MB", max(peaks) <= MEMORY_BYTES_MAX)


def _publish(alone: Alone) -> Verdict:
    target = f"publish rate vs hashing once >= {PUBLISH_RATE_MIN:g}"
    if not alone.publish_s or not alone.hash_once_s:
        return Verdict(target, None, None)
    ratio = median(alone.hash_once_s) / median(alone.publish_s)
    return Verdict(target, f"{ratio:.2f}", ratio >= PUBLISH_RATE_MIN)


def _at_most(what: str, seconds: Sequence[float], most_s: float, *, strictly: bool = False) -> Verdict:
    target = f"{what} {'<' if strictly else '<='} {most_s:g} s"
    if not seconds:
        return Verdict(target, None, None)
    measured = median(seconds)
    return Verdict(target, f"{measured:.3f} s", measured < most_s if strictly else measured <= most_s)


def _of_bound(simulated: Simulated) -> Iterator[Verdict]:
    """Judge crowds by their size and level: what holds as arrays says what the engine could reach, not that it does."""
    for nodes, level, name in (
        ("50", "production engine", "crowd-engine"),
        ("50", "sessions on modelled links", "crowd-sessions"),
        ("1,000", "as arrays", "crowd-few"),
    ):
        target = f"flash crowd of {nodes} ({level}) >= {OF_BOUND_MIN:g} {OF_BOUND}"
        answer = simulated.get(name)
        values = _values(answer, OF_BOUND)
        if answer is None or not values:
            yield _unknown(target, answer)
        else:
            yield Verdict(target, f"{min(values):.2f}", min(values) >= OF_BOUND_MIN and not answer.failures)


def _worst(what: str, answer: Answer | None, label: str, most: float) -> Verdict:
    """Judge the worst of all seeds."""
    target = f"{what} <= {most:g} {label}"
    values = _values(answer, label)
    if answer is None or not values:
        return _unknown(target, answer)
    return Verdict(target, f"{max(values):.2f} at worst", max(values) <= most and not answer.failures)


def _riders_are_later(answer: Answer | None) -> Verdict:
    target = "40 % free riders, simulated: half of them done later than half of the others"
    values = _values(answer, RIDERS_LATER)
    if answer is None or not values:
        return _unknown(target, answer)
    return Verdict(target, f"by {min(values):.2f} s at least", min(values) > 0 and not answer.failures)


def _wall(what: str, answer: Answer | None, most_s: float) -> Verdict:
    target = f"{what} in <= {most_s:g} s of wall time"
    if answer is None or answer.wall_s is None:
        return _unknown(target, answer)
    return Verdict(target, f"{answer.wall_s:.1f} s (CPU {answer.cpu_s:.1f} s)", answer.wall_s <= most_s)


def _values(answer: Answer | None, label: str) -> list[float]:
    return answer.figures.get(label, []) if answer is not None else []


def _unknown(target: str, answer: Answer | None) -> Verdict:
    """Return that nothing was measured: missed, if it should have been."""
    return Verdict(target, None, None) if answer is None else Verdict(target, "failed", False)
