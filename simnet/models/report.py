"""How a run of a model is told: its figures in words, as JSON or CSV, and a plot (matplotlib, only when asked for)."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Row = Mapping[str, object]


@dataclass(frozen=True)
class Curve:
    """Points of a plot, as steps."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Report:
    """`figures` in their order; `rows` for a CSV of their own (all with the same columns); `curves` for the plot."""

    title: str
    figures: Row
    rows: Sequence[Row] = ()
    curves: Sequence[Curve] = ()
    bound: tuple[str, float] | None = None  # A vertical line.
    axes: tuple[str, str] = ("", "")
    name: str = field(default="model", kw_only=True)


def text(report: Report) -> str:
    """Return the figures, one a line."""
    width = max(map(len, report.figures))
    return "\n".join([report.title, *(f"  {name:{width}}  {_shown(value)}" for name, value in report.figures.items())])


def as_json(report: Report) -> str:
    """Return the figures as one line, for programs."""
    return json.dumps(report.figures)


def write_csv(report: Report, folder: Path) -> list[Path]:
    """Write `NAME.csv`, one row of figures, and `NAME_rows.csv`, if there are any."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, rows in ((report.name, [report.figures]), (f"{report.name}_rows", report.rows)):
        if not rows:
            continue
        written.append(folder / f"{name}.csv")
        with written[-1].open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows({key: _shown(value) for key, value in row.items()} for row in rows)
    return written


def plot(report: Report, folder: Path) -> Path:
    """Draw the curves as `NAME.png`."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = pyplot.subplots(figsize=(7, 4))
    for curve in report.curves:
        axes.plot(curve.x, curve.y, label=curve.name, drawstyle="steps-mid")
    if report.bound is not None:
        axes.axvline(report.bound[1], linestyle=":", color="grey", label=report.bound[0])
    axes.set(xlabel=report.axes[0], ylabel=report.axes[1], title=report.title)
    axes.legend(fontsize="small")
    figure.tight_layout()
    drawn = folder / f"{report.name}.png"
    figure.savefig(drawn, dpi=110)
    pyplot.close(figure)
    return drawn


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
