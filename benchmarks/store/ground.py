"""What every subject of the store has: where it works, and what it has measured so far."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.contestants.p2phub import P2phub, the_event
from benchmarks.peers import Program, find_program
from benchmarks.processes import Command, ContestantFailed, Ended, Running, run, started
from benchmarks.race import How

MAKERS = {"xfs": ("mkfs.xfs", "xfsprogs", "-V"), "btrfs": ("mkfs.btrfs", "btrfs-progs", "--version")}
"""For each file system that shares blocks: what makes it, Debian's name of that, and what it answers to."""

SETTLE_S = 2.2  # A file that was changed within two seconds of being looked at is not believed to be unchanged.


@dataclass(slots=True)
class Measured:
    """What came of one subject: for each label one value a trial, what failed, and what could not be tried, and why."""

    title: str
    figures: dict[str, list[float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def add(self, label: str, value: float) -> None:
        self.figures.setdefault(label, []).append(value)


Stored = dict[str, Measured]
"""The results, by the names in `plan.STORE`."""


@dataclass(frozen=True, slots=True)
class Ground:
    """`size`: what `--bytes` said. `makers`: of file systems, those that could be had."""

    p2phub: P2phub
    size: int
    cache: Path
    how: How
    makers: Mapping[str, Program] = field(default_factory=dict)
    unable: Mapping[str, str] = field(default_factory=dict)
    """File systems that cannot be made, and why."""

    @contextmanager
    def directory(self, name: str) -> Iterator[Path]:
        """Make a directory of a subject's own, removed on the way out."""
        path = self.how.work / name
        path.mkdir()
        try:
            yield path
        finally:
            shutil.rmtree(path)

    def p2p(self, home: Path, *words: str) -> Ended:
        """Run one command of a home. Raises ContestantFailed."""
        return self.run(self.p2phub.command(home, *words), home)

    def run(self, command: Command, beside: Path) -> Ended:
        """Run a command whose stderr goes to a file beside `beside`. Raises ContestantFailed."""
        return run(command, stderr=beside.with_name("stderr"), timeout_s=self.how.timeout_s)

    def publish(self, home: Path, folder: Path, name: str) -> dict[str, Any]:
        """Publish a folder, and return what was said of it."""
        return the_event(self.p2p(home, "publish", str(folder), "--name", name).said, "published")

    @contextmanager
    def node(self, home: Path, *words: str) -> Iterator[tuple[Running, str]]:
        """Run a node of a home; gives its address."""
        command = self.p2phub.command(home, "node", "--listen", "127.0.0.1:0", "--no-lan", *words)
        with started(command, stderr=home.with_name("node.stderr")) as running:
            yield running, self.p2phub.address(running)

    def tell(self, measured: Measured, words: str) -> None:
        self.how.tell(f"{measured.title}: {words}")


def install_tools(cache: Path) -> tuple[dict[str, Program], dict[str, str]]:
    """Return what makes file systems, while there is still a network; and for which there is none, and why."""
    makers: dict[str, Program] = {}
    unable: dict[str, str] = {}
    for name, (program, package, asked) in MAKERS.items():
        try:
            makers[name] = find_program(program, package, asked=asked, cache=cache)
        except ContestantFailed as failure:
            unable[name] = str(failure)
    return makers, unable


def settle() -> None:
    """Wait until what was just written is believed to stay as it is."""
    time.sleep(SETTLE_S)
