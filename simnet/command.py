"""`python -m simnet SCENARIO --seed N`: run a scenario; exit 1 and say how to see it again if a promise was broken.

python -m simnet                               list scenarios and bugs
python -m simnet flash_crowd --seed 8431       one run
python -m simnet --all --seeds 0:50            many, on two processes
python -m simnet --all --runs 1000 --large 5   a thousand small runs, and five of each scenario with 50 nodes
python -m simnet poisoners_30 --seed 1 --bug forget-the-ban
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from simnet import report
from simnet.batch import Job, run_all
from simnet.bugs import plants
from simnet.extra import need_plots
from simnet.run import Result, command
from simnet.scene import large_nodes, least_nodes, scenarios


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if every run was as it must be, 1 if not, 2 if it was not understood."""
    given = sys.argv[1:] if arguments is None else arguments
    options = argument_parser().parse_args(given)
    names = sorted(scenarios()) if options.all else [options.scenario] if options.scenario else []
    if not names and given:
        print("which scenario? name one, or --all; without any words they are listed", file=sys.stderr)
        return 2
    if not names:
        _tell_what_there_is()
        return 0
    if unknown := [name for name in names if name not in scenarios()]:
        print(f"no scenario is called {unknown[0]}; there are {', '.join(sorted(scenarios()))}", file=sys.stderr)
        return 2
    if too_few := _too_few(options.nodes, names):
        print(too_few, file=sys.stderr)
        return 2
    if options.plot:
        need_plots()
    if options.csv:
        try:  # Before what may take minutes.
            options.csv.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            print(f"--csv {options.csv}: no folder, and none can be made: {exc.strerror}", file=sys.stderr)
            return 2
    jobs = jobs_of(options, names)
    results, failed = [], []
    began = time.monotonic()
    for job, outcome in run_all(jobs, tuple(options.bug), options.processes):
        if isinstance(outcome, Result):
            results.append(outcome)
        if not isinstance(outcome, Result) or outcome.failures:
            failed.append(job)
        _tell(job, outcome, as_json=options.json)
    if options.csv:
        report.write_csv(results, options.csv)
    if options.plot:
        report.plot(results, options.csv or Path("out"))
    if len(jobs) > 1 and not options.json:
        minutes = (time.monotonic() - began) / 60
        print(f"{len(jobs) - len(failed)} of {len(jobs)} runs were as they must be, in {minutes:.1f} minutes")
        for job in failed:
            print(f"failed: {command(job, tuple(options.bug))}")
        if not failed:
            print("failed: none")
    return 1 if failed else 0


def jobs_of(options: argparse.Namespace, names: list[str]) -> list[Job]:
    """Return the runs that are asked for; those that take longest first, so that no process waits for another."""
    if options.runs is not None:
        every = [(name, seed, options.nodes) for seed in range(options.runs) for name in names]
        small = every[: options.runs]
    else:
        first, stop = options.seeds or (options.seed, options.seed + 1)
        small = [(name, seed, options.nodes) for seed in range(first, stop) for name in names]
    return [(name, seed, large_nodes(name)) for name in names for seed in range(options.large)] + small


def _too_few(nodes: int | None, names: list[str]) -> str | None:
    """Return what to say if a scenario cannot be told with so few `nodes`."""
    if nodes is None:
        return None
    name, least = max(((name, least_nodes(name)) for name in names), key=lambda each: each[1])
    return f"--nodes {nodes}: {name} takes {least} nodes at least" if nodes < least else None


def _tell(job: Job, outcome: Result | str, *, as_json: bool) -> None:
    """Print what came of a run. A traceback goes to stderr where a program reads stdout."""
    if not isinstance(outcome, Result):
        words = f"FAIL {job[0]} seed {job[1]}: a bug ended the run\n{outcome}  replay: {command(job)}"
        print(words, file=sys.stderr if as_json else sys.stdout, flush=True)
    elif as_json:
        print(report.as_json(outcome), flush=True)
    else:
        print(report.line(outcome), flush=True)
        if outcome.failures:
            print(report.complaint(outcome), flush=True)


def _tell_what_there_is() -> None:
    for name, build in scenarios().items():
        print(f"{name:20} {(sys.modules[build.__module__].__doc__ or '').splitlines()[0]}")
    print(f"\nbugs to plant (--bug): {', '.join(sorted(plants()))}")


def _seeds(text: str) -> tuple[int, int]:
    first, _, stop = text.partition(":")
    try:
        seeds = int(first), int(stop)
    except ValueError:
        raise argparse.ArgumentTypeError(f"not like 0:50: {text!r}") from None
    if seeds[0] >= seeds[1]:
        raise argparse.ArgumentTypeError(f"no seed lies in {text!r}: they are those from A to B - 1")
    return seeds


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simnet", description="Simulate p2phub from a seed.")
    parser.add_argument("scenario", nargs="?", help="which; without one, scenarios and bugs are listed")
    parser.add_argument("--all", action="store_true", help="every scenario")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=_seeds, metavar="A:B", help="all seeds from A to B - 1")
    parser.add_argument("--runs", type=int, metavar="N", help="so many runs: each scenario on seeds from 0 on, in turn")
    parser.add_argument("--nodes", type=int, help="how many members in all (8 at most if not said)")
    parser.add_argument(
        "--large",
        type=int,
        default=0,
        metavar="N",
        help="N seeds of each with many nodes besides: 50, unless it says otherwise",
    )
    parser.add_argument("--csv", type=Path, metavar="DIR", help="write summary.csv and fetches.csv there")
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each run instead of words")
    parser.add_argument("--plot", action="store_true", help="draw when fetches were done, beside the CSV or into out/")
    parser.add_argument(
        "--bug",
        action="append",
        default=[],
        choices=sorted(plants()),
        metavar="BUG",
        help="plant a bug; their names are listed where no scenario is named",
    )
    parser.add_argument("--processes", type=int, default=2)
    return parser


if __name__ == "__main__":
    sys.exit(main())
