"""`python -m benchmarks`: race p2phub against its peers and the machine's limit, and say which targets are met.

Exit code 0 if nothing that was asked for failed and no measured target was missed, else 1; 130 if interrupted.
"""

import argparse
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from benchmarks.alone import Alone, measure_help, measure_publish
from benchmarks.contestants import (
    Aria2,
    Bare,
    BusyP2phub,
    Contestant,
    CrowdContestant,
    Curl,
    Hub,
    Iroh,
    Kubo,
    P2phub,
    P2phubCrowd,
    Rsync,
    Torrent,
    TorrentCrowd,
)
from benchmarks.isolation import leave_the_network
from benchmarks.machine import describe
from benchmarks.payload import GIB, MIB
from benchmarks.plan import ALONE, CROWD_RACES, EVERYBODY, NAMES, OURS, RACES, SIMULATED, four_files, title_of
from benchmarks.processes import ContestantFailed
from benchmarks.questions import questions
from benchmarks.race import CrowdRace, How, Race, run_crowd_race, run_race
from benchmarks.report import Results, render, write_json
from benchmarks.simulated import Simulated, ask_simulator
from benchmarks.targets import judge

_INTERRUPTED = 130
_PAGE = (120, 24)  # Columns and lines of a report that goes to no terminal.
_UNITS = {"": 1, "MB": 10**6, "GB": 10**9, "MIB": MIB, "GIB": GIB}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for, print the report, return the exit code."""
    options = _parse(arguments)
    signal.signal(signal.SIGTERM, _interrupt)  # so that what was started is ended, as with Ctrl-C
    options.cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (
        tempfile.TemporaryDirectory(prefix="run-", dir=options.cache) as work,
        tempfile.TemporaryDirectory(prefix="p2pb-") as runtime,
    ):
        try:
            return _measure(options, Path(work), Path(runtime))
        except KeyboardInterrupt:
            _tell("interrupted; everything that was started has been ended")
            return _INTERRUPTED


def _measure(options: argparse.Namespace, work: Path, runtime: Path) -> int:
    p2phub, torrent = P2phub(runtime=runtime), Torrent(cache=options.cache)
    chosen = [one for one in _everybody(p2phub, torrent, options.cache, runtime) if one.name in options.only]
    unable = _install(chosen)
    machine = describe(options.cache, isolated=leave_the_network())
    _tell("\n".join(machine))

    crowd: list[CrowdContestant] = [P2phubCrowd(p2phub), TorrentCrowd(torrent)]
    how = How(unable=unable, rounds=options.rounds, work=work, timeout_s=options.timeout, tell=_tell)
    races: dict[str, Race] = {}
    crowds: dict[str, CrowdRace] = {}
    alone = Alone()
    simulated: Simulated = {}
    for name in options.races:
        if name in RACES:
            plan = RACES[name]
            payload = plan.make(options.bytes, options.cache)
            runners = [one for one in chosen if one.name in plan.contestants]
            races[name] = run_race(title_of(plan, payload), payload, runners, how)
        elif name in CROWD_RACES:
            crowd_plan = CROWD_RACES[name]
            payload = crowd_plan.make(options.bytes, options.cache)
            groups = [one for one in crowd if one.name in options.only and one.name in crowd_plan.contestants]
            crowds[name] = run_crowd_race(title_of(crowd_plan, payload), payload, crowd_plan.scene, groups, how)
        elif name == SIMULATED and OURS in options.only:
            simulated = ask_simulator(questions(options.bytes), how)
        elif name == ALONE and OURS in options.only:
            measure_help(alone, p2phub, work=work)
            measure_publish(alone, p2phub, four_files(options.bytes, options.cache), how)
    verdicts = judge(races, crowds, alone, simulated)
    results = Results(list(races.values()), list(crowds.values()), alone, simulated, verdicts)
    print(render(machine, results, size=options.bytes, width=shutil.get_terminal_size(_PAGE).columns))
    if options.json:
        write_json(options.json, machine, results)
    _tell(f"payloads and peers are kept in {options.cache} for the next run; delete it when you like")
    failed = bool(
        alone.failures
        or any(answer.failures for answer in simulated.values())
        or any(one.failures for race in races.values() for one in race.standings.values())
        or any(one.failures for race in crowds.values() for one in race.standings.values())
    )
    missed = any(verdict.fails_the_run for verdict in verdicts)
    return 1 if failed or missed else 0


def _everybody(p2phub: P2phub, torrent: Torrent, cache: Path, runtime: Path) -> list[Contestant]:
    return [
        Bare(),
        p2phub,
        BusyP2phub(runtime=runtime),
        torrent,
        Curl(cache=cache),
        Rsync(cache=cache),
        Aria2(cache=cache, tls=False),
        Aria2(cache=cache, tls=True),
        Hub(cache=cache),
        Iroh(cache=cache),
        Kubo(cache=cache),
    ]


def _install(contestants: Sequence[Contestant]) -> dict[str, str]:
    """Fetch what each contestant needs; return those for which that failed, and why."""
    unable: dict[str, str] = {}
    for contestant in contestants:
        try:
            contestant.install()
        except ContestantFailed as failure:
            unable[contestant.name] = str(failure)
            _tell(f"{contestant.name} could not be installed")
    return unable


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    kept = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "p2phub-bench"
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=sys.modules[__name__].__doc__)
    parser.add_argument("--bytes", type=_byte_count, default=2 * GIB, help="payload, e.g. 256MiB (default: 2GiB)")
    parser.add_argument("--rounds", type=_positive, default=5, help="trials of each contestant (default: 5)")
    parser.add_argument(
        "--only",
        type=_names(EVERYBODY),
        default=EVERYBODY,
        metavar="NAME,...",
        help=f"contestants: {','.join(EVERYBODY)} (default: all)",
    )
    parser.add_argument(
        "--races",
        type=_names(NAMES),
        default=NAMES,
        metavar="NAME,...",
        help=f"what to measure: {','.join(NAMES)} (default: all)",
    )
    parser.add_argument("--timeout", type=float, default=600.0, metavar="S", help="for one requester (default: 600)")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(os.environ.get("BENCH_DIR") or kept),
        metavar="DIR",
        help="where payloads, peers and fetched files go (default: $BENCH_DIR, else %(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every measurement here")
    options = parser.parse_args(arguments)
    if options.bytes < 16 * MIB:
        parser.error("--bytes: at least 16MiB")
    options.cache = options.cache.resolve()
    return options


def _byte_count(text: str) -> int:
    match = re.fullmatch(r"(\d+) ?([A-Z]*)", text.upper())
    if match is None or match[2] not in _UNITS:
        raise argparse.ArgumentTypeError(f"not a number of bytes: {text!r}")
    return int(match[1]) * _UNITS[match[2]]


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"not a positive number: {text!r}")
    return int(text)


def _names(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    """Return what parses a comma-separated choice of the known names."""

    def choose(text: str) -> tuple[str, ...]:
        chosen = tuple(dict.fromkeys(text.split(",")))  # each once
        if unknown := set(chosen) - set(known):
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
        return chosen

    return choose


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
