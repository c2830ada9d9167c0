"""Fetches that are ended in the middle, again and again, and what that costs; and what a process has open."""

from __future__ import annotations

import itertools
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.support.processes import Event, Node, Process, Scene

FETCH_S = 300.0


@dataclass(frozen=True)
class Cut:
    """One attempt that was killed. Bytes: `held` were verified here when it began, `served` went out to it."""

    held: int
    served: int


def status(scene: Scene, title: str) -> Event:
    """Ask the daemon `title` how it is."""
    process = scene.start(title, "status")
    event = process.wait_for("status", timeout_s=30)
    process.finish(timeout_s=30)
    return event


def served_bytes(scene: Scene, title: str) -> int:
    """Return how many payload bytes the daemon `title` has sent, once that stands still."""
    before, now = -1, _served(scene, title)
    while now != before:
        before, now = now, _served(scene, title)
    return now


def _served(scene: Scene, title: str) -> int:
    return sum(int(count) for count in status(scene, title)["served"].values())


def fetch_through_kills(
    scene: Scene, provider: Node, reference: str, into: Path, *, kills: int, longest_s: float, seed: int
) -> tuple[list[Cut], Event]:
    """Fetch, killed (-9) at `kills` random moments up to `longest_s` after it began; then to the end.

    Returns what each killed attempt began with and was served, and the `done` event of the last attempt.
    """
    chance = Random(seed)
    cuts: list[Cut] = []
    before = served_bytes(scene, "publisher")
    for _ in range(kills):
        process = start(scene, provider, reference, into)
        started = process.wait_for("started", timeout_s=FETCH_S)
        try:
            process.popen.wait(timeout=chance.uniform(0, longest_s))
        except subprocess.TimeoutExpired:
            process.kill()
        after = served_bytes(scene, "publisher")
        cuts.append(Cut(held=started["bytes_held"], served=after - before))
        before = after
    process = start(scene, provider, reference, into)
    started = process.wait_for("started", timeout_s=FETCH_S)
    done = process.wait_for("done", timeout_s=FETCH_S)
    process.finish(timeout_s=30)
    cuts.append(Cut(held=started["bytes_held"], served=served_bytes(scene, "publisher") - before))
    return cuts, done


def start(scene: Scene, provider: Node, reference: str, into: Path) -> Process:
    return scene.start_fetch("fetcher", reference, into, arguments=["--provider", provider.address])


def fetched_twice(cuts: list[Cut]) -> list[int]:
    """Return for each kill how many of the bytes served to that attempt the next one did not hold."""
    return [max(0, attempt.held + attempt.served - following.held) for attempt, following in itertools.pairwise(cuts)]


def open_descriptors(process: Process) -> int:
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


def anonymous_bytes(process: Process) -> int:
    found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024
