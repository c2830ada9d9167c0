"""The disk's limit: the payload written past the page cache, and nothing else.

No network and no check. A fetch that writes down what it has as it goes, so that a power cut costs little, ends no
sooner than this; one that leaves its bytes in memory can, and pays when somebody syncs.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.contestants.bare import Bare
from benchmarks.processes import Command


class Disk(Bare):
    """`programs.disk_writer`, beside a provider that nobody asks."""

    name = "disk"
    description = "2 threads that write past the page cache, 1 MiB at a time (the disk's limit; fetches nothing)"

    def requester(self, address: str, into: Path, scratch: Path) -> Sequence[Command]:
        assert self._payload is not None
        program = "benchmarks.programs.disk_writer"
        return [Command([sys.executable, "-m", program, str(self._payload.root), str(self._payload.record), str(into)])]
