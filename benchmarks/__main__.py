"""`python -m benchmarks`: race p2phub against its peers and the machine's limit, and say which targets are met.

Exit code 0 if nothing that was asked for failed and no measured target was missed, else 1; 130 if interrupted.
"""

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
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
    Disk,
    Hub,
    Iroh,
    Kubo,
    P2phub,
    P2phubCrowd,
    Rsync,
    Torrent,
    TorrentCrowd,
)
from benchmarks.gateway import measure_gateway
from benchmarks.held import measure_held
from benchmarks.isolation import leave_the_network
from benchmarks.line import PROVIDER_IP
from benchmarks.machine import describe
from benchmarks.options import parse
from benchmarks.plan import (
    ALONE,
    CROWD_RACES,
    GATEWAY,
    HELD,
    OURS,
    RACES,
    SEARCH,
    SIMULATED,
    STORE,
    four_files,
    title_of,
)
from benchmarks.processes import ContestantFailed
from benchmarks.questions import questions
from benchmarks.race import CrowdRace, How, Race, run_crowd_race, run_race
from benchmarks.report import Results, render, write_json
from benchmarks.search import measure_search
from benchmarks.simulated import Simulated, ask_simulator
from benchmarks.store import Ground, Stored, install_tools, measure_store
from benchmarks.targets import judge

_INTERRUPTED = 130
_PAGE = (120, 24)  # Columns and lines of a report that goes to no terminal.


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for, print the report (also of a part, if it is interrupted), return the exit code."""
    options = parse(arguments, description=sys.modules[__name__].__doc__)
    signal.signal(signal.SIGTERM, _interrupt)  # so that what was started is ended, as with Ctrl-C
    options.cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (
        tempfile.TemporaryDirectory(prefix="run-", dir=options.cache) as work,
        tempfile.TemporaryDirectory(prefix="p2pb-") as runtime,
    ):
        try:
            return _run(options, Path(work), Path(runtime))
        except KeyboardInterrupt:
            _tell("interrupted; everything that was started has been ended")
            return _INTERRUPTED


@dataclass(slots=True)
class _Measured:
    """What has been measured so far: races by their names in `plan`."""

    races: dict[str, Race] = field(default_factory=dict)
    crowds: dict[str, CrowdRace] = field(default_factory=dict)
    alone: Alone = field(default_factory=Alone)
    simulated: Simulated = field(default_factory=dict)
    stored: Stored = field(default_factory=dict)

    def results(self) -> Results:
        verdicts = judge(self.races, self.crowds, self.alone, self.simulated, self.stored)
        races, crowds = list(self.races.values()), list(self.crowds.values())
        return Results(races, crowds, self.alone, self.simulated, self.stored, verdicts)

    def failed(self) -> bool:
        """Whether anything that was asked for failed."""
        raced: list[Race | CrowdRace] = [*self.races.values(), *self.crowds.values()]
        return bool(
            self.alone.failures
            or self.alone.held.failures
            or self.alone.search.failures
            or any(answer.failures for answer in self.simulated.values())
            or any(subject.failures for subject in self.stored.values())
            or any(one.failures for race in raced for one in race.standings.values())
        )


def _run(options: argparse.Namespace, work: Path, runtime: Path) -> int:
    p2phub, torrent = P2phub(runtime=runtime), Torrent(cache=options.cache)
    chosen = [one for one in _everybody(p2phub, torrent, options.cache, runtime) if one.name in options.only]
    far = [one for one in _at_a_line(options.cache, runtime) if one.name in options.only]
    unable = _install(chosen)
    makers, unmade = install_tools(options.cache) if not STORE.keys().isdisjoint(options.races) else ({}, {})
    machine = describe(options.cache, isolated=leave_the_network())
    _tell("\n".join(machine))
    how = How(unable=unable, rounds=options.rounds, work=work, timeout_s=options.timeout, tell=_tell)
    measured = _Measured()
    ground = Ground(p2phub, options.bytes, options.cache, how, makers, unmade)
    try:
        for name in options.races:
            if name in STORE and OURS in options.only:
                measured.stored[name] = measure_store(name, ground)
            elif name in GATEWAY and OURS in options.only:
                measured.stored[name] = measure_gateway(name, ground)
            else:
                _measure(name, measured, options, chosen, far, p2phub, torrent, how)
    finally:  # Also if it is interrupted or breaks: what took half an hour is not thrown away.
        results = measured.results()
        print(render(machine, results, size=options.bytes, width=shutil.get_terminal_size(_PAGE).columns))
        if options.json:
            write_json(options.json, machine, results)
    _tell(f"payloads and peers are kept in {options.cache} for the next run; delete it when you like")
    return 1 if measured.failed() or any(verdict.fails_the_run for verdict in results.verdicts) else 0


def _measure(
    name: str,
    measured: _Measured,
    options: argparse.Namespace,
    chosen: Sequence[Contestant],
    far: Sequence[Contestant],
    p2phub: P2phub,
    torrent: Torrent,
    how: How,
) -> None:
    """Measure one of the names that `--races` knows."""
    size, cache = options.bytes, options.cache
    if name in RACES:
        plan = RACES[name]
        payload = plan.make(size, cache)
        runners = [one for one in (chosen if plan.line is None else far) if one.name in plan.contestants]
        measured.races[name] = run_race(title_of(plan, payload), payload, runners, how, line=plan.line)
    elif name in CROWD_RACES:
        crowd_plan = CROWD_RACES[name]
        payload = crowd_plan.make(size, cache)
        crowd: list[CrowdContestant] = [P2phubCrowd(p2phub), TorrentCrowd(torrent)]
        groups = [one for one in crowd if one.name in options.only and one.name in crowd_plan.contestants]
        measured.crowds[name] = run_crowd_race(title_of(crowd_plan, payload), payload, crowd_plan.scene, groups, how)
    elif name == SIMULATED and OURS in options.only:
        measured.simulated = ask_simulator(questions(size), how)
    elif name == ALONE and OURS in options.only:
        measure_help(measured.alone, p2phub, work=how.work)
        measure_publish(measured.alone, p2phub, four_files(size, cache), how)
    elif name == HELD and OURS in options.only:
        measure_held(measured.alone.held, p2phub, size, how)
    elif name == SEARCH and OURS in options.only:
        measure_search(measured.alone.search, size, cache, how)


def _everybody(p2phub: P2phub, torrent: Torrent, cache: Path, runtime: Path) -> list[Contestant]:
    return [
        Bare(),
        Disk(),
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


def _at_a_line(cache: Path, runtime: Path) -> list[Contestant]:
    """Return those of them who can be asked at another address than that of loopback, made with the one of a line."""
    return [
        Bare(host=PROVIDER_IP),
        P2phub(runtime=runtime, host=PROVIDER_IP),
        Torrent(cache=cache, host=PROVIDER_IP),
        Curl(cache=cache, host=PROVIDER_IP),
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


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
