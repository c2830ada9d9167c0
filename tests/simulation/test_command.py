"""`python -m simnet`: one line for a run, and for one that failed the words of the judge and how to see it again."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from random import Random

import pytest

from simnet.batch import run_one
from simnet.bugs import plants
from simnet.command import argument_parser, jobs_of, main
from simnet.extra import PACKAGES
from simnet.run import Result
from simnet.scene import NODES_USUAL_MAX, least_nodes, scenarios
from tests.support.house import ROOT
from tests.support.opening import all_closed_again


def test_a_good_run_is_one_line_and_rows_of_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["one_provider", "--seed", "0", "--csv", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("ok   one_provider seed 0: 1 of 1 fetches done")
    with (tmp_path / "summary.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["ok"], row["scenario"], row["done"]) == ("1", "one_provider", "1")
    with (tmp_path / "fetches.csv").open(encoding="utf-8") as file:
        (fetch,) = csv.DictReader(file)
    assert (fetch["node"], fetch["outcome"]) == ("bob", "done")


@pytest.mark.parametrize("words", [["--seeds", "0:5"], ["one_provider", "--csv", "/dev/null/out"]])
def test_what_cannot_be_done_is_said_before_anything_runs(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    said = capsys.readouterr()
    assert not said.out
    assert "which scenario?" in said.err or "--csv /dev/null/out" in said.err


@pytest.mark.parametrize("seeds", ["5", "5:0", "a:b"])
def test_seeds_that_are_none_are_refused(seeds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["one_provider", "--seeds", seeds])
    assert repr(seeds) in capsys.readouterr().err


def test_a_failed_run_says_what_was_broken_and_how_to_see_it_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["one_provider", "--seed", "1", "--bug", "report-before-the-write"]) == 1
    said = capsys.readouterr().out
    assert "FAIL one_provider seed 1" in said
    assert "counts chunk 0 as verified, but nothing is on its disk" in said
    assert "replay: python -m simnet one_provider --seed 1 --bug report-before-the-write\n" in said


def test_a_program_is_told_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["free_riders_40", "--seed", "2", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert (told["scenario"], told["seed"], told["done"], told["failures"]) == ("free_riders_40", 2, 5, [])
    assert 0.9 < told["riders_cost"] < 1.25
    assert told["riders_later_s"] > 0
    broken = ["one_provider", "--seeds", "1:3", "--json", "--processes", "1", "--bug", "report-before-the-write"]
    assert main(broken) == 1
    told = json.loads(capsys.readouterr().out.splitlines()[0])
    assert "nothing is on its disk" in told["failures"][0]
    assert told["riders_cost"] == ""


def test_a_traceback_does_not_get_into_what_a_program_reads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("simnet.batch.run_scenario", lambda *job, until_failure: 1 // 0)
    assert main(["one_provider", "--json"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "ZeroDivisionError" in said.err


def test_many_runs_end_with_those_that_failed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["one_provider", "--runs", "2", "--processes", "1"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said[:2]] == ["ok   one_provider seed 0", "ok   one_provider seed 1"]
    assert said[2].startswith("2 of 2 runs were as they must be, in ")
    assert said[3] == "failed: none"
    assert main(["one_provider", "--nodes", "4", "--seeds", "1:3", "--processes", "1", "--bug", "pick-twice"]) == 1
    assert "failed: python -m simnet one_provider --seed 2 --nodes 4 --bug pick-twice" in capsys.readouterr().out


def test_a_run_leaves_nothing_open_for_the_next() -> None:
    run_one(("flash_crowd", 0, 3))  # Whatever is opened once is open now.
    with all_closed_again():
        assert isinstance(run_one(("flash_crowd", 1, 3)), Result)  # Of copies in memory the run itself says it.


def test_large_runs_come_first_and_have_fifty_nodes() -> None:
    names = ["mixed_faults", "slow_disk"]
    jobs = jobs_of(argument_parser().parse_args(["--all", "--runs", "3", "--large", "1"]), names)
    assert jobs == [
        ("mixed_faults", 0, 50),
        ("slow_disk", 0, 50),
        ("mixed_faults", 0, None),
        ("slow_disk", 0, None),
        ("mixed_faults", 1, None),
    ]


def test_what_there_is_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in [*scenarios(), *plants()])
    assert main(["no_such_scenario"]) == 2


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["flash_crowd", "--nodes", "0"], "flash_crowd takes 2 nodes at least"),
        (["flash_crowd", "--nodes", "1"], "flash_crowd takes 2 nodes at least"),
        (["poisoners_30", "--nodes", "2"], "poisoners_30 takes 3 nodes at least"),
        (["--all", "--nodes", "5"], "takes 6 nodes at least"),
    ],
)
def test_too_few_nodes_for_a_scenario_are_a_usage_error(
    words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    said = capsys.readouterr()
    assert complaint in said.err
    assert said.out == ""


@pytest.mark.parametrize("name", sorted(scenarios()))
def test_each_scenario_can_be_told_with_the_least_number_of_nodes_and_any_above(name: str) -> None:
    least = least_nodes(name)
    assert least <= NODES_USUAL_MAX
    for nodes in range(least, NODES_USUAL_MAX + 1):
        scene = scenarios()[name](Random(1), nodes)
        assert len(scene.members) <= nodes
        assert scene.asks or any(member.fetches for member in scene.members)


def test_help_names_each_bug_at_most_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert all(said.count(bug) <= 1 for bug in plants())


@pytest.mark.parametrize(
    ("module", "words", "package"),
    [
        ("simnet", ["one_provider"], "greenlet"),
        ("simnet", ["one_provider", "--plot"], "matplotlib"),
        ("simnet.models", ["crowd", "--nodes", "50"], "numpy"),
        ("simnet.models", ["crowd", "--nodes", "50", "--plot"], "matplotlib"),
    ],
)
def test_without_the_extra_one_line_says_which(module: str, words: list[str], package: str) -> None:
    code = (
        f"import sys, runpy; sys.modules[{package!r}] = None; sys.argv = ['x', *{words!r}]\n"
        f"runpy.run_module({module!r}, run_name='__main__')"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == f"this takes {package}, of the extra `sim`: pip install -e '.[sim]' in a checkout of p2phub\n"


def test_the_extra_is_the_one_of_the_package() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["sim"]
    assert sorted(each.partition(">=")[0] for each in declared) == sorted(PACKAGES)
