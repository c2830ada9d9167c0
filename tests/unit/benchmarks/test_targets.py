"""Targets are judged from the race that measures them, and are not judged where it was not run."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.alone import Alone
from benchmarks.contestants import Scene
from benchmarks.crowd_trial import CrowdTrial
from benchmarks.questions import ARRAYS, ENGINE, OF_BEST, OF_BOUND, RIDERS_COST, RIDERS_LATER
from benchmarks.race import CrowdRace, Race, Standing
from benchmarks.search import KINDS, Search, within
from benchmarks.simulated import Answer
from benchmarks.targets import Kind, Verdict, judge
from benchmarks.trial import Trial

SIZE = 500_000_000
ONE_PROVIDER = Scene(providers=1, requesters=8, cap_bytes_per_s=50_000_000)  # ideal: 10 s


def trial(seconds: float) -> Trial:
    return Trial(seconds, seconds, seconds, 1.0, 1.0, 10**7, 10**7)


def race(title: str = "a race", /, **seconds: float) -> Race:
    return Race(title, SIZE, {name: Standing("", [trial(took)]) for name, took in seconds.items()})


def crowd(scene: Scene, *, last_s: float, sent_bytes: int | None) -> CrowdRace:
    sent = None if sent_bytes is None else (sent_bytes,)
    took = CrowdTrial((1.0, last_s), (1.0, last_s), sent, 1.0, 1.0, 10**7, 10**7)
    return CrowdRace("a crowd", SIZE, scene, {"p2phub": Standing("", [took])})


def answered(
    title: str = "", level: str = ENGINE, *, of_bound: list[float] | None = None, x_the_best: list[float] | None = None
) -> Answer:
    figures = {OF_BOUND: of_bound, OF_BEST: x_the_best}
    return Answer(title, level, {label: values for label, values in figures.items() if values is not None})


def verdict(verdicts: list[Verdict], words: str) -> Verdict:
    [found] = [one for one in verdicts if words in f"{one.of}: {one.what} {one.target}"]
    return found


def test_without_a_race_nothing_is_met_or_missed() -> None:
    assert {one.met for one in judge({}, {}, Alone(), {}, {})} == {None}


def test_a_rate_is_held_against_the_race_it_is_set_for() -> None:
    verdicts = judge(
        {"four": race(p2phub=1.0, libtorrent=2.6), "small": race("tiny", p2phub=1.0, libtorrent=3.9)},
        {},
        Alone(),
        {},
        {},
    )
    assert verdict(verdicts, "a race: rate vs libtorrent, verified >= 2.5").met is True
    assert verdict(verdicts, "a race: rate vs libtorrent, verified >= 3").met is False
    assert verdict(verdicts, "tiny: rate vs libtorrent, verified >= 4").met is False
    assert verdict(verdicts, "rate vs curl, verified").met is None


def test_a_goal_is_told_apart_from_what_is_required() -> None:
    verdicts = judge({"four": race(p2phub=1.0, bare=0.65)}, {}, Alone(), {}, {})
    required, goal = (verdict(verdicts, f"rate vs bare, durable >= {least}") for least in ("0.6", "0.7"))
    assert (required.word, required.fails_the_run) == ("met", False)
    assert (goal.word, goal.fails_the_run) == ("missed (goal)", False)


def test_a_target_is_not_met_by_the_fetches_that_arrived_if_another_failed() -> None:
    some = race(p2phub=1.0, libtorrent=2.6)
    some.standings["p2phub"].failures.append("it hung")
    none = race("tiny", p2phub=1.0, rsync=2.0)
    none.standings["p2phub"] = Standing("", failures=["it hung", "it hung"])
    verdicts = judge({"four": some, "small": none}, {}, Alone(), {}, {})
    found = verdict(verdicts, "a race: rate vs libtorrent, durable >= 2.5")
    assert (found.measured, found.met) == ("2.60, 1 failed", False)
    found = verdict(verdicts, "tiny: rate vs rsync, durable")
    assert (found.measured, found.met) == ("failed", False)


def test_a_peer_that_failed_is_nothing_to_be_measured_against() -> None:
    alone = race(p2phub=1.0)
    alone.standings["libtorrent"] = Standing("", failures=["no such program"])
    found = verdict(judge({"four": alone}, {}, Alone(), {}, {}), "rate vs libtorrent, verified >= 2.5")
    assert (found.word, found.met) == ("not measured", None)


def test_a_busy_node_that_did_not_compute_meets_nothing() -> None:
    raced = race(bare=1.0, p2phub=1.0)  # Serving takes a second of processor time.
    raced.standings["p2phub-busy"] = Standing("", [replace(trial(1.0), provider_cpu_s=1.5)])
    assert verdict(judge({"four": raced}, {}, Alone(), {}, {}), "rate of a busy node vs bare, durable").met is True
    raced.standings["p2phub-busy"] = Standing("", [replace(trial(1.0), provider_cpu_s=1.1)])
    found = verdict(judge({"four": raced}, {}, Alone(), {}, {}), "rate of a busy node vs bare, durable")
    assert (found.measured, found.met) == ("it was not busy", False)


def test_a_crowd_is_judged_by_its_last_requester_and_by_what_the_provider_sent() -> None:
    verdicts = judge({}, {"swarm": crowd(ONE_PROVIDER, last_s=12.4, sent_bytes=SIZE * 2)}, Alone(), {}, {})
    assert verdict(verdicts, "a crowd: x size/cap").met is True
    assert verdict(verdicts, "copies").measured == "2.00"
    assert verdict(verdicts, "copies").met is False
    assert verdict(verdicts, "1 requester, 1 provider capped at 50 MB/s: x size/cap").met is None


def test_copies_that_nobody_could_count_are_not_measured() -> None:
    verdicts = judge({}, {"swarm": crowd(ONE_PROVIDER, last_s=12.4, sent_bytes=None)}, Alone(), {}, {})
    assert verdict(verdicts, "copies").met is None


def test_the_caps_of_several_providers_add_up() -> None:
    four = Scene(providers=4, requesters=1, cap_bytes_per_s=25_000_000)  # ideal: 5 s
    many = crowd(four, last_s=5.5, sent_bytes=SIZE)
    [took] = many.standings["p2phub"].trials
    many.standings["p2phub"].trials[0] = replace(took, done_s=(5.7,))
    verdicts = judge({}, {"many": many}, Alone(), {}, {})
    assert verdict(verdicts, "rate vs sum of caps, verified").met is True
    assert verdict(verdicts, "rate vs sum of caps, exit").met is False


def test_what_was_simulated_is_judged_by_its_worst_seed_and_named_by_what_was_run() -> None:
    simulated = {
        "tarpits": answered("50 % tarpits, 8 nodes", x_the_best=[1.2, 1.51, 1.3]),
        "poisoners": answered("30 % poisoners, 8 nodes", x_the_best=[1.2, 1.3, 1.1]),
        "crowd-engine": answered("flash crowd of 8", of_bound=[0.79]),
    }
    verdicts = judge({}, {}, Alone(), simulated, {})
    assert verdict(verdicts, "tarpits, 8 nodes").measured == "1.51, worst of 3"
    whole = ("tarpits, 8 nodes", "poisoners, 8 nodes", "crowd of 8 (production engine): of T*")
    assert [verdict(verdicts, words).met for words in whole] == [False, True, False]
    assert verdict(verdicts, "flash crowd of 49, 512 chunks").met is None  # Not asked: as the target has it.


def test_a_model_without_code_of_p2phub_neither_meets_nor_misses() -> None:
    simulated = {"crowd-few": answered("flash crowd of 100", ARRAYS, of_bound=[0.7])}
    found = verdict(judge({}, {}, Alone(), simulated, {}), "crowd of 100 (arrays): of T*")
    assert (found.kind, found.word, found.fails_the_run) == (Kind.MODEL, "a model", False)


def test_what_the_simulator_found_wrong_is_a_target_that_is_missed() -> None:
    broken = answered(x_the_best=[1.1])
    broken.failures.append("seed 1: a chunk was lost")
    simulated = {"poisoners": broken, "tarpits": Answer("every", ENGINE, failures=["no such module"])}
    verdicts = judge({}, {}, Alone(), simulated, {})
    assert [(one.measured, one.met) for one in verdicts if one.what == OF_BEST] == [
        ("1.10, 1 failed", False),
        ("failed", False),
    ]


def test_free_riders_must_be_later_than_others_with_each_seed() -> None:
    simulated = {"riders": Answer("riders", ENGINE, {RIDERS_COST: [1.1, 1.2], RIDERS_LATER: [1.0, -0.1]})}
    verdicts = judge({}, {}, Alone(), simulated, {})
    assert verdict(verdicts, RIDERS_COST).met is True
    assert verdict(verdicts, "half of them later").met is False


def test_the_simulator_is_judged_by_its_wall_time() -> None:
    simulated = {"crowd-engine": replace(answered("crowd", of_bound=[0.9]), cpu_s=19.0, wall_s=20.5)}
    found = verdict(judge({}, {}, Alone(), simulated, {}), "crowd (production engine): wall time")
    assert (found.measured, found.met) == ("20.5 s (CPU 19.0 s)", False)


def test_a_search_is_judged_by_the_answer_in_the_middle_and_the_late_ones_as_a_goal() -> None:
    searched = Search(1_000_000, None, 10**8, {kind: [10.0] * 17 + [60.0] * 3 for kind in KINDS})
    verdicts = judge({}, {}, Alone(search=searched), {}, {})
    assert all(verdict(verdicts, f"search: {kind} <").met for kind in KINDS)
    late = verdict(verdicts, "19 of 20")
    assert (late.met, late.kind, late.measured) == (False, Kind.GOAL, "60.0 ms")
    searched.failures.append("found too few")
    assert not verdict(judge({}, {}, Alone(search=searched), {}, {}), f"search: {KINDS[0]} <").met


def test_a_share_of_the_answers_is_counted_from_the_fastest() -> None:
    assert [within([3.0, 1.0, 2.0, 4.0], share) for share in (0.0, 0.25, 0.5, 0.95, 1.0)] == [1.0, 1.0, 2.0, 4.0, 4.0]
