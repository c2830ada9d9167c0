"""What p2phub does alone: publish, measured against hashing the same files once, and answer `--help`."""

import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.contestants.p2phub import P2phub, the_event
from benchmarks.held import Held
from benchmarks.payload import Payload, read_tree
from benchmarks.processes import Command, ContestantFailed, run
from benchmarks.race import How
from benchmarks.search import Search

_HELP_RUNS = 9
_HELP_TIMEOUT_S = 30.0


@dataclass(slots=True)
class Alone:
    """Seconds of each run, from process start to exit, what a large home and a search cost, and what failed."""

    publish_s: list[float] = field(default_factory=list)
    hash_once_s: list[float] = field(default_factory=list)
    help_s: list[float] = field(default_factory=list)
    held: Held = field(default_factory=Held)
    search: Search = field(default_factory=Search)
    failures: list[str] = field(default_factory=list)


def measure_publish(alone: Alone, p2phub: P2phub, payload: Payload, how: How) -> None:
    """Publish from a new home each time, in turn with one pass of BLAKE3 + SHA-256 over the same files."""
    hash_once = Command([sys.executable, "-m", "benchmarks.programs.hash_once", str(payload.root)])
    for number in range(how.rounds):
        directory = how.work / "publish"
        directory.mkdir()
        read_tree(payload.root)
        try:
            alone.hash_once_s.append(_seconds(hash_once, directory, how.timeout_s))
            alone.publish_s.append(_publish(p2phub, payload, directory, how.timeout_s))
            once_s, publish_s = alone.hash_once_s[-1], alone.publish_s[-1]
            how.tell(f"publish, round {number + 1}: hash once {once_s:.2f} s, p2phub {publish_s:.2f} s")
        except ContestantFailed as failure:
            alone.failures.append(str(failure))
            how.tell(f"publish, round {number + 1}: FAILED")
        finally:
            shutil.rmtree(directory)


def measure_help(alone: Alone, p2phub: P2phub, *, work: Path) -> None:
    """Ask for the usage several times."""
    try:
        for _ in range(_HELP_RUNS):
            alone.help_s.append(_seconds(p2phub.help(), work, _HELP_TIMEOUT_S))
    except ContestantFailed as failure:
        alone.failures.append(str(failure))


def _publish(p2phub: P2phub, payload: Payload, directory: Path, timeout_s: float) -> float:
    command = p2phub.publish(payload, directory / "home")
    ended = run(command, stderr=directory / "stderr", timeout_s=timeout_s)
    hashed = the_event(ended.said, "published")["bytes_hashed"]
    if hashed != payload.size:
        raise ContestantFailed(f"publish hashed {hashed} bytes of {payload.size}: not what was to be measured")
    return ended.wall_s


def _seconds(command: Command, directory: Path, timeout_s: float) -> float:
    return run(command, stderr=directory / "stderr", timeout_s=timeout_s).wall_s
