"""Very many that read slowly, all at once: what they cost the node in memory, and whether each gets what it asked for.

They are one process (`programs.slow_readers`), which compares every byte. Memory is the node's own (anonymous), with
its children's, over what it was before they came; what the kernel holds for their sockets is shown beside it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.gateway.ground import NAME, gateway_of_held
from benchmarks.memory import MemoryWatch
from benchmarks.plan import one_file
from benchmarks.processes import Command
from benchmarks.procfs import anonymous_bytes
from benchmarks.store import Ground, Measured

READERS = 1000
MEMORY = "MB more at the highest"
UNSERVED = f"of {READERS:,} not served"
KERNEL = "MB unsent in sockets at the highest"


def measure_readers(measured: Measured, ground: Ground, work: Path) -> None:
    """Have them come, once a round."""
    payload = one_file(ground.size, ground.cache)
    [file] = payload.files
    for number in range(ground.how.rounds):
        with gateway_of_held(ground, work / f"home-{number}", payload) as (node, url), MemoryWatch() as memory:
            words = [f"{url}/{NAME}/resolve/main/{file.path}", str(payload.root / file.path), str(READERS)]
            before = anonymous_bytes(node.pid)
            memory.add(node.pid)
            command = Command([sys.executable, "-m", "benchmarks.programs.slow_readers", *words])
            said = json.loads(ground.run(command, work / "readers").said[-1].line)
            measured.add(MEMORY, (memory.peak_bytes(node.pid) - before) / 1e6)
        measured.add(UNSERVED, READERS - said["served"])
        measured.add(KERNEL, said["unsent_bytes_max"] / 1e6)
        figures = {label: values[-1] for label, values in measured.figures.items()}
        ground.tell(measured, ", ".join(f"{value:.0f} {label}" for label, value in figures.items()))
