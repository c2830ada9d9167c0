"""Run p2phub as its users do: separate processes, each with a home of its own, read by the JSON lines they print.

A `Scene` starts them and ends them all, by id, when it closes, whatever happened. Their logs (stderr) stand in its
folder, and a failure shows the tails. Used by the end-to-end tests and by the demo.
Source: the table "What scripts rely on" of the command line's documentation: one JSON object a line, each with `event`.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, TypeVar

from tests.support.house import ROOT

P2PHUB = (sys.executable, "-m", "p2phub")
"""The program whose processes play, unless a test gives a stand-in."""

READY_S = 60.0
"""How long a node may take until it says `ready`. Generous: shared machines start Pythons slowly."""

STOP_S = 10.0
"""How long a process may take to stop after SIGTERM before it is killed."""

TAIL_LINES = 25
"""How much of a log a failure shows."""

Event = dict[str, Any]
"""One line that p2phub printed, as JSON gives it; `event` names its kind."""


class SceneFailed(AssertionError):
    """A process did not do what the scene needs. The message has the tails of the logs."""


class Process:
    """One running `p2phub`. `events` is what it has printed so far, `read_at` when each was read (time.monotonic);
    `log` is its stderr."""

    def __init__(self, title: str, command: Sequence[str], *, log: Path, environment: dict[str, str]) -> None:
        self.title = title
        self.log = log
        self.events: list[Event] = []
        self.read_at: list[float] = []
        self._arrived: queue.Queue[Event | None] = queue.Queue()
        self._killed = False
        with log.open("ab") as stderr:
            self.popen = subprocess.Popen(
                command,
                cwd=log.parent,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                # A group of its own: Ctrl-C reaches the scene alone, and a kill reaches the children, too.
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, name=f"stdout of {title}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self.popen.pid

    def _read(self) -> None:
        assert self.popen.stdout is not None
        with self.popen.stdout as lines:
            for line in lines:
                event = _event(line)
                self.read_at.append(time.monotonic())
                self.events.append(event)
                self._arrived.put(event)
        self._arrived.put(None)

    def until(self, *kinds: str, timeout_s: float) -> Iterator[Event]:
        """Yield each event as it is printed, up to and with the first whose kind is in `kinds`, or to the end.

        Raises SceneFailed after `timeout_s` seconds, and at once if a line is no event: stdout carries nothing else.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                event = self._arrived.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise self.failed(f"no {' or '.join(kinds) or 'end'} within {timeout_s:.0f} s") from None
            if event is None:
                self._arrived.put(None)
                return
            if event["event"] == "not an event":
                raise self.failed(f"printed what is not an event: {event['line']!r}")
            yield event
            if event["event"] in kinds:
                return

    def wait_for(self, kind: str, *, timeout_s: float) -> Event:
        """Return the next event of `kind`. Raises SceneFailed if it does not come or the process ends before it."""
        for event in self.until(kind, "failed", timeout_s=timeout_s):
            if event["event"] == kind:
                return event
            if event["event"] == "failed":
                raise self.failed(f"failed with code {event.get('code')}: {event.get('message')}")
        raise self.failed(f"ended with code {self.popen.wait(STOP_S)} before it said {kind}")

    def finish(self, *, timeout_s: float) -> int:
        """Read to the end of output and return the exit code. Raises SceneFailed after `timeout_s` seconds."""
        for _ in self.until(timeout_s=timeout_s):
            pass
        try:
            return self.popen.wait(STOP_S)
        except subprocess.TimeoutExpired:
            raise self.failed("closed its output and did not end") from None

    def stop(self) -> int:
        """End it: SIGTERM first, SIGKILL to its whole group if that does not help. Return the exit code."""
        if self.popen.poll() is None:
            self.popen.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(STOP_S)
        self.kill()
        return self.popen.returncode

    def kill(self) -> None:
        """End it and its children at once, as a crash would (kill -9)."""
        if self._killed:  # Once only: when nobody is left, the group's number may be given to others.
            return
        self._killed = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()
        self._reader.join(STOP_S)

    def failed(self, what: str) -> SceneFailed:
        """Return the error that says `what` went wrong here, with the end of the log."""
        return SceneFailed(f"{self.title}: {what}\n{self.tail()}")

    def tail(self) -> str:
        """Return the last events and log lines, for people; of several progress events in a row only the last."""
        kinds = [*(event["event"] for event in self.events[1:]), ""] if self.events else []
        told = [
            event
            for event, following in zip(self.events, kinds, strict=True)
            if not event["event"] == following == "progress"
        ]
        events = [json.dumps(event) for event in told[-12:]]
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
        return "\n".join(
            [f"--- {self.title}: last events", *events, f"--- {self.title}: end of {self.log.name}", *lines]
        )


class Node(Process):
    """A running daemon that has said `ready`."""

    ready: Event

    @property
    def peer_id(self) -> str:
        return str(self.ready["peer_id"])

    @property
    def publisher_id(self) -> str:
        return str(self.ready["publisher_id"])

    @property
    def address(self) -> str:
        """Where it can be dialled: a multiaddr with /p2p/..., the first that it named."""
        return str(self.ready["addresses"][0])


