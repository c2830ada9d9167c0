"""Targets are judged from the race that measures them, and are not judged where it was not run."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.alone import Alone
from benchmarks.contestants import Scene
from benchmarks.crowd_trial import CrowdTrial
from benchmarks.race import CrowdRace, Race, Standing
from benchmarks.report import Results, render
from benchmarks.simulated import OF_BEST, OF_BOUND, RIDERS_COST, RIDERS_LATER, Answer
from benchmarks.targets import Verdict, judge
from benchmarks.trial import Trial

SIZE = 500_000_000
ONE_PROVIDER = Scene(providers=1, requesters=8, cap_bytes_per_s=50_000_000)  # ideal: 10 s


def trial(seconds: float) -> Trial:
    return Trial(seconds, seconds, seconds, 1.0, 1.0, 10**7, 10**7)


def race(**seconds: float) -> Race:
    return Race("a race", SIZE, {name: Standing("", [trial(took)]) for name, took in seconds.items()})


def crowd(scene: Scene, *, last_s: float, sent_bytes: int | None) -> CrowdRace:
    sent = None if sent_bytes is None else (sent_bytes,)
    took = CrowdTrial((1.0, last_s), (1.0, last_s), sent, 1.0, 1.0, 10**7, 10**7)
    return CrowdRace("a crowd", SIZE, scene, {"p2phub": Standing("", [took])})


def answered(*, of_bound: list[float] | None = None, x_the_best: list[float] | None = None) -> Answer:
    figures = {OF_BOUND: of_bound, OF_BEST: x_the_best}
    return Answer("", "", {label: values for label, values in figures.items() if values is not None})


def verdict(verdicts: list[Verdict], words: str) -> Verdict:
    [found] = [one for one in verdicts if words in one.target]
    return found


def test_without_a_race_nothing_is_met_or_missed() -> None:
    assert {one.met for one in judge({}, {}, Alone(), {})} == {None}


def test_a_rate_is_held_against_the_race_it_is_set_for() -> None:
    verdicts = judge(
        {"four": race(p2phub=1.0, libtorrent=2.6), "small": race(p2phub=1.0, libtorrent=3.9)}, {}, Alone(), {}
    )
    assert verdict(verdicts, "rate vs libtorrent, to verified bytes >= 2.5").met is True
    assert verdict(verdicts, "rate vs libtorrent, to verified bytes >= 3").met is False
    assert verdict(verdicts, "small files: rate vs libtorrent, to verified bytes >= 4").met is False
    assert verdict(verdicts, "rate vs curl, to verified bytes").met is None


def test_a_goal_is_told_apart_from_what_is_required() -> None:
    verdicts = judge({"four": race(p2phub=1.0, bare=0.65)}, {}, Alone(), {})
    assert [(one.met, one.goal) for one in verdicts if "vs bare, to durable" in one.target] == [
        (True, False),
        (False, True),
        (None, False),  # of the busy node
    ]


def test_a_crowd_is_judged_by_its_last_requester_and_by_what_the_provider_sent() -> None:
    verdicts = judge({}, {"swarm": crowd(ONE_PROVIDER, last_s=12.4, sent_bytes=SIZE * 2)}, Alone(), {})
    assert verdict(verdicts, "last of 8 requesters").met is True
    assert verdict(verdicts, "copies").measured == "2.00"
    assert verdict(verdicts, "copies").met is False
    assert verdict(verdicts, "one requester of a capped provider").met is None


def test_copies_that_nobody_could_count_are_not_measured() -> None:
    verdicts = judge({}, {"swarm": crowd(ONE_PROVIDER, last_s=12.4, sent_bytes=None)}, Alone(), {})
    assert verdict(verdicts, "copies").met is None


def test_the_caps_of_several_providers_add_up() -> None:
    four = Scene(providers=4, requesters=1, cap_bytes_per_s=25_000_000)  # ideal: 5 s
    verdicts = judge({}, {"many": crowd(four, last_s=5.5, sent_bytes=SIZE)}, Alone(), {})
    assert verdict(verdicts, "sum of the caps").met is True


def test_what_was_simulated_is_judged_by_its_worst_seed() -> None:
    simulated = {
        "tarpits": answered(x_the_best=[1.2, 1.51, 1.3]),
        "poisoners": answered(x_the_best=[1.2, 1.3, 1.1]),
        "crowd-few": answered(of_bound=[0.79]),
    }
    verdicts = judge({}, {}, Alone(), simulated)
    assert verdict(verdicts, "tarpits").measured == "1.51 at worst"
    assert [verdict(verdicts, words).met for words in ("tarpits", "poisoners", "1,000 (as arrays)")] == [
        False,
        True,
        False,
    ]
    assert verdict(verdicts, "50 (production engine)").met is None


def test_what_the_simulator_found_wrong_is_a_target_that_is_missed() -> None:
    broken = answered(x_the_best=[1.1])
    broken.failures.append("seed 1: a chunk was lost")
    verdicts = judge({}, {}, Alone(), {"poisoners": broken, "tarpits": Answer("", "", failures=["no such module"])})
    assert [verdict(verdicts, words).met for words in ("poisoners", "tarpits")] == [False, False]


def test_free_riders_must_be_later_than_others_with_each_seed() -> None:
    simulated = {"riders": Answer("", "", {RIDERS_COST: [1.1, 1.2], RIDERS_LATER: [1.0, -0.1]})}
    verdicts = judge({}, {}, Alone(), simulated)
    assert verdict(verdicts, "honest take").met is True
    assert verdict(verdicts, "done later").met is False


def test_the_simulator_is_judged_by_its_wall_time() -> None:
    simulated = {"crowd-engine": replace(answered(of_bound=[0.9]), cpu_s=19.0, wall_s=20.5)}
    found = verdict(judge({}, {}, Alone(), simulated), "engine in")
    assert (found.measured, found.met) == ("20.5 s (CPU 19.0 s)", False)


def test_a_report_shows_failures_in_full_beside_what_was_measured() -> None:
    swarm = crowd(ONE_PROVIDER, last_s=12.4, sent_bytes=SIZE)
    swarm.standings["libtorrent"] = replace(Standing("of another kind"), failures=["no such program"])
    crowds = {"swarm": swarm}
    results = Results([], list(crowds.values()), Alone(), {}, judge({}, crowds, Alone(), {}))
    report = render(["a machine"], results, size=SIZE)
    assert "1.24x" in report
    assert "a crowd: libtorrent: no such program" in report
    assert "its verdicts only hint" in report
