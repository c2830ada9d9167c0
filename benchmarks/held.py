"""What a home that holds a great deal costs: a dry run of its collection, and to look up where a chunk lies.

The home is made by `programs.large_home`, in minutes and about 1.5 GB of disk at full size, and removed afterwards.
"""

import random
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.contestants.p2phub import P2phub, the_event
from benchmarks.plan import TARGET_BYTES
from benchmarks.processes import Command, ContestantFailed, run
from benchmarks.programs.large_home import CHUNKS
from benchmarks.race import How
from p2phub.store.database import Database
from p2phub.store.index_content import ContentIndex

_PINS = 100_000
_PINS_MIN = 100
_MAKE_TIMEOUT_S = 1800.0


@dataclass(slots=True)
class Held:
    """`pins` and `chunks` (rows) of the home; seconds of each dry run, from process start to exit; microseconds of each
    lookup; and what failed."""

    pins: int = 0
    chunks: int = 0
    dry_run_s: list[float] = field(default_factory=list)
    lookup_us: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def measure_held(held: Held, p2phub: P2phub, size: int, how: How) -> None:
    """Make the home, of 100,000 pins at full `size`, then ask it."""
    pins = min(_PINS, max(_PINS_MIN, _PINS * size // TARGET_BYTES))
    directory = how.work / "held"
    directory.mkdir()
    home = directory / "home"
    try:
        make = Command([sys.executable, "-m", "benchmarks.programs.large_home", str(home), str(pins)])
        how.tell(f"held: making a home with {pins:,} pins")
        made = run(make, stderr=directory / "stderr", timeout_s=_MAKE_TIMEOUT_S)
        held.pins, held.chunks = pins, (pins + max(1, pins // 100)) * CHUNKS
        for number in range(how.rounds):
            ended = run(p2phub.collect_dry(home), stderr=directory / "stderr", timeout_s=how.timeout_s)
            found = the_event(ended.said, "gc")
            if len(found["items"]) != max(1, pins // 100):
                raise ContestantFailed(f"gc would remove {len(found['items'])} manifests: not what was to be measured")
            held.dry_run_s.append(ended.wall_s)
            how.tell(f"held, round {number + 1}: gc --dry-run {ended.wall_s:.2f} s")
        held.lookup_us += _look_up(home, [bytes.fromhex(said.line) for said in made.said])
    except ContestantFailed as failure:
        held.failures.append(str(failure))
        how.tell("held: FAILED")
    finally:
        shutil.rmtree(directory)


def _look_up(home: Path, digests: list[bytes]) -> list[float]:
    """Return the microseconds of a lookup of each of `digests`, as a fetch asks for it."""
    database = Database(home, tuple)
    contents = ContentIndex(database)
    contents.has_chunks()  # Opens it.
    random.Random(1).shuffle(digests)
    took = []
    for digest in digests:
        began = time.perf_counter()
        found = contents.find_chunk(digest)
        took.append((time.perf_counter() - began) * 1e6)
        if not found:
            raise ContestantFailed("a chunk that is there was not found")
    database.close()
    return took
