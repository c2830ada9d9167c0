"""`python -m simnet SCENARIO --seed N`: run a scenario; exit 1 and say how to see it again if a promise was broken.

python -m simnet                               list scenarios and bugs
python -m simnet flash_crowd --seed 8431       one run
python -m simnet --all --seeds 0:50            many, on two processes
python -m simnet poisoners_30 --seed 1 --bug forget-the-ban
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from simnet import report
from simnet.batch import run_all
from simnet.bugs import PLANTS
from simnet.run import Result
from simnet.scene import scenarios


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if every run was as it must be, 1 if not, 2 if it was not understood."""
    options = _parser().parse_args(arguments)
    names = sorted(scenarios()) if options.all else [options.scenario] if options.scenario else []
    if not names:
        _tell_what_there_is()
        return 0
    if unknown := [name for name in names if name not in scenarios()]:
        print(f"no scenario is called {unknown[0]}; there are {', '.join(sorted(scenarios()))}", file=sys.stderr)
        return 2
    first, stop = options.seeds or (options.seed, options.seed + 1)
    jobs = [(name, seed) for seed in range(first, stop) for name in names]
    results, failed = [], []
    for job, outcome in run_all(jobs, options.nodes, tuple(options.bug), options.processes):
        if isinstance(outcome, Result):
            results.append(outcome)
            print(report.line(outcome), flush=True)
            if outcome.failures:
                failed.append(job)
                print(report.complaint(outcome), flush=True)
        else:
            failed.append(job)
            print(f"FAIL {job[0]} seed {job[1]}: a bug ended the run\n{outcome}", flush=True)
    if options.csv:
        report.write_csv(results, options.csv)
    if options.plot:
        report.plot(results, options.csv or Path("out"))
    if len(jobs) > 1:
        print(f"{len(jobs) - len(failed)} of {len(jobs)} runs were as they must be")
        for name, seed in failed:
            nodes = "" if options.nodes is None else f" --nodes {options.nodes}"
            print(f"failed: python -m simnet {name} --seed {seed}{nodes}")
    return 1 if failed else 0


def _tell_what_there_is() -> None:
    for name, build in scenarios().items():
        print(f"{name:20} {(sys.modules[build.__module__].__doc__ or '').splitlines()[0]}")
    print(f"\nbugs to plant (--bug): {', '.join(sorted(PLANTS))}")


def _seeds(text: str) -> tuple[int, int]:
    first, _, stop = text.partition(":")
    return int(first), int(stop)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simnet", description="Simulate p2phub from a seed.")
    parser.add_argument("scenario", nargs="?")
    parser.add_argument("--all", action="store_true", help="every scenario")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=_seeds, metavar="A:B", help="all seeds from A to B - 1")
    parser.add_argument("--nodes", type=int, help="how many, where the scenario can be scaled")
    parser.add_argument("--csv", type=Path, metavar="DIR", help="write summary.csv and fetches.csv there")
    parser.add_argument("--plot", action="store_true", help="draw when fetches were done, beside the CSV or into out/")
    parser.add_argument("--bug", action="append", default=[], choices=sorted(PLANTS), help="plant a bug")
    parser.add_argument("--processes", type=int, default=2)
    return parser


if __name__ == "__main__":
    sys.exit(main())
