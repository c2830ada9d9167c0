"""The simulator is asked in processes of its own, and a run that broke a promise gives no figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.alone import Alone
from benchmarks.payload import GIB, MIB
from benchmarks.processes import ContestantFailed, Ended, Said
from benchmarks.questions import ENGINE, OF_BEST, OF_BOUND, ROUND_TRIPS, Question, questions
from benchmarks.race import How
from benchmarks.report import Results, render
from benchmarks.simulated import Answer, ask_simulator


def how(work: Path) -> How:
    return How(rounds=1, work=work, timeout_s=120.0, tell=lambda line: None)


class Silent:
    """A process that notes when it began and ended, and does not answer."""

    said = ()

    def __init__(self, name: str, noted: list[str]) -> None:
        self._name, self._noted = name, noted

    def __enter__(self) -> Silent:
        self._noted.append(f"+{self._name}")
        return self

    def __exit__(self, *exc: object) -> None:
        self._noted.append(f"-{self._name}")

    def wait(self, *, timeout_s: float) -> None:
        raise ContestantFailed("it said nothing")


def small(*names: str) -> list[Question]:
    return [each for each in questions(16 * MIB) if each.name in names]


def test_sizes_follow_the_payload_and_are_those_of_the_targets_at_two_gib() -> None:
    full = {each.name: " ".join(each.arguments) for each in questions(2 * GIB)}
    assert "flash_crowd --nodes 50" in full["crowd-engine"]
    assert "--nodes 49 --pieces 512 --rate 50" in full["crowd-sessions"]
    assert "--nodes 1000000" in full["crowd-many"]
    assert "tarpits_50 --nodes 50 --seeds 0:5" in full["tarpits"]
    assert full == {each.name: " ".join(each.arguments) for each in questions(64 * GIB)}
    assert "flash_crowd --nodes 8" in " ".join(small("crowd-engine")[0].arguments)


def test_scenarios_and_models_answer(tmp_path: Path) -> None:
    answers = ask_simulator(small("cold", "crowd-sessions", "crowd-few"), how(tmp_path))
    assert [answer.failures for answer in answers.values()] == [[], [], []]
    [of_bound] = answers["crowd-few"].figures[OF_BOUND]
    assert 0.8 < of_bound < 1
    [round_trips] = answers["cold"].figures[ROUND_TRIPS]
    assert 3 <= round_trips <= 6
    assert answers["cold"].cpu_s is not None
    assert answers["cold"].wall_s is None  # Another ran beside it.


def test_what_is_timed_has_the_machine_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("benchmarks.simulated.started", lambda command, *, stderr: Silent(stderr.name, asked))
    answers = ask_simulator(questions(2 * GIB), how(tmp_path))
    assert asked[:4] == ["+crowd-engine", "-crowd-engine", "+crowd-many", "-crowd-many"]
    assert asked[4:8] == ["+crowd-sessions-many", "+riders", "-riders", "-crowd-sessions-many"]
    assert all(answer.failures == ["it said nothing"] for answer in answers.values())


def test_a_broken_promise_is_a_failure_in_full_beside_the_runs_that_kept_it(tmp_path: Path) -> None:
    arguments = ("simnet", "one_provider", "--seeds", "1:3", "--processes", "1", "--bug", "report-before-the-write")
    broken = Question("broken", "a planted bug", ENGINE, arguments, {OF_BEST: lambda row: 1.0})
    answers = ask_simulator([broken], how(tmp_path))
    answer = answers["broken"]
    assert any("nothing is on its disk" in words and words.startswith("seed 1: ") for words in answer.failures)
    assert len(answer.figures[OF_BEST]) < 2
    assert "nothing is on its disk" in render([], Results([], [], Alone(), answers, {}, []), size=MIB)


class Saying:
    """A process that said these lines and ended well."""

    def __init__(self, *lines: str) -> None:
        self.said = [Said(0.0, line) for line in lines]

    def __enter__(self) -> Saying:
        return self

    def __exit__(self, *exc: object) -> None: ...

    def wait(self, *, timeout_s: float) -> Ended:
        return Ended(1.0, 1.0, 1.0, tuple(self.said))


def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> Answer:
    monkeypatch.setattr("benchmarks.simulated.started", lambda command, *, stderr: Saying(*lines))
    asked = Question("asked", "", ENGINE, (), {OF_BEST: lambda row: 1.0})
    return ask_simulator([asked], how(tmp_path))["asked"]


def test_a_run_in_which_not_everybody_was_done_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ['{"seed": 1, "fetches": 3, "done": 3}', '{"seed": 2, "requesters": 3, "done": 2}', '{"seed": 3}']
    answer = heard(tmp_path, monkeypatch, *rows)
    assert answer.failures == ["seed 2: 2 of 3 were done"]
    assert len(answer.figures[OF_BEST]) == 2


def test_half_a_line_costs_no_more_than_its_own_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = heard(tmp_path, monkeypatch, '{"seed": 1}', '{"seed": 2, "fet')
    assert answer.failures == ["a line of the answer is no row of JSON"]
    assert len(answer.figures[OF_BEST]) == 1
