"""Ask the simulator: each question in a process of its own, which answers in lines of JSON, one a run.

Figures are of virtual time, the same whatever runs beside, so two are asked at a time; but one whose own time is judged
has the machine for itself. A run that broke a promise, or in which not everybody got all, has failed and gives no
figures: what is left of it would flatter.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from benchmarks.processes import Command, ContestantFailed, Running, started
from benchmarks.questions import Question, Row
from benchmarks.race import How

_AT_ONCE = 2
_TIMEOUT_S = 1800.0  # The longest takes three minutes of a quiet machine.


@dataclass(slots=True)
class Answer:
    """What came of a question: for each figure one value a run, and what failed. Seconds of the process: None if it
    failed; of wall time, if others ran beside it."""

    title: str
    level: str
    figures: dict[str, list[float]] = field(default_factory=dict)
    cpu_s: float | None = None
    wall_s: float | None = None
    failures: list[str] = field(default_factory=list)


Simulated = dict[str, Answer]
"""The answers, by the names of their questions."""


def ask_simulator(asked: Sequence[Question], how: How) -> Simulated:
    """Ask one after the other of what is timed, and two at a time of the rest."""
    directory = how.work / "simulated"
    directory.mkdir()
    answers = {each.name: Answer(each.title, each.level) for each in asked}
    for together in _in_turn(asked):
        with ExitStack() as stack:
            running = [stack.enter_context(started(_command(each), stderr=directory / each.name)) for each in together]
            for question, process in zip(together, running, strict=True):
                answer = answers[question.name]
                _hear(answer, question, process)
                took = "FAILED" if answer.cpu_s is None else f"{answer.cpu_s:.1f} s of processor time"
                how.tell(f"simulated, {answer.title}, {answer.level}: {took}")
    return answers


def _in_turn(asked: Sequence[Question]) -> Iterator[Sequence[Question]]:
    beside = [each for each in asked if not each.timed]
    yield from ([each] for each in asked if each.timed)
    yield from (beside[at : at + _AT_ONCE] for at in range(0, len(beside), _AT_ONCE))


def _hear(answer: Answer, question: Question, process: Running) -> None:
    """Wait for the answer, and read it."""
    try:
        ended = process.wait(timeout_s=_TIMEOUT_S)
    except ContestantFailed as failure:
        answer.failures.append(str(failure))
    else:
        answer.cpu_s = ended.cpu_s
        answer.wall_s = ended.wall_s if question.timed else None
    good: list[Row] = []
    for said in process.said:
        row = _row(said.line)
        wrong = _what_is_wrong_with(row)
        answer.failures += wrong
        if not wrong:
            good.append(row)
    answer.figures = {label: [read(row) for row in good] for label, read in question.figures.items()}


def _row(line: str) -> Row:
    """Return what a line says; nothing if it is not an object of JSON, as the last of a process that was ended."""
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def _what_is_wrong_with(row: Row) -> list[str]:
    if "seed" not in row:
        return ["a line of the answer is no row of JSON"]
    promises = row.get("failures", ())
    assert isinstance(promises, list | tuple)
    wrong = [f"seed {row['seed']}: {words}" for words in promises]
    wanted = row.get("fetches", row.get("requesters"))
    if row.get("done", wanted) != wanted:  # Arrays go on until all are done, and do not count.
        wrong.append(f"seed {row['seed']}: {row['done']} of {wanted} were done")
    return wrong


def _command(question: Question) -> Command:
    return Command([sys.executable, "-m", *question.arguments, "--json"])
