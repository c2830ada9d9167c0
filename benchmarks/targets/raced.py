"""Judge what real processes did: races, races in a crowd, and what p2phub does alone.

Rates are judged twice, to verified bytes and to durable files (`trial` says why); in a crowd, and from a cold start,
the end of the process is what counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from benchmarks.alone import Alone
from benchmarks.crowd_trial import CrowdTrial
from benchmarks.held import Held
from benchmarks.plan import BUSY, CROWD_RACES, DISK, OURS, RACES
from benchmarks.race import CrowdRace, Race
from benchmarks.ratios import copies_sent, ideals, rate_ratio, trials_of
from benchmarks.search import KINDS, Search, within
from benchmarks.targets.verdict import Kind, Verdict
from benchmarks.trial import Trial

_BUSY_CPU_MIN = 0.25  # Of the time of a trial: what a loop that never rests takes at least, whatever runs beside.


def rates(
    name: str, race: Race | None, other: str, least: float, *, own: str = OURS, kind: Kind = Kind.REQUIRED
) -> list[Verdict]:
    """Judge the rate against that of `other`: to verified bytes (p2phub's own word; to exit in brackets), and to
    durable files. In brackets, too: what the disk alone reaches when it is written to directly."""
    of = race.title if race is not None else RACES[name].subject
    who = "rate" if own == OURS else "rate of a busy node"
    to_verified, to_durable = (f"{who} vs {other}, {what}" for what in ("verified", "durable"))
    target = f">= {least:g}"
    verified = rate_ratio(race, own, other, lambda trial: trial.verified_s)
    ended = rate_ratio(race, own, other, lambda trial: trial.exit_s)
    durable = rate_ratio(race, own, other, lambda trial: trial.durable_s)
    failed = _failed(race, own)
    if verified is None or ended is None or durable is None:
        return [_nothing(of, what, target, failed, kind) for what in (to_verified, to_durable)]
    if race is not None and own == BUSY and not _was_busy(race):
        return [Verdict(of, what, target, "it was not busy", False, kind) for what in (to_verified, to_durable)]
    beside = [f"exit {ended:.2f}", *_of_disk(race, other, lambda trial: trial.verified_s)]
    beside_durable = _of_disk(race, other, lambda trial: trial.durable_s)
    return [
        _verdict(of, to_verified, target, _figure(verified, beside), verified >= least, failed, kind),
        _verdict(of, to_durable, target, _figure(durable, beside_durable), durable >= least, failed, kind),
    ]


def _of_disk(race: Race | None, other: str, seconds: Callable[[Trial], float]) -> list[str]:
    ratio = rate_ratio(race, DISK, other, seconds)
    return [] if ratio is None else [f"disk {ratio:.2f}"]


def _figure(ratio: float, beside: Sequence[str]) -> str:
    return f"{ratio:.2f} ({', '.join(beside)})" if beside else f"{ratio:.2f}"


def at_most(name: str, race: Race | None, what: str, most_s: float) -> Verdict:
    """Judge how long p2phub's process took, from start to exit."""
    of, target = race.title if race is not None else RACES[name].subject, f"<= {most_s:g} s"
    failed, trials = _failed(race, OURS), trials_of(race, OURS)
    if not trials:
        return _nothing(of, what, target, failed)
    measured = median(trial.exit_s for trial in trials)
    return _verdict(of, what, target, f"{measured:.3f} s", measured <= most_s, failed)


def memory(side: str, races: Sequence[Race], peak_bytes: Callable[[Trial], int], most_bytes: int) -> Verdict:
    """Judge the highest peak of p2phub in any trial of these races."""
    of = "; ".join(race.title for race in races) or RACES["four"].subject
    what, target = f"{side}'s anonymous memory", f"<= {most_bytes / 1e6:g} MB"
    peaks = [peak_bytes(trial) for race in races for trial in trials_of(race, OURS)]
    if not any(peaks):  # no trial, or all ended before the first look
        return Verdict(of, what, target, None, None)
    return Verdict(of, what, target, f"{max(peaks) / 1e6:.0f} MB", max(peaks) <= most_bytes)


def sum_of_caps(name: str, race: CrowdRace | None, least: float) -> list[Verdict]:
    """Judge the rate of the last requester against the sum of the caps: to verified bytes, and to its exit."""
    of, failed, trials = _crowd(name, race)
    whats, target = ("rate vs sum of caps, verified", "rate vs sum of caps, exit"), f">= {least:g}"
    if race is None or not trials:
        return [_nothing(of, what, target, failed) for what in whats]
    ideal_s = race.scene.ideal_s(race.payload_bytes)
    reached = (
        ideal_s / median(trial.last_verified_s for trial in trials),
        ideal_s / median(trial.last_done_s for trial in trials),
    )
    return [
        _verdict(of, what, target, f"{rate:.2f}", rate >= least, failed)
        for what, rate in zip(whats, reached, strict=True)
    ]


def ideals_at_most(name: str, race: CrowdRace | None, most: float) -> Verdict:
    """Judge when the last requester has ended, in times of what one copy takes under the cap."""
    of, failed, trials = _crowd(name, race)
    what, target = "x size/cap, last exit", f"<= {most:g}"
    if race is None or not trials:
        return _nothing(of, what, target, failed)
    measured = ideals(race, trials)
    return _verdict(of, what, target, f"{measured:.2f}", measured <= most, failed)


def copies(name: str, race: CrowdRace | None, most: float) -> Verdict:
    """Judge how much the provider sent."""
    of, failed, trials = _crowd(name, race)
    what, target = "copies that the provider sends", f"<= {most:g}"
    measured = copies_sent(race, trials) if race is not None else None
    if measured is None:
        return _nothing(of, what, target, failed)
    return _verdict(of, what, target, f"{measured:.2f}", measured <= most, failed)


def publish(alone: Alone, rate_min: float, help_s_max: float) -> list[Verdict]:
    """Judge what p2phub does alone."""
    of, hashing, helping = "alone", "publish, rate vs hashing once", "p2phub --help, start to exit"
    rate, seconds = f">= {rate_min:g}", f"< {help_s_max:g} s"
    failed = len(alone.failures)
    verdicts: list[Verdict] = []
    if alone.publish_s and alone.hash_once_s:
        ratio = median(alone.hash_once_s) / median(alone.publish_s)
        verdicts.append(_verdict(of, hashing, rate, f"{ratio:.2f}", ratio >= rate_min, failed))
    else:
        verdicts.append(_nothing(of, hashing, rate, failed))
    if alone.help_s:
        took = median(alone.help_s)
        verdicts.append(_verdict(of, helping, seconds, f"{took:.3f} s", took < help_s_max, failed))
    else:
        verdicts.append(_nothing(of, helping, seconds, failed))
    return verdicts


def held(held: Held, dry_run_s_max: float, lookup_us_max: float) -> list[Verdict]:
    """Judge what a home that holds a great deal costs."""
    of = f"{held.pins:,} pins, {held.chunks:,} chunks" if held.pins else "a home with 100,000 pins"
    collecting, looking = "gc --dry-run, start to exit", "looking up a chunk"
    most_s, most_us = f"<= {dry_run_s_max:g} s", f"<= {lookup_us_max:g} us"
    failed = len(held.failures)
    if not held.dry_run_s or not held.lookup_us:
        return [_nothing(of, what, most, failed) for what, most in ((collecting, most_s), (looking, most_us))]
    took_s, took_us = median(held.dry_run_s), median(held.lookup_us)
    return [
        _verdict(of, collecting, most_s, f"{took_s:.2f} s", took_s <= dry_run_s_max, failed),
        _verdict(of, looking, most_us, f"{took_us:.0f} us", took_us <= lookup_us_max, failed),
    ]


def search(search: Search, most_ms: float) -> list[Verdict]:
    """Judge how long a user waits who types: for the answer in the middle, and as a goal for 19 of 20."""
    of = f"{search.rows or 1_000_000:,} releases"
    most, failed = f"< {most_ms:g} ms", len(search.failures)
    verdicts = []
    for kind in KINDS:
        what, took = f"search: {kind}", search.took_ms.get(kind)
        if not took:
            verdicts.append(_nothing(of, what, most, failed))
            continue
        middle = median(took)
        verdicts.append(_verdict(of, what, most, f"{middle:.1f} ms", middle < most_ms, failed))
    late = max((within(took, 0.95) for took in search.took_ms.values()), default=None)
    what = "search: 19 of 20 answers"
    if late is None:
        return [*verdicts, _nothing(of, what, most, failed, Kind.GOAL)]
    return [*verdicts, _verdict(of, what, most, f"{late:.1f} ms", late < most_ms, failed, Kind.GOAL)]


def _was_busy(race: Race) -> bool:
    """Say whether the busy provider computed beside serving, more than the plain one: one that idled would meet its
    target for another reason."""
    busy, plain = trials_of(race, BUSY), trials_of(race, OURS)
    serving_s = median(trial.provider_cpu_s for trial in plain) if plain else 0.0
    computing_s = median(trial.provider_cpu_s for trial in busy) - serving_s
    return computing_s >= _BUSY_CPU_MIN * median(trial.exit_s for trial in busy)


def _crowd(name: str, race: CrowdRace | None) -> tuple[str, int, list[CrowdTrial]]:
    """Return the title, how many of p2phub's trials failed, and the others."""
    if race is None:
        return CROWD_RACES[name].subject, 0, []
    standing = race.standings.get(OURS)
    return race.title, _failed(race, OURS), standing.trials if standing is not None else []


def _failed(race: Race | CrowdRace | None, own: str) -> int:
    return len(race.standings[own].failures) if race is not None and own in race.standings else 0


def _nothing(of: str, what: str, target: str, failed: int, kind: Kind = Kind.REQUIRED) -> Verdict:
    """Return that there is no figure: missed, if p2phub should have given one and failed."""
    return Verdict(of, what, target, "failed" if failed else None, False if failed else None, kind)


def _verdict(
    of: str, what: str, target: str, measured: str, reached: bool, failed: int, kind: Kind = Kind.REQUIRED
) -> Verdict:
    words = f"{measured}, {failed} failed" if failed else measured
    return Verdict(of, what, target, words, reached and not failed, kind)
