"""Five capped providers in processes of their own, of which four go wrong while a daemon fetches from all of them.

with five_providers(tmp_path, model, cap="4MB") as five:
    five.start_fetch(tmp_path / "out")
    five.break_four()
    states = five.explained()
    done = five.finish()
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.house import ROOT
from tests.support.liar_process import KEY as LIAR
from tests.support.processes import Event, Node, Process, Scene

FAULTS = {
    "killed": re.compile(r"^lost: "),
    "frozen": re.compile(r"^silent for \d+ s|^not answering: "),
    "liar": re.compile(r"^banned: chunk \d+ of \S+ "),
    "slow": re.compile(r"^slow: "),
}
"""What `status --explain` says of each, in its own words."""
STEP_S = 120.0
EXPLAINED_S = 120.0


class Five:
    """The scene. `mark` is when the four were broken, by a monotonic clock, and what was verified then."""

    def __init__(self, scene: Scene, model: Path, cap: str, liar: str) -> None:
        self.scene, self.liar = scene, liar
        self.nodes: dict[str, Node] = {}
        publishing = {
            name: scene.start(name, "publish", model, "--name", "model")
            for name in ("killed", "frozen", "slow", "honest")
        }
        for name, process in publishing.items():  # Side by side: each start of a Python takes its time.
            self.published = process.wait_for("published", timeout_s=STEP_S)
            process.finish(timeout_s=STEP_S)
            self.nodes[name] = scene.node(name, "--up", cap)
        self.names = {node.peer_id: name for name, node in self.nodes.items()} | {str(LIAR.peer_id): "liar"}
        self.fetcher = scene.node("fetcher")
        self.fetch: Process
        self.mark = (0.0, 0)

    def start_fetch(self, into: Path) -> None:
        addresses = [node.address for node in self.nodes.values()] + [self.liar]
        told = [word for address in addresses for word in ("--provider", address)]
        self.fetch = self.scene.start_fetch("fetcher", self.published["reference"], into, arguments=told)

    def break_four(self, *, slow: str, hold_honest: str = "") -> None:
        """Once bytes come: kill one, freeze one, let one drop to `slow`; one has lied from the start. `hold_honest`: a
        cap for the honest one before all that, so that the fetch does not end too early."""
        self.fetch.wait_for("progress", timeout_s=STEP_S)
        if hold_honest:
            self.limit("honest", hold_honest)
        self.nodes["killed"].kill()
        os.killpg(self.nodes["frozen"].pid, signal.SIGSTOP)
        self.limit("slow", slow)
        verified = max(event["bytes_verified"] for event in self.fetch.events if event["event"] == "progress")
        self.mark = (time.monotonic(), verified)

    def limit(self, name: str, up: str) -> None:
        self.scene.start(name, "limit", "--up", up).wait_for("limit", timeout_s=STEP_S)

    def explained(self) -> dict[str, str]:
        """Ask until each fault has been named once; return how. Raises AssertionError when the fetch ends before."""
        named: dict[str, str] = {}
        last: Event = {}
        deadline = time.monotonic() + EXPLAINED_S
        while named.keys() != FAULTS.keys():
            assert time.monotonic() < deadline, f"named {named}, not the others: {last}"
            process = self.scene.start("fetcher", "status", "--explain", "1")  # The first job of a daemon.
            last = process.wait_for("explanation", timeout_s=STEP_S)
            process.finish(timeout_s=STEP_S)
            for source in last["sources"]:
                name = self.names[source["peer_id"]]
                if name in FAULTS and FAULTS[name].search(source["state"]):
                    named.setdefault(name, source["state"])
        return named

    def finish(self) -> tuple[Event, float]:
        """Return the `done` event, and the rate of what was missing at the mark, in bytes a second."""
        done = self.fetch.wait_for("done", timeout_s=STEP_S)
        rate = (self.published["bytes"] - self.mark[1]) / (time.monotonic() - self.mark[0])
        assert self.fetch.finish(timeout_s=STEP_S) == 0
        return done, rate


@contextmanager
def five_providers(folder: Path, model: Path, *, cap: str) -> Iterator[Five]:
    """Run the scene in `folder`; every process is ended by its id."""
    command = [sys.executable, "-m", "tests.support.liar_process", str(folder / "liar"), str(model)]
    with (
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as liar,
        Scene(folder / "scene") as scene,
    ):
        try:
            assert liar.stdout is not None
            five = Five(scene, model, cap, liar.stdout.readline().strip())
            try:
                yield five
            finally:
                five.nodes["frozen"].kill()  # It would not hear a SIGTERM.
        finally:
            liar.kill()
