"""How a run is told: one line, JSON for programs, a row of CSV, and plots (matplotlib, only when asked for)."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from simnet.run import Result

COLUMNS = (
    "scenario", "seed", "nodes", "commit", "ok", "fetches", "done", "virtual_s", "wall_s", "last_s", "median_s",
    "best_s", "of_best", "riders_cost", "riders_later_s", "bytes_total", "copies_from_publisher", "dials", "arrivals",
    "trace",
)  # fmt: skip


def line(result: Result) -> str:
    """Return the summary of a run on one line."""
    done = sum(each.outcome == "done" for each in result.ended)
    part = f", {result.of_best:.2f} of the best" if result.of_best else ""
    nodes = "" if result.nodes is None else f" with {result.nodes} nodes"
    if result.served and result.bytes_total:
        part += f", {_copies(result):.2f} copies sent by the first"
    return (
        f"{'ok  ' if not result.failures else 'FAIL'} {result.scenario} seed {result.seed}{nodes}: {done} of "
        f"{len(result.ended)} fetches done, the last after {result.last_s:.2f} s{part}; {result.arrivals} arrivals, "
        f"{result.virtual_s:.0f} s in {result.wall_s:.1f} s, trace {result.trace[:16]}"
    )


def complaint(result: Result) -> str:
    """Return what the judge said, and how to see it again."""
    return "\n".join([*(f"  {failure}" for failure in result.failures), f"  replay: {result.replay}"])


def _copies(result: Result) -> float:
    """Return how many copies of the content the first member of the scene sent."""
    return next(iter(result.served.values()), 0) / result.bytes_total


def row(result: Result) -> dict[str, object]:
    done = sorted(each.seconds for each in result.ended if each.outcome == "done")
    return {
        "scenario": result.scenario,
        "seed": result.seed,
        "nodes": len(result.served),
        "commit": _commit(),
        "ok": int(not result.failures),
        "fetches": len(result.ended),
        "done": len(done),
        "virtual_s": round(result.virtual_s, 3),
        "wall_s": round(result.wall_s, 3),
        "last_s": round(result.last_s, 3),
        "median_s": round(done[len(done) // 2], 3) if done else "",
        "best_s": round(result.best_s, 3),
        "of_best": round(result.of_best, 3),
        "riders_cost": _rounded(result.riders_cost),
        "riders_later_s": _rounded(result.riders_later_s),
        "bytes_total": result.bytes_total,
        "copies_from_publisher": round(_copies(result), 3) if result.bytes_total else "",
        "dials": result.dials,
        "arrivals": result.arrivals,
        "trace": result.trace,
    }


def as_json(result: Result) -> str:
    """Return on one line what programs may read of a run: its row, and what the judge said."""
    return json.dumps(row(result) | {"failures": result.failures})


def write_csv(results: Sequence[Result], folder: Path) -> list[Path]:
    """Write `summary.csv` (a row for each run) and `fetches.csv` (a row for each fetch) into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    summary, fetches = folder / "summary.csv", folder / "fetches.csv"
    with summary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(row(result) for result in results)
    with fetches.open("w", newline="", encoding="utf-8") as file:
        plain = csv.writer(file)
        plain.writerow(("scenario", "seed", "node", "outcome", "began_s", "seconds", "bytes_received", "sources"))
        for result in results:
            for each in result.ended:
                sources = " ".join(f"{name}:{count}" for name, count in sorted(each.sources.items()))
                plain.writerow(
                    (
                        result.scenario, result.seed, each.node, each.outcome, round(each.began_s, 3),
                        round(each.seconds, 3), each.bytes_received, sources,
                    )
                )  # fmt: skip
    return [summary, fetches]


def plot(results: Sequence[Result], folder: Path) -> list[Path]:
    """Draw for each scenario when the fetches of its runs were done, beside the best possible."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name in sorted({result.scenario for result in results}):
        figure, axes = pyplot.subplots(figsize=(7, 4))
        for result in (each for each in results if each.scenario == name):
            first = min((each.began_s for each in result.ended), default=0.0)
            done = sorted(each.began_s + each.seconds - first for each in result.ended if each.outcome == "done")
            shares = [(number + 1) / len(result.ended) for number in range(len(done))]
            axes.step([0, *done], [0, *shares], where="post", label=f"seed {result.seed}")
            if result.best_s:
                axes.axvline(result.best_s, color="grey", linestyle=":", linewidth=1)
        axes.set(
            xlabel="seconds (virtual); dotted: the best possible", ylabel="fetches done", title=name, ylim=(0, 1.05)
        )
        axes.legend(fontsize="small")
        figure.tight_layout()
        drawn.append(folder / f"{name}.png")
        figure.savefig(drawn[-1], dpi=110)
        pyplot.close(figure)
    return drawn


def _rounded(figure: float | None) -> float | str:
    return "" if figure is None else round(figure, 3)


def _commit() -> str:
    try:
        ran = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=Path(__file__).parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return ran.stdout.strip()
