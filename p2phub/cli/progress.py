"""How far a long command is, for people: a bar on a terminal, else a line now and then. On stderr.

What is shown never runs backwards. rich is imported only where a bar is drawn.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from p2phub import api
from p2phub.cli.sizes import duration, size

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from p2phub.cli.output import Output

LINE_EVERY_S = 10.0


class Progress(Protocol):
    """A `with` block; `total` and `done` are bytes, rates bytes a second. None: not known."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def begin(self, what: str, *, total: int | None = None, done: int = 0) -> None:
        """Start to show `what` anew."""

    def advance(self, done: int, *, rate: float | None = None) -> None:
        """Show that `done` bytes of the total are done."""

    def detail(self, text: str) -> None:
        """Show a few words beside the bar."""

    def note(self, line: str) -> None:
        """Print a line that stays."""


def open_progress(output: Output, *, verbose: int = 0) -> Progress:
    """Return a bar on a terminal, lines where there is none (or among the log records of libraries, which are many),
    silence in JSON mode."""
    if output.as_json:
        return Silence()
    if output.stderr.isatty() and verbose < 2 and os.environ.get("TERM") != "dumb":
        return Bar(output)
    return Lines(output)


class _Block:
    """A `with` block that ends nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


LEFT_S_MAX = 100 * 3600.0  # A rate that would take longer is that of a beginning, or of a standstill.


class Silence(_Block):
    """Shows nothing."""

    def begin(self, what: str, *, total: int | None = None, done: int = 0) -> None: ...

    def advance(self, done: int, *, rate: float | None = None) -> None: ...

    def detail(self, text: str) -> None: ...

    def note(self, line: str) -> None: ...


class Lines(_Block):
    """A line for each tenth, and after each LINE_EVERY_S in which no tenth was passed."""

    def __init__(self, output: Output, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._output = output
        self._clock = clock
        self._total: int | None = None
        self._done = 0
        self._tenths = 0
        self._told_at = 0.0

    def begin(self, what: str, *, total: int | None = None, done: int = 0) -> None:
        self._total, self._done = total, done
        self._tenths = _tenths(done, total)
        self._told_at = self._clock()
        self.note(f"{what}: {size(total - done)}" if total is not None else f"{what} …")

    def advance(self, done: int, *, rate: float | None = None) -> None:
        if done <= self._done:
            return
        self._done = done
        tenths, now = _tenths(done, self._total), self._clock()
        if tenths > self._tenths or now - self._told_at >= LINE_EVERY_S:
            self._tenths, self._told_at = tenths, now
            part = f" of {size(self._total)} ({100 * done // max(1, self._total)} %)" if self._total is not None else ""
            self.note(f"  {size(done)}{part}{f', {size(rate)}/s' if rate else ''}")

    def detail(self, text: str) -> None: ...

    def note(self, line: str) -> None:
        self._output.note(line)


def _tenths(done: int, total: int | None) -> int:
    return 10 * done // max(1, total) if total is not None else 0


class Bar(_Block):
    """One bar that goes away at the end; what stays is the result. Before a total is known it swings.

    While it is drawn all that is said on stderr stands above it.
    """

    def __init__(self, output: Output) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, SpinnerColumn, TextColumn
        from rich.progress import Progress as Bars

        self._output = output
        self._console = Console(file=output.stderr, highlight=False, markup=False, emoji=False)
        # rich looks at the encoding for the bar, not for the spinner, and what cannot be written would be `\u280b`.
        spinner = "dots" if self._console.encoding.lower().startswith("utf") else "line"
        self._bars: Bars = Bars(
            SpinnerColumn(spinner, finished_text=" "),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[amount]}", markup=False, style="progress.download"),
            TextColumn("{task.fields[rate]}", markup=False, style="progress.data.speed"),
            TextColumn("{task.fields[detail]}", markup=False, style="dim"),
            console=self._console,
            transient=True,
            expand=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task: TaskID | None = None
        self._total: int | None = None
        self._done = 0

    def __enter__(self) -> Self:
        self._bars.start()
        self._output.above = lambda line: self._console.print(line, soft_wrap=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bars.stop()
        self._output.above = None

    def begin(self, what: str, *, total: int | None = None, done: int = 0) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._total, self._done = total, done
        self._task = self._bars.add_task(
            api.printable(what), total=total, completed=done, amount=self._amount(), rate="", detail=""
        )

    def advance(self, done: int, *, rate: float | None = None) -> None:
        if self._task is None or done < self._done:
            return
        self._done = done
        self._bars.update(self._task, completed=done, amount=self._amount(), rate=self._rate(rate))

    def detail(self, text: str) -> None:
        if self._task is not None:
            self._bars.update(self._task, detail=api.printable(text))

    def note(self, line: str) -> None:
        self._output.note(line)

    def _amount(self) -> str:
        return "" if self._total is None else f"{size(self._done)} of {size(self._total)}"

    def _rate(self, rate: float | None) -> str:
        if not rate:
            return ""
        left_s = math.inf if self._total is None else (self._total - self._done) / rate
        return f"{size(rate)}/s" + (f", {duration(left_s)} left" if left_s <= LEFT_S_MAX else "")
