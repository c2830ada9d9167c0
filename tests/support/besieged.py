"""A node under attack: how it is, whether it goes back to how it was, and whether it serves meanwhile."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from p2phub.identity import PeerAddress, parse_peer_address
from tests.support import hostile
from tests.support.chaos import anonymous_bytes, open_descriptors, status
from tests.support.models import make_safetensors_folder, tree_digest
from tests.support.processes import Node, Scene

MEMORY_SLACK = 16 << 20
"""What an allocator may keep of memory given back: pools of Python's objects, arenas of threads that ended."""

TASKS_SLACK = 2
"""The question that asks for the number of tasks has some itself, and so has the one before it until it has ended."""

SETTLE_S = 60.0
"""How long a node may take to forget strangers who left. Deadlines of half-open ones are up to 10 s."""


@dataclass(frozen=True)
class Vitals:
    descriptors: int
    tasks: int
    anonymous: int

    def no_more_than(self, other: Vitals, memory_slack: int) -> bool:
        return (
            self.descriptors <= other.descriptors
            and self.tasks <= other.tasks + TASKS_SLACK
            and self.anonymous <= other.anonymous + memory_slack
        )


@dataclass
class Besieged:
    """A node that serves `source`, and what it takes to see how it is."""

    scene: Scene
    node: Node
    at: PeerAddress
    source: Path
    reference: str
    fetches: int = 0

    def vitals(self) -> Vitals:
        tasks = status(self.scene, "victim")["tasks"]
        return Vitals(open_descriptors(self.node), tasks, anonymous_bytes(self.node))

    def recovers_to(self, before: Vitals, *, memory_slack: int = MEMORY_SLACK) -> None:
        """Wait until the node is no larger than `before`. Raises AssertionError, with how it is, if it never is."""
        deadline = time.monotonic() + SETTLE_S
        while not (now := self.vitals()).no_more_than(before, memory_slack):
            assert time.monotonic() < deadline, f"was {before}, is {now}"

    def fetches_whole(self) -> float:
        """Fetch all from it as another node; return how many seconds that took, process start and all."""
        began = time.monotonic()
        into = self.scene.folder / f"fetched-{self.fetches}"
        self.fetches += 1
        process = self.scene.start_fetch(
            f"fetcher{self.fetches}", self.reference, into, arguments=["--provider", self.node.address]
        )
        process.wait_for("done", timeout_s=120)
        assert process.finish(timeout_s=30) == 0
        took = time.monotonic() - began
        assert tree_digest(into) == tree_digest(self.source)
        shutil.rmtree(into)
        return took


@contextmanager
def besieged(folder: Path, bytes_total: int) -> Iterator[Besieged]:
    """Run a node that serves a model of `bytes_total` bytes. On the way out it must have lived, and without a fault."""
    source = make_safetensors_folder(folder / "model", bytes_total)
    with Scene(folder / "scene") as scene:
        node = scene.node("victim")
        published = scene.publish("victim", source, name="model")
        here = Besieged(scene, node, parse_peer_address(node.address), source, published["reference"])
        here.fetches_whole()  # Whatever is loaded when it is first needed is loaded now.
        hostile.throw(here.at.address, 100)
        trio.run(hostile.misuse_frames, here.at, 20)
        trio.run(hostile.misuse_streams, here.at, [hostile.IDENTIFY], 20)
        yield here
        assert node.popen.poll() is None
        assert node.stop() == 0
        assert "fault of our own" not in node.log.read_text()
        assert "Traceback" not in node.log.read_text()
    shutil.rmtree(source)
