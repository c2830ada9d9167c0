"""Where a command says what: JSON objects for scripts, or text for people.

As JSON, stdout carries one object a line and nothing else, each with "event" (docs/guides/json.md). As text, stdout
carries the result and stderr the way to it. Text from strangers (paths, descriptions, reasons) may hold escape
sequences: every line for people goes through `printable`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TextIO

from p2phub import api
from p2phub.cli.wrap import columns_of, wrapped
from p2phub.errors import DiskError

_LINE_MAX = 16_384  # A ticket is at most 8 KiB of bytes, so some 13,000 letters.


class Output:
    """`on_lost` is called when nobody can read stdout any more; what is said after that goes nowhere."""

    def __init__(self, *, as_json: bool, stdout: TextIO, stderr: TextIO) -> None:
        self.as_json = as_json
        self.stderr = stderr
        self.on_lost: Callable[[], object] = lambda: None
        self.above: Callable[[str], object] | None = None
        """Prints a line on stderr while something is drawn there that a line must not run into."""
        self.dress: Callable[[str, str], str] | None = None
        """Makes of each line for stderr, and its level (of `logging`), what is to stand there in its place, whole."""
        self._stdout = stdout
        self._lost: OSError | None = None

    def object(self, event: str, fields: dict[str, Any]) -> None:
        """Print one JSON object, in JSON mode only."""
        if self.as_json:
            self._write(json.dumps({"event": event, **{k: v for k, v in fields.items() if k != "event"}}))

    def event(self, event: api.Event) -> None:
        """Print an event, in JSON mode only."""
        if self.as_json:
            self.object(event.NAME, event.as_json())

    def say(self, *lines: str, whole: bool = False) -> None:
        """Print lines of the result, for people only. A terminal has them broken between words, unless they are to stay
        `whole`: rows in columns, and what is copied as one."""
        if not self.as_json:
            for line in lines:
                shown = api.printable(line, length_max=_LINE_MAX)
                self._write(shown if whole else wrapped(shown, self.columns))

    def answer(self, *lines: str) -> None:
        """Print lines for a program that asked, as they are, whatever the mode: they have been made safe."""
        for line in lines:
            self._write(line)

    def note(self, *lines: str) -> None:
        """Print lines on the way to it, for people only."""
        if not self.as_json:
            for line in lines:
                self.log(line)

    def note_some(self, lines: Sequence[str], most: int) -> None:
        """Note the first `most` of lines that a machine reads whole, and how many more there are."""
        self.note(*lines[:most])
        if len(lines) > most:
            indent = " " * (len(lines[0]) - len(lines[0].lstrip()))
            self.note(f"{indent}and {len(lines) - most} more (--json tells all)")

    def log(self, line: str, *, level: str = "INFO") -> None:
        """Print a line on stderr, whoever reads stdout."""
        if self.dress is not None:
            self.log_whole(self.dress(line, level))
            return
        line = wrapped(api.printable(line, length_max=_LINE_MAX), columns_of(self.stderr))
        with contextlib.suppress(OSError, ValueError):
            if self.above is not None:
                self.above(line)
            else:
                print(line, file=self.stderr, flush=True)

    def log_whole(self, line: str) -> None:
        """Print a line on stderr as it is: it has been made safe to show."""
        with contextlib.suppress(OSError, ValueError):
            print(line, file=self.stderr, flush=True)

    def failed(self, code: int, message: str, hint: str | None) -> None:
        """Say what happened and what to try."""
        self.event(api.Failed(code, message, hint))
        if not self.as_json:
            self.log(f"p2phub: {message}", level="ERROR")
        if hint:
            self.note(f"  try: {hint}")

    def interrupted(self, code: int, hint: str | None) -> None:
        """Say that the user ended it, and what stays."""
        self.event(api.Failed(code, "interrupted", hint))
        self.note(f"Interrupted: {hint}" if hint else "Interrupted")

    @property
    def columns(self) -> int | None:
        """How wide the terminal is that shows the result; None if none does."""
        return columns_of(self._stdout)

    @property
    def lost(self) -> bool:
        """Whether stdout cannot be written any more."""
        return self._lost is not None

    def check(self) -> None:
        """Flush. Raises BrokenPipeError if nobody reads stdout, DiskError if it cannot be written."""
        self._write(None)
        if self._lost is None:
            return
        with contextlib.suppress(OSError, ValueError):
            # What Python still has buffered would fail again, loudly, when the process ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stdout.fileno())
        if isinstance(self._lost, BrokenPipeError):
            raise self._lost
        raise DiskError(f"the output could not be written: {self._lost.strerror}") from self._lost

    def _write(self, line: str | None) -> None:
        """Print a line, or only flush. Never raises, for events come where nothing may fail."""
        if self._lost is not None:
            return
        try:
            if line is not None:
                self._stdout.write(line + "\n")
            self._stdout.flush()
        except OSError as error:
            self._lost = error
            self.on_lost()


@contextlib.contextmanager
def standard_output(*, as_json: bool) -> Iterator[Output]:
    """Give the process's output; with `as_json`, whatever else prints meanwhile goes to stderr."""
    with contextlib.ExitStack() as nobody_reads:
        # A process may be started with either closed (`>&-`); Python then has none.
        stdout, stderr = (
            stream or nobody_reads.enter_context(open(os.devnull, "w")) for stream in (sys.stdout, sys.stderr)
        )
        for stream in (stdout, stderr):
            if isinstance(stream, io.TextIOWrapper):
                # A name that the terminal cannot write is no reason to stop.
                stream.reconfigure(errors="backslashreplace")
        output = Output(as_json=as_json, stdout=stdout, stderr=stderr)
        # What argparse prints, help and version, is to find a stream as well.
        with contextlib.redirect_stdout(stderr if as_json else stdout), contextlib.redirect_stderr(stderr):
            yield output
