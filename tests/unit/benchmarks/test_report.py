"""A report ends with all races side by side and every target, in as many columns as the terminal has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.alone import Alone
from benchmarks.contestants import Scene
from benchmarks.crowd_trial import CrowdTrial
from benchmarks.payload import MIB
from benchmarks.plan import CROWD_RACES, EVERYBODY
from benchmarks.questions import ENGINE, OF_BEST
from benchmarks.race import CrowdRace, Race, Standing
from benchmarks.report import Results, render
from benchmarks.report.layout import table
from benchmarks.simulated import Answer
from benchmarks.store import Measured
from benchmarks.targets import judge
from benchmarks.targets.raced import rates
from benchmarks.trial import Trial

SIZE = 64 * MIB


def trial(seconds: float) -> Trial:
    return Trial(seconds, seconds + 0.1, seconds + 0.2, 1.0, 12.0, 10**8, 10**7)


def everybody(rounds: int) -> Race:
    took = {name: [trial(12.0 + at) for at in range(rounds)] for name in EVERYBODY}
    return Race(
        "4 safetensors files, 64 MiB", SIZE, {name: Standing(f"runs {name}", each) for name, each in took.items()}
    )


def crowd() -> CrowdRace:
    took = CrowdTrial((1.0, 2.5), (1.0, 2.5), (SIZE * 2,), 1.0, 1.0, 10**7, 10**7)
    standings = {"p2phub": Standing("told one", [took]), "libtorrent": Standing[CrowdTrial]("", failures=["not there"])}
    return CrowdRace("8 requesters, 1 provider", SIZE, Scene(1, 8, 50_000_000), standings)


def report(*, rounds: int = 3, width: int = 120, size: int = SIZE) -> str:
    races, crowds = {"four": everybody(rounds)}, {"swarm": crowd()}
    simulated = {"poisoners": Answer("30 % poisoners", ENGINE, {OF_BEST: [1.1, 1.3, 1.2]}, cpu_s=12.0)}
    stored = {"reflink": Measured("blocks are shared", {"% taken": [0.1, 0.3]}, skipped=["xfs: takes root"])}
    verdicts = judge(races, crowds, Alone(), simulated, stored)
    results = Results(list(races.values()), list(crowds.values()), Alone(), simulated, stored, verdicts)
    return render(["a machine " * 20], results, size=size, width=width)


@pytest.mark.parametrize("width", [80, 100, 120, 200])
@pytest.mark.parametrize("rounds", [1, 3])
def test_no_line_is_wider_than_the_terminal(width: int, rounds: int) -> None:
    assert max(map(len, report(rounds=rounds, width=width).splitlines())) <= width


def test_all_races_stand_side_by_side_ours_first_and_the_limits_last() -> None:
    lines = report().partition("Side by side")[2].splitlines()[1:7]
    assert lines[0].split() == ["p2phub", "p2phub-busy", *EVERYBODY[4:], "bare", "disk"]
    assert lines[1] == "  4 safetensors files, 64 MiB"
    assert lines[2].split() == ["verified", "s", *["13.00"] * 12]
    assert lines[3].split() == ["durable", "s", *["13.20"] * 12]
    assert lines[5].split()[:6] == ["last", "done", "s", "2.50", "-", "failed"]


def test_a_report_ends_with_how_many_targets_were_met() -> None:
    counted = [each.split(" ", 1) for each in report().splitlines()[-1].removeprefix("Targets: ").split(", ")]
    assert {word for _, word in counted} == {"met", "missed", "met (goal)", "missed (goal)", "not measured"}
    assert sum(int(count) for count, _ in counted) == len(judge({}, {}, Alone(), {}, {}))


def test_a_race_that_could_not_be_held_says_why_and_stands_beside_no_other() -> None:
    far = Race("over a long line", SIZE, {}, not_measured="needs root")
    results = Results([everybody(1), far], [], Alone(), {}, {}, [])
    lines = render(["a machine"], results, size=SIZE).splitlines()
    assert [line for line in lines if "long line" in line] == ["over a long line: not measured: needs root"]


def test_what_was_not_run_at_all_is_named_once_and_not_target_by_target() -> None:
    targets = report().partition("Targets, set for")[2]
    unmeasured = targets.partition("Nothing measured of:")[2]
    assert "small files of 4-64 KiB; cold start" in unmeasured
    assert "cold start" not in targets.partition("Nothing measured of:")[0]


def test_a_rate_stands_beside_what_the_disk_alone_reaches() -> None:
    race = everybody(1)
    race.standings["disk"].trials[:] = [trial(6.0)]
    [verified, durable] = rates("four", race, "libtorrent", 2.5)
    assert verified.measured == "1.00 (exit 1.00, disk 2.00)"
    assert durable.measured == f"1.00 (disk {12.2 / 6.2:.2f})"
    del race.standings["disk"]
    assert rates("four", race, "libtorrent", 2.5)[1].measured == "1.00"


def test_verdicts_of_less_than_two_gib_only_hint() -> None:
    assert "64 MiB, so its verdicts only hint" in report()
    assert "only hint" not in report(size=2048 * MIB)


def test_failures_stand_in_full_beside_what_was_measured() -> None:
    assert "8 requesters, 1 provider: libtorrent: not there" in report()
    assert "1.86x" in report()


def test_figures_stand_under_their_level() -> None:
    lines = report().splitlines()
    at = lines.index("  production engine")
    assert lines[at + 1].split(maxsplit=3)[-1] == "1.20 (1.10-1.30) x the best  12.0   -"


def test_what_could_not_be_tried_stands_beside_what_was_measured() -> None:
    lines = report().splitlines()
    at = next(number for number, line in enumerate(lines) if "blocks are shared" in line)
    assert lines[at].split()[3:] == ["0.20", "(0.10-0.30)", "%", "taken", "2"]
    assert lines[at + 1].strip() == "skipped: xfs: takes root"


def test_one_round_has_no_least_and_most() -> None:
    assert "12.00 (" not in report(rounds=1)
    assert "13.0 (12.0-14.0)" in report(rounds=3)


def test_what_each_contestant_ran_is_told_once() -> None:
    races = [everybody(1), replace(everybody(1), title="again")]
    text = render([], Results(races, [crowd()], Alone(), {}, {}, []), size=SIZE)
    assert text.count("p2phub: runs p2phub") == 1
    assert "p2phub in a crowd: told one" in text


def test_a_subject_says_who_is_in_the_crowd() -> None:
    assert CROWD_RACES["swarm"].subject == "8 requesters, 1 provider capped at 50 MB/s"
    assert CROWD_RACES["many"].subject == "1 requester, 4 providers capped at 100 MB/s"


def test_a_table_that_is_too_wide_breaks_words_and_then_goes_on_below() -> None:
    rows = [("", "what", "a"), ("x", "many words that are not so short", "1")]
    assert table(rows, width=60, flexible=1) == [
        "     what                              a",
        "  x  many words that are not so short  1",
    ]
    assert table(rows, width=32, flexible=1) == [
        "     what                     a",
        "  x  many words that are not  1",
        "       so short",
    ]
    assert table(rows, width=8) == [
        "     what",
        "  x  many words that are not so short",
        "",
        "     a",
        "  x  1",
    ]