ProcessT = TypeVar("ProcessT", bound=Process)


class Scene:
    """A folder and the processes that play in it. Closing it ends every process; the folder is the caller's to remove.

    `home(title)` is where the node of that title lives: a daemon and the commands beside it share a title.
    `environment[title]` is set for its processes beside what they have anyway.
    """

    played: ClassVar[list[Scene]] = []
    """The scenes of the test that runs now: if it fails, their logs are told (tests/conftest.py)."""

    def __init__(
        self, folder: Path, *, lan: bool = False, verbose: bool = False, program: Sequence[str] = P2PHUB
    ) -> None:
        self.folder = folder
        self._verbose = ["--verbose"] if verbose else []
        Scene.played.append(self)
        self._lan = lan
        self._program = program
        self._started: list[Process] = []
        self.environment: dict[str, Mapping[str, str]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Scene:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # All are told before any is waited for: stopping one after the other would add up.
        for process in self._started:
            if process.popen.poll() is None:
                process.popen.terminate()
        for process in reversed(self._started):
            process.stop()

    def home(self, title: str) -> Path:
        return self.folder / title

    def gateway_token(self, title: str) -> str:
        """What a client of that node's gateway shows to have it change something; it is there once a gateway was."""
        return (self.home(title) / "keys" / "gateway.token").read_text(encoding="ascii").strip()

    def start(self, title: str, *arguments: str | Path) -> Process:
        """Start one command of the node `title` and return at once. Its progress is in the events it prints."""
        return self._start(Process, title, arguments)

    def node(self, title: str, *arguments: str | Path, bootstrap: Sequence[str] = ()) -> Node:
        """Start a daemon on a free loopback port, and return once it says `ready`."""
        told = [word for address in bootstrap for word in ("--bootstrap", address)]
        node = self._start(Node, title, ["node", "--listen", "127.0.0.1:0", *told, *self._discovery(), *arguments])
        node.ready = node.wait_for("ready", timeout_s=READY_S)
        return node

    def publish(self, title: str, folder: Path, *, name: str, arguments: Sequence[str] = ()) -> Event:
        """Publish `folder` as the publisher of the node `title`; return its `published` event."""
        return self._run(title, "published", ["publish", folder, "--name", name, *arguments])

    def start_fetch(
        self, title: str, reference: str, into: Path, *, bootstrap: Sequence[str] = (), arguments: Sequence[str] = ()
    ) -> Process:
        """Start fetching `reference` into `into`, told nothing but the addresses of `bootstrap`."""
        told = [word for address in bootstrap for word in ("--bootstrap", address)]
        return self.start(title, "fetch", reference, "--into", into, *told, *self._discovery(), *arguments)

    def wait_announced(self, title: str, manifest: str, *, timeout_s: float = 120) -> None:
        """Return once some peer took what the daemon `title` announces of `manifest`. `publish` itself waits for that
        ten seconds at most, which a busy machine may need for more than one of its steps. Raises SceneFailed."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:  # Each look is a process: no busy loop.
            items = self._run(title, "ls", ["ls"])["items"]
            if any(item["manifest"] == manifest and item["announced_to"] for item in items):
                return
        raise SceneFailed(f"nobody took the announcement of {manifest} within {timeout_s:.0f} s\n{self.logs()}")

    def logs(self) -> str:
        """Return the tails of all logs, for people."""
        return "\n".join(process.tail() for process in self._started)

    def _run(self, title: str, kind: str, arguments: Sequence[str | Path], *, timeout_s: float = 120) -> Event:
        process = self.start(title, *arguments)
        event = process.wait_for(kind, timeout_s=timeout_s)
        code = process.finish(timeout_s=timeout_s)
        if code != 0:
            raise process.failed(f"said {kind}, then exited with {code}")
        return event

    def _discovery(self) -> list[str]:
        return [] if self._lan else ["--no-lan"]

    def _start(self, kind: type[ProcessT], title: str, arguments: Sequence[str | Path]) -> ProcessT:
        words = [str(word) for word in arguments]
        log = self.folder / f"{title}-{len(self._started):02d}-{words[0]}.log"
        process = kind(
            f"{title} ({words[0]})",
            [*self._program, "--json", *self._verbose, "--home", str(self.home(title)), *words],
            log=log,
            environment={**_environment(), **self.environment.get(title, {})},
        )
        self._started.append(process)
        return process


def _event(line: bytes) -> Event:
    """Return the event on one line of output; a line that is none becomes the event `not an event`."""
    with contextlib.suppress(ValueError):
        event = json.loads(line)
        if isinstance(event, dict) and isinstance(event.get("event"), str):
            return event
    return {"event": "not an event", "line": line.decode(errors="replace").rstrip()}


def _environment() -> dict[str, str]:
    """Return this process's environment without the user's own p2phub settings, and with this source tree first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("P2PHUB_")}
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
