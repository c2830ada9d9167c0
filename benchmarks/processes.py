"""Start a process, hear what it says and when, measure it, and end it, whatever happens.

A `Running` is one process of a contestant. Its stdout is read line by line with the moment each line came; its stderr
goes to a file, of which the tail is shown if the contestant fails. CPU seconds and memory count its descendants too.
Linux only (/proc). Moments are of the monotonic clock, in seconds.
"""

import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.isolation import within
from benchmarks.procfs import Identity, cpu_s, descendants, is_alive, session_members

REPOSITORY = Path(__file__).resolve().parent.parent
_END_S = 10.0  # from SIGTERM to SIGKILL
_TAIL_CHARACTERS = 2000


class ContestantFailed(Exception):
    """A process of a contestant did not do what it should; the message carries its last words."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to start: arguments, what the environment has besides ours, and in which network, if not in ours."""

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    network: Path | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """One line of a process's stdout, and the moment it came."""

    moment: float
    line: str


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended well: the moment, seconds since its start, CPU seconds with its children's, what it said."""

    moment: float
    wall_s: float
    cpu_s: float
    said: tuple[Said, ...]


class Running:
    """One started process. Made by `started`, which also ends it."""

    def __init__(self, command: Command, *, stderr: Path) -> None:
        self._command, self._stderr = command, stderr
        self._said: list[Said] = []
        self._lines: queue.SimpleQueue[Said | None] = queue.SimpleQueue()
        # A p2phub setting in the caller's shell must not change what is measured.
        # Installed programs have their bytecode beside them; a source tree has it after its first run, if it may.
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("P2PHUB_") and name != "PYTHONDONTWRITEBYTECODE"
        }
        with stderr.open("wb") as errors, within(command.network):
            self.began = time.monotonic()
            self._process = subprocess.Popen(
                list(command.arguments),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**inherited, **command.environment},
                cwd=REPOSITORY,
                start_new_session=True,  # what a process leaves behind when it ends is still known by its session
            )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = Said(time.monotonic(), line.rstrip("\n"))
            self._said.append(said)
            self._lines.put(said)
        self._lines.put(None)

    def lines(self, *, timeout_s: float) -> Iterator[str]:
        """Yield lines of stdout as they come. Raises ContestantFailed if none comes for `timeout_s`, or at the end."""
        for said in self.sayings(timeout_s=timeout_s):
            yield said.line

    def sayings(self, *, timeout_s: float) -> Iterator[Said]:
        """Yield lines of stdout as `lines` does, with the moment each came."""
        while True:
            try:
                said = self._lines.get(timeout=timeout_s)
            except queue.Empty:
                raise self.failure(f"said nothing for {timeout_s:g} s") from None
            if said is None:
                raise self.failure("ended before it was ready")
            yield said

    @property
    def said(self) -> tuple[Said, ...]:
        """What it has said so far; all of it once `wait` has returned, or raised."""
        return tuple(self._said)

    def wait(self, *, timeout_s: float) -> Ended:
        """Wait for the end. Raises ContestantFailed after `timeout_s`, or if the exit code is not 0."""
        overdue = threading.Event()

        def kill() -> None:
            overdue.set()
            os.kill(self.pid, signal.SIGKILL)

        watchdog = threading.Timer(timeout_s, kill)
        watchdog.start()
        try:
            os.waitid(
                os.P_PID, self.pid, os.WEXITED | os.WNOWAIT
            )  # leave it unreaped, so that kill() cannot hit another
            moment = time.monotonic()
        finally:
            watchdog.cancel()
            watchdog.join()
        _, status, usage = os.wait4(self.pid, 0)
        code = self._process.returncode = os.waitstatus_to_exitcode(status)
        self._reader.join(timeout=_END_S)
        if overdue.is_set():
            raise self.failure(f"did not end within {timeout_s:g} s")
        if code != 0:
            raise self.failure(f"ended with exit code {code}")
        return Ended(moment, moment - self.began, usage.ru_utime + usage.ru_stime, tuple(self._said))

    def cpu_s(self) -> float:
        """CPU seconds so far, of the process, its descendants, and those of them that have ended."""
        return cpu_s(self.pid)

    def failure(self, what: str) -> ContestantFailed:
        """Return the error that says what went wrong, with the tail of stderr and the last line of stdout."""
        stderr = self._stderr.read_text(errors="replace")[-_TAIL_CHARACTERS:].strip()
        last = self._said[-1].line[-_TAIL_CHARACTERS:] if self._said else "(nothing)"
        command = " ".join(self._command.arguments)
        return ContestantFailed(f"{command}\n{what}\nlast line of stdout: {last}\nstderr: {stderr or '(nothing)'}")

    def end(self) -> None:
        """End the process and all that it started and left behind: SIGTERM first, SIGKILL when it does not listen."""
        family = descendants(self.pid)
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for left_behind in {*family, *session_members(self.pid)}:
            _kill(left_behind)
        self._reader.join(timeout=_END_S)
        if self._process.stdout is not None and not self._reader.is_alive():
            self._process.stdout.close()


@contextmanager
def started(command: Command, *, stderr: Path) -> Iterator[Running]:
    """Start a process, and end it on the way out. Raises ContestantFailed if there is no such program."""
    try:
        running = Running(command, stderr=stderr)
    except OSError as exc:
        raise ContestantFailed(f"cannot start {command.arguments[0]}: {exc}") from exc
    try:
        yield running
    finally:
        running.end()


def run(command: Command, *, stderr: Path, timeout_s: float) -> Ended:
    """Start a process and wait for its end. Raises ContestantFailed as `Running.wait` does."""
    with started(command, stderr=stderr) as running:
        return running.wait(timeout_s=timeout_s)


def _kill(process: Identity) -> None:
    if is_alive(process):  # by id and start time: the id alone may be another's by now
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
