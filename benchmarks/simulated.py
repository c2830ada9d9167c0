"""What the simulator answers: how large crowds fare, what the hostile cost, how many round trips a cold fetch takes.

Each question is a process of `python -m simnet` or `python -m simnet.models`, which answers in JSON. Its figures are
of virtual time, the same whatever runs beside, so two are asked at a time; but one whose own time is judged has the
machine for itself. Sizes follow `--bytes` as those of the races do.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from benchmarks.plan import TARGET_BYTES
from benchmarks.processes import Command, ContestantFailed, Running, started
from benchmarks.race import How

ENGINE, SESSIONS, ARRAYS = "production engine", "sessions, modelled links", "arrays"
OF_BOUND, OF_BEST, ROUND_TRIPS = "of T*", "x the best", "round trips"
RIDERS_COST, RIDERS_LATER = "x without riders", "s later than the others"
_AT_ONCE = 2
_ROUND_TRIPS_BEST = 3  # What the bound of `cold_megabyte` stands for.

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask of the simulator. `arguments`: of `python -m`. `figures`: how each is read from a line of JSON."""

    name: str
    title: str
    level: str
    arguments: tuple[str, ...]
    figures: Mapping[str, Callable[[Row], float]]
    timed: bool = False


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


def questions(size: int) -> list[Question]:
    """Return what there is to ask if `size` is what `--bytes` says; first what has the machine for itself."""
    nodes, sessions = _part(50, size, least=8), _part(49, size, least=4)
    pieces = _part(512, size, least=32)
    few, many = _part(1_000, size, least=100), _part(1_000_000, size, least=1_000)
    seeds = _part(5, size, least=1)
    return [
        Question(
            "crowd-engine",
            f"flash crowd of {nodes}",
            ENGINE,
            _scenario("flash_crowd", nodes=nodes, seeds=1),
            {OF_BOUND: partial(_number, "of_best")},
            timed=True,
        ),
        Question(
            "crowd-many",
            f"flash crowd of {many:,}",
            ARRAYS,
            _model("--nodes", many),
            {OF_BOUND: partial(_number, "of the bound")},
            timed=True,
        ),
        # The rest two at a time: neighbours take about as long.
        Question(
            "crowd-sessions",
            f"flash crowd of {sessions}, {pieces} chunks at 50 MB/s",
            SESSIONS,
            _model("--level", "events", "--nodes", sessions, "--pieces", pieces, "--rate", 50),
            {OF_BOUND: partial(_number, "of the bound")},
        ),
        Question(
            "riders",
            f"40 % free riders, {nodes} nodes",
            ENGINE,
            _scenario("free_riders_40", nodes=nodes, seeds=min(3, seeds)),
            {RIDERS_COST: partial(_number, "riders_cost"), RIDERS_LATER: partial(_number, "riders_later_s")},
        ),
        Question(
            "poisoners",
            f"30 % poisoners, {nodes} nodes",
            ENGINE,
            _scenario("poisoners_30", nodes=nodes, seeds=seeds),
            {OF_BEST: partial(_inverse, "of_best")},
        ),
        Question(
            "tarpits",
            f"50 % tarpits, {nodes} nodes",
            ENGINE,
            _scenario("tarpits_50", nodes=nodes, seeds=seeds),
            {OF_BEST: partial(_inverse, "of_best")},
        ),
        Question(
            "crowd-few",
            f"flash crowd of {few:,}",
            ARRAYS,
            _model("--nodes", few),
            {OF_BOUND: partial(_number, "of the bound")},
        ),
        Question(
            "cold",
            "cold 1 MiB, 100 ms there and back",
            ENGINE,
            _scenario("cold_megabyte", nodes=2, seeds=seeds),
            {ROUND_TRIPS: partial(_inverse, "of_best", times=_ROUND_TRIPS_BEST)},
        ),
    ]


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
                _hear(answer, question, process, timeout_s=how.timeout_s)
                took = "FAILED" if answer.cpu_s is None else f"{answer.cpu_s:.1f} s of processor time"
                how.tell(f"simulated, {answer.title}, {answer.level}: {took}")
    return answers


def _in_turn(asked: Sequence[Question]) -> Iterator[Sequence[Question]]:
    beside = [each for each in asked if not each.timed]
    yield from ([each] for each in asked if each.timed)
    yield from (beside[at : at + _AT_ONCE] for at in range(0, len(beside), _AT_ONCE))


def _hear(answer: Answer, question: Question, process: Running, *, timeout_s: float) -> None:
    """Wait for the answer. A run that broke a promise has failed, and gives no figures."""
    try:
        ended = process.wait(timeout_s=timeout_s)
    except ContestantFailed as failure:
        answer.failures.append(str(failure))
    else:
        answer.cpu_s = ended.cpu_s
        answer.wall_s = ended.wall_s if question.timed else None
    rows = [json.loads(said.line) for said in process.said]
    good = [row for row in rows if not row.get("failures")]
    answer.failures += [f"seed {row['seed']}: {words}" for row in rows for words in row.get("failures", ())]
    answer.figures = {label: [read(row) for row in good] for label, read in question.figures.items()}


def _command(question: Question) -> Command:
    return Command([sys.executable, "-m", *question.arguments, "--json"])


def _scenario(name: str, *, nodes: int, seeds: int) -> tuple[str, ...]:
    return ("simnet", name, "--nodes", str(nodes), "--seeds", f"0:{seeds}", "--processes", "1")


def _model(*arguments: object) -> tuple[str, ...]:
    return ("simnet.models", "crowd", *map(str, arguments))


def _part(of: int, size: int, *, least: int) -> int:
    return min(of, max(least, of * size // TARGET_BYTES))


def _number(key: str, row: Row) -> float:
    value = row[key]
    assert isinstance(value, int | float)
    return value


def _inverse(key: str, row: Row, *, times: float = 1.0) -> float:
    return times / _number(key, row)
