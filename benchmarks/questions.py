"""What to ask the simulator, and which figures to read from its answers: large crowds, the hostile, a cold fetch.

A question is a command of `python -m simnet` or `python -m simnet.models`, and says at which level it is answered:
only the production engine is all of p2phub, and arrays have none of it. Sizes follow `--bytes` as those of the races
do, and a title says the size that is asked for. How questions are asked is `simulated`'s, what must come out
`targets`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from benchmarks.plan import TARGET_BYTES

ENGINE, SESSIONS, ARRAYS = "production engine", "sessions, modelled links", "arrays"
OF_BOUND, OF_BEST, ROUND_TRIPS = "of T*", "x the best", "round trips"
RIDERS_COST, RIDERS_LATER = "x without riders", "s later than the others"
_ROUND_TRIPS_BEST = 3  # What the bound of `cold_megabyte` stands for.

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask of the simulator. `arguments`: of `python -m`. `figures`: how each is read from a line of JSON.
    `timed`: its own time is judged, so it has the machine for itself."""

    name: str
    title: str
    level: str
    arguments: tuple[str, ...]
    figures: Mapping[str, Callable[[Row], float]]
    timed: bool = False


def questions(size: int) -> list[Question]:
    """Return what there is to ask if `size` is what `--bytes` says. Of what is not timed, neighbours, who are asked
    side by side, take about as long."""
    engine, million, many_sessions, sessions, thousand = _crowds(size)
    riders, poisoners, tarpits = _hostile(size)
    return [engine, million, many_sessions, riders, sessions, poisoners, tarpits, thousand, _cold(size)]


def _crowds(size: int) -> tuple[Question, Question, Question, Question, Question]:
    """Many want what one has: how near to T* = (F/u)(1 + floor(log2 N)/M) the last of them is done."""
    nodes = _part(50, size, least=8)
    few, many = _part(1_000, size, least=100), _part(1_000_000, size, least=1_000)
    modelled = {OF_BOUND: partial(_number, "of the bound")}
    return (
        Question(
            "crowd-engine",
            f"flash crowd of {nodes}",
            ENGINE,
            _scenario("flash_crowd", nodes=nodes, seeds=1),
            {OF_BOUND: partial(_number, "of_best")},
            timed=True,
        ),
        Question("crowd-many", f"flash crowd of {many:,}", ARRAYS, _model("--nodes", many), modelled, timed=True),
        _sessions("crowd-sessions-many", _part(128, size, least=6), size),
        _sessions("crowd-sessions", _part(49, size, least=4), size),
        Question("crowd-few", f"flash crowd of {few:,}", ARRAYS, _model("--nodes", few), modelled),
    )


def _sessions(name: str, nodes: int, size: int) -> Question:
    """A crowd that wants as much content as the target means, at its rate. More than a hundred take minutes."""
    pieces = _part(512, size, least=32)
    return Question(
        name,
        f"flash crowd of {nodes}, {pieces} chunks at 50 MB/s",
        SESSIONS,
        _model("--level", "events", "--nodes", nodes, "--pieces", pieces, "--rate", 50),
        {OF_BOUND: partial(_number, "of the bound")},
    )


def _hostile(size: int) -> tuple[Question, Question, Question]:
    """Some of the members are bad: what that costs the others."""
    nodes, seeds = _part(50, size, least=8), _part(5, size, least=1)
    cost = {OF_BEST: partial(_inverse, "of_best")}
    return (
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
            cost,
        ),
        Question(
            "tarpits",
            f"50 % tarpits, {nodes} nodes",
            ENGINE,
            _scenario("tarpits_50", nodes=nodes, seeds=seeds),
            cost,
        ),
    )


def _cold(size: int) -> Question:
    """A small model from a known provider: round trips are all that it costs."""
    return Question(
        "cold",
        "cold 1 MiB, 100 ms there and back",
        ENGINE,
        _scenario("cold_megabyte", nodes=2, seeds=_part(5, size, least=1)),
        {ROUND_TRIPS: partial(_inverse, "of_best", times=_ROUND_TRIPS_BEST)},
    )


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
