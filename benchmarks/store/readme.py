"""How long publishing a repository of 100 GB again takes whose README alone has changed: start of the process to its
end.

The weights are hollow and their digests made up (`programs.made_up`): nothing of them is read by what is timed.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.contestants.p2phub import the_event
from benchmarks.processes import ContestantFailed
from benchmarks.store.ground import Ground, Measured, settle
from benchmarks.store.made_up import publish_made_up
from benchmarks.store.models import write_hollow

AGAIN = "s to publish it again"
SHARDS, SHARD_BYTES, TENSORS = 20, 5_000_000_000, 100


def measure_readme(measured: Measured, ground: Ground, work: Path) -> None:
    """Publish a new README in each round."""
    folder, home = (
        write_hollow(work / "repository", shards=SHARDS, shard_bytes=SHARD_BYTES, tensors=TENSORS),
        work / "home",
    )
    settle()
    ground.run(publish_made_up(ground, home, folder), home)
    for number in range(ground.how.rounds):
        readme = folder / "README.md"
        readme.write_text(f"Changed for the {number}th time.\n")
        ended = ground.p2p(home, "publish", str(folder), "--name", "made-up")
        hashed = the_event(ended.said, "published")["bytes_hashed"]
        if hashed != readme.stat().st_size:
            raise ContestantFailed(f"publishing hashed {hashed} bytes, not the README's {readme.stat().st_size} alone")
        measured.add(AGAIN, ended.wall_s)
        ground.tell(measured, f"{ended.wall_s:.2f} {AGAIN}")
