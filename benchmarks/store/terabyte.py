"""A model of 1 TB: made, signed, listed and planned, and the most memory that each process of it took, mapped files and
all.

The weights are hollow and their digests made up (`programs.made_up`); everything above reading them is as it is.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.contestants.p2phub import the_event
from benchmarks.memory import MemoryWatch
from benchmarks.processes import Command, ContestantFailed, Said, started
from benchmarks.procfs import peak_resident_bytes
from benchmarks.store.ground import Ground, Measured, settle
from benchmarks.store.made_up import publish_made_up
from benchmarks.store.models import write_hollow

PUBLISH, LS, INFO, PLAN = "MB of publish", "MB of ls", "MB of info", "MB of plan where it is held"
AFAR, NODE = "MB of plan elsewhere", "MB of the node asked"
LABELS = (PUBLISH, LS, INFO, PLAN, AFAR, NODE)
SHARDS, SHARD_BYTES, TENSORS = 200, 5_000_000_000, 100


def measure_terabyte(measured: Measured, ground: Ground, work: Path) -> None:
    """Once: memory hardly scatters, and making it takes a while."""
    folder, home = write_hollow(work / "model", shards=SHARDS, shard_bytes=SHARD_BYTES, tensors=TENSORS), work / "home"
    settle()
    published = _watch(measured, ground, PUBLISH, publish_made_up(ground, home, folder), home)
    reference = the_event(published, "published")["reference"]
    _watch(measured, ground, LS, ground.p2phub.command(home, "ls"), home)
    _watch(measured, ground, INFO, ground.p2phub.command(home, "info", reference), home)
    said = _watch(measured, ground, PLAN, ground.p2phub.command(home, "plan", reference), home)
    if (plan := the_event(said, "plan"))["bytes_missing"]:
        raise ContestantFailed(f"of what is held {plan['bytes_missing']} bytes would be fetched")
    with MemoryWatch(peak_resident_bytes) as memory, ground.node(home) as (node, address):
        memory.add(node.pid)
        other = work / "other"
        command = ground.p2phub.command(other, "plan", reference, "--provider", address)
        said = _watch(measured, ground, AFAR, command, other)
        if the_event(said, "plan")["bytes_here"]:
            raise ContestantFailed("an empty home has something of it")
        measured.add(NODE, memory.peak_bytes(node.pid) / 1e6)


def _watch(measured: Measured, ground: Ground, label: str, command: Command, home: Path) -> tuple[Said, ...]:
    """Run a command and note its peak. Raises ContestantFailed."""
    with MemoryWatch(peak_resident_bytes) as memory, started(command, stderr=home.with_name("stderr")) as process:
        memory.add(process.pid)
        ended = process.wait(timeout_s=ground.how.timeout_s)
        measured.add(label, memory.peak_bytes(process.pid) / 1e6)
    ground.tell(measured, f"{measured.figures[label][-1]:.0f} {label}, {ended.wall_s:.1f} s")
    return ended.said
