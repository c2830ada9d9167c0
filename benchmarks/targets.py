"""The speeds and sizes to reach, and whether a run reached them. Ratios are of medians, within one run."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from benchmarks.alone import Alone
from benchmarks.payload import GIB
from benchmarks.race import Race
from benchmarks.trial import Trial

OURS = "p2phub"
TARGET_BYTES = 2 * GIB
MEMORY_BYTES_MAX = 256_000_000
LIBTORRENT_RATE_MIN = 2.5
CURL_RATE_MIN = 1.0
BARE_RATE_MIN = 0.6
PUBLISH_RATE_MIN = 0.8
HELP_S_MAX = 0.2
COLD_FETCH_S_MAX = 0.4


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target: what it says, what was measured (None: it was not), and whether that is enough."""

    target: str
    measured: str | None
    met: bool | None


def judge(four: Race | None, one: Race | None, cold: Race | None, alone: Alone) -> list[Verdict]:
    """Hold every target against the races (four files, one file, 1 MiB) and against what p2phub did alone."""
    return [
        *_rates("libtorrent", four, LIBTORRENT_RATE_MIN),
        *_rates("curl", four, CURL_RATE_MIN),
        *_rates("bare", four, BARE_RATE_MIN),
        _memory("provider", [four, one], lambda trial: trial.provider_peak_bytes),
        _memory("requester", [four, one], lambda trial: trial.requester_peak_bytes),
        _publish(alone),
        _at_most("p2phub --help", alone.help_s, HELP_S_MAX, strictly=True),
        _at_most("cold fetch of 1 MiB, start to exit", [t.exit_s for t in trials_of(cold, OURS)], COLD_FETCH_S_MAX),
    ]


def trials_of(race: Race | None, name: str) -> list[Trial]:
    """Return the trials of one contestant; none if it, or the race, did not take place."""
    return race.standings[name].trials if race is not None and name in race.standings else []


def rate_ratio(race: Race | None, name: str, other: str, seconds: Callable[[Trial], float]) -> float | None:
    """Return how many times the rate of `other` the rate of `name` is (medians); None if one of them has no trial."""
    own, others = trials_of(race, name), trials_of(race, other)
    return median(map(seconds, others)) / median(map(seconds, own)) if own and others else None


def _rates(other: str, race: Race | None, least: float) -> list[Verdict]:
    """Judge the rate to verified bytes (p2phub's own word; to exit in brackets) and to durable files."""
    to_verified, to_durable = (
        f"rate vs {other}, to {what} >= {least:g}" for what in ("verified bytes", "durable files")
    )
    verified = rate_ratio(race, OURS, other, lambda trial: trial.verified_s)
    ended = rate_ratio(race, OURS, other, lambda trial: trial.exit_s)
    durable = rate_ratio(race, OURS, other, lambda trial: trial.durable_s)
    if verified is None or ended is None or durable is None:
        return [Verdict(to_verified, None, None), Verdict(to_durable, None, None)]
    return [
        Verdict(to_verified, f"{verified:.2f} (to exit {ended:.2f})", verified >= least),
        Verdict(to_durable, f"{durable:.2f}", durable >= least),
    ]


def _memory(side: str, races: list[Race | None], peak_bytes: Callable[[Trial], int]) -> Verdict:
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


def _at_most(what: str, seconds: list[float], most_s: float, *, strictly: bool = False) -> Verdict:
    target = f"{what} {'<' if strictly else '<='} {most_s:g} s"
    if not seconds:
        return Verdict(target, None, None)
    measured = median(seconds)
    return Verdict(target, f"{measured:.3f} s", measured < most_s if strictly else measured <= most_s)
